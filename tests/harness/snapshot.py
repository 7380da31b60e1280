"""What there is on a throwaway host, freshly read: compared before and after, it must be the same."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tests.harness.host import Host

T = TypeVar("T")
_READ = """
ip -j link; echo @@; ip -j address; echo @@; ip route show table all; echo @@; nft list ruleset; echo @@;
ls /run/netns 2>/dev/null; echo @@; cut -d' ' -f5- /proc/self/mountinfo; echo @@;
for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null; echo; done; echo @@;
find /sys/fs/cgroup -mindepth 1 -type d; echo @@; ss -Hlntu; echo @@;
find /var/lib/minirun -mindepth 1 -maxdepth 2 ! -name 'state.db*' ; echo @@
cat /proc/sys/net/ipv4/ip_forward
"""


@dataclass(frozen=True)
class Snapshot:
    links: tuple[str, ...]
    addresses: tuple[str, ...]
    routes: tuple[str, ...]
    rules: tuple[str, ...]
    netns: tuple[str, ...]
    mounts: tuple[str, ...]
    processes: tuple[str, ...]
    cgroups: tuple[str, ...]
    sockets: tuple[str, ...]
    files: tuple[str, ...]
    forwarding: tuple[str, ...]

    @classmethod
    def of(cls, host: "Host") -> "Snapshot":
        # By standard input: as an argument it would show up among the processes that it reads.
        parts = host.run(["sh", "-s"], input=_READ).stdout.split("@@")
        links = [f"{link['ifname']} {link.get('master', '')}" for link in json.loads(parts[0])]
        addresses = [f"{link['ifname']} {one['local']}" for link in json.loads(parts[1]) for one in link["addr_info"]]
        rest = [_lines(part) for part in parts[2:]]
        rest[1] = [re.sub(r"packets \d+ bytes \d+", "", line) for line in rest[1]]
        # IPv6 link-local routes and a bridge's carrier come and go with the kernel's own timing.
        rest[0] = [line for line in rest[0] if "fe80" not in line and "ff00" not in line and "linkdown" not in line]
        rest[0] = [line for line in rest[0] if "minirun0" not in line and " mr-" not in line]
        rest[4] = _numbered([line for line in rest[4] if _is_foreign(line)])
        return cls(_sorted(links), _sorted(addresses), *(_sorted(part) for part in rest))

    def diff(self, other: "Snapshot") -> str:
        found = []
        for field in fields(self):
            before, after = set(getattr(self, field.name)), set(getattr(other, field.name))
            found += [f"{field.name}: gone {line!r}" for line in sorted(before - after)]
            found += [f"{field.name}: new  {line!r}" for line in sorted(after - before)]
        return "\n".join(found)


def assert_same(host: "Host", before: Snapshot, seconds: float = 3) -> None:
    """Retried: a dying network namespace takes its veths along a moment later."""
    deadline = time.monotonic() + seconds
    while difference := before.diff(Snapshot.of(host)):
        if time.monotonic() > deadline:
            raise AssertionError(f"something is left behind, or gone:\n{difference}")
        time.sleep(0.05)


def eventually(look: Callable[[], T], seconds: float = 5) -> T:
    """The first true answer, or the last one's AssertionError."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if result := look():
                return result
            failure: Any = f"never true: {result!r}"
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            raise AssertionError(failure)
        time.sleep(0.02)


def _is_foreign(command: str) -> bool:
    """Not of the holder, nor of this reading."""
    return bool(command.strip()) and not re.match(r"(sh -c|sh -s|sleep 3600|unshare|tr |ip |find |cut )", command)


def _numbered(commands: list[str]) -> list[str]:
    """A shim has another command line while it sleeps and after: what counts is how many there are."""
    shim = re.compile(r"minirun-shim |.*shim\.prefork import wake|\S+ -IS? \S+/minirun .*\b(run|start) ")
    shims = [command for command in commands if shim.match(command)]
    rest = [command for command in commands if not shim.match(command)]
    return [*rest, *(f"shim {number}" for number in range(len(shims)))]


def _lines(part: str) -> list[str]:
    return [line.strip() for line in part.strip().splitlines() if line.strip()]


def _sorted(lines: list[str]) -> tuple[str, ...]:
    return tuple(sorted(lines))
