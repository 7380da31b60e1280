"""What there is on a throwaway host, freshly read: compared before and after, it must be the same."""

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tests.harness.host import Host

T = TypeVar("T")
# What only a process on the host can read; all else is read from outside, without a process for each part.
_READ = """
ip -j address; echo @@; ip route show table all; echo @@; nft list ruleset; echo @@; ss -Hlntu; echo @@
read forwarding < /proc/sys/net/ipv4/ip_forward; echo $forwarding
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
        addresses, routes, rules, sockets, forwarding = host.run(["sh", "-s"], input=_READ).stdout.split("@@")
        links = json.loads(addresses)
        root = Path(f"/proc/{host.pid}/root")
        return cls(
            links=_sorted(f"{link['ifname']} {link.get('master', '')}" for link in links),
            addresses=_sorted(f"{link['ifname']} {one['local']}" for link in links for one in link["addr_info"]),
            routes=_sorted(line for line in _lines(routes) if not _is_passing(line)),
            rules=_sorted(re.sub(r"packets \d+ bytes \d+", "", line) for line in _lines(rules)),
            netns=_sorted(path for path, _ in _below(root / "run/netns", 1)),
            mounts=_sorted(
                line.split(" ", 4)[4] for line in Path(f"/proc/{host.pid}/mountinfo").read_text().splitlines()
            ),
            processes=_sorted(_numbered([line for line in _commands(root / "proc") if _is_foreign(line)])),
            cgroups=_sorted(path for path, is_directory in _below(root / "sys/fs/cgroup", 99) if is_directory),
            sockets=_sorted(_lines(sockets)),
            files=_sorted(
                path
                for path, _ in _below(root / "var/lib/minirun", 2)
                if not os.path.basename(path).startswith("state.db")
            ),
            forwarding=_sorted(_lines(forwarding)),
        )

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


def _is_passing(route: str) -> bool:
    """IPv6 link-local routes and a bridge's carrier come and go with the kernel's own timing."""
    return any(word in route for word in ("fe80", "ff00", "linkdown", "minirun0", " mr-"))


def _below(top: Path, depth: int) -> Iterator[tuple[str, bool]]:
    """The paths below `top` down to `depth`, relative to it, and whether each is a directory. What goes meanwhile is
    left out."""
    for directory, directories, files in os.walk(top):
        place = os.path.relpath(directory, top)
        for name in (*directories, *files):
            yield os.path.join(place, name), name in directories
        if (place != "." and place.count("/") + 2 >= depth) or depth == 1:
            directories.clear()


def _commands(proc: Path) -> Iterator[str]:
    """The command lines of all processes."""
    for path in proc.glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()


def _is_foreign(command: str) -> bool:
    """Not of the holder, nor of this reading, nor a worker of the API's service that waits."""
    known = r"(sh -c|sh -s|sleep 3600|unshare|tr |ip |find |cut |minirun-api *$)"
    return bool(command.strip()) and not re.match(known, command)


def _numbered(commands: list[str]) -> list[str]:
    """A shim has another command line while it sleeps and after: what counts is how many there are."""
    shim = re.compile(
        r"minirun-shim |.*shim\.prefork import wake|\S+ -IS? \S+/minirun .*\b(run|start) |minirun-api POST \S+start"
    )
    shims = [command for command in commands if shim.match(command)]
    rest = [command for command in commands if not shim.match(command)]
    return [*rest, *(f"shim {number}" for number in range(len(shims)))]


def _lines(part: str) -> list[str]:
    return [line.strip() for line in part.strip().splitlines() if line.strip()]


def _sorted(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(lines))
