"""All that the shim and the container's first process need to know, as one plain value.

The command sends it to the shim with marshal: both are the same interpreter, one forked from the other. A shim that
was idle may wake up in a newer interpreter, which still reads plain values that an older one has marshalled.
"""

import marshal
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

T = TypeVar("T")

Rule = tuple[str, int, int, str]  # as in kernel/devices.py
# "bind", "tmpfs" or "image"; source: on the host, or the image's layers relative to the state root; target;
# read-only; options; propagation; subpath of the source, "" for none
PlannedMount = tuple[str, str, str, bool, str, str, str]


@dataclass(frozen=True)
class Plan:
    """One start of a container."""

    root: str  # the state root
    container: str  # the id
    lower: str  # the image's tree, relative to the state root
    netns: str  # name of the pinned network namespace, "" for the host's
    cgroup: str  # "" on a host without cgroup v2
    scope: str  # systemd's scope around the cgroup, "" for none
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    workdir: str
    user: str
    hostname: str
    tty: bool
    interactive: bool
    init: bool
    stdin_once: bool  # standard input ends when the client that gives it leaves
    fresh: bool  # created by this command: a failed start deletes the container
    mounts: tuple[PlannedMount, ...]  # in mount order
    asks_policy: bool = False  # at the end, read the restart policy from the record
    capabilities: tuple[str, ...] = ()
    domainname: str = ""
    groups: tuple[str, ...] = ()
    read_only: bool = False
    privileged: bool = False
    no_new_privileges: bool = False
    unmasked: bool = False
    seccomp: bytes = b""  # a BPF program, see security/confinement.py
    apparmor: str = ""
    devices: tuple[tuple[str, str], ...] = ()  # (path on the host, path inside)
    device_rules: tuple[Rule, ...] = ()  # () allows all
    open_devices: bool = False  # allowed devices may be opened through any node
    needs_device_rules: bool = False
    pid_of: tuple[int, ...] = ()  # whose pid namespace to share: pid, start time; (0, 0): the host
    ipc: str = ""  # "none": without /dev/shm
    ipc_of: tuple[int, ...] = ()  # as pid_of
    uts_host: bool = False
    cgroup_host: bool = False
    shm_size: int = 0
    ulimits: tuple[tuple[str, int, int], ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    oom_score_adj: int = 0
    limits: tuple[tuple[str, int | str], ...] = ()
    limit_groups: tuple[str, ...] = ()
    health: bool = False
    log: tuple[str, int, int] = ("json-file", 0, 1)  # driver, max bytes a file, files
    rows: int = 0
    columns: int = 0
    ids: tuple[int, ...] = ()  # of its user namespace: first id on the host, count; () for none
    has_names: bool = False  # the last socket sent along is the connection to the DNS server


def pack(value: Any) -> bytes:
    """Marshal a flat dataclass for another process, or for this one after execve."""
    return marshal.dumps({field.name: getattr(value, field.name) for field in fields(value)})


def unpack(kind: Callable[..., T], data: bytes) -> T:
    """Make a `kind` of what `packed` returned, also in another version of minirun.

    Unknown fields are ignored, so a new field needs a default.
    """
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in marshal.loads(data).items() if name in known})
