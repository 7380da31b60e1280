"""What the monitor and the container's first process need to know, all of it, as one plain value.

It crosses from the command to the monitor by marshal: both are the same interpreter, one forked from the other,
and marshal is in it already, where json and pickle would have to be imported. A monitor that was asleep may find
itself in a newer one: that reads what an older one has written of plain values.
"""

import marshal
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

T = TypeVar("T")

Rule = tuple[str, int, int, str]  # as in kernel/devices.py
# bind or tmpfs; source on the host; target; read-only; options; propagation; what below the source is meant
PlannedMount = tuple[str, str, str, bool, str, str, str]


@dataclass(frozen=True)
class Plan:
    root: str  # the state root
    container: str  # the id
    lower: str  # the image's tree, relative to the state root
    netns: str  # the pinned namespace to join, "" for the host's
    cgroup: str  # "" where there is no v2 hierarchy
    scope: str  # systemd's, around the cgroup; "" where it keeps none
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    workdir: str
    user: str
    hostname: str
    tty: bool
    interactive: bool
    init: bool
    stdin_once: bool  # the input ends when who attached with it leaves
    fresh: bool  # made by this very command: a start that fails takes the container along
    mounts: tuple[PlannedMount, ...]  # in the order in which they are mounted
    asks_policy: bool = False  # whether to ask the record, when the program ends, if it is to start again
    capabilities: tuple[str, ...] = ()
    domainname: str = ""
    groups: tuple[str, ...] = ()
    read_only: bool = False
    privileged: bool = False
    no_new_privileges: bool = False
    unmasked: bool = False
    seccomp: bytes = b""  # as in confinement.py
    apparmor: str = ""
    devices: tuple[tuple[str, str], ...] = ()  # on the host, inside
    device_rules: tuple[Rule, ...] = ()  # of kernel/devices.py; () for all
    open_devices: bool = False  # those that the rules allow may be opened wherever a node of theirs is
    needs_device_rules: bool = False
    pid_of: tuple[int, ...] = ()  # pid and start time of whom it shares the namespace with; (0, 0): the host
    ipc: str = ""  # none: without /dev/shm
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
    log: tuple[str, int, int] = ("json-file", 0, 1)  # driver, bytes, files
    rows: int = 0
    columns: int = 0
    ids: tuple[int, ...] = ()  # of its user namespace: the host's id of its root, and how many; () for the host's own
    has_names: bool = False  # the last of the sockets that come along is its connection to the resolver


def packed(one: Any) -> bytes:
    """For another process, or for the same one later."""
    return marshal.dumps({field.name: getattr(one, field.name) for field in fields(one)})


def unpacked(kind: Callable[..., T], data: bytes) -> T:
    """Also what another version of minirun has packed, which was replaced meanwhile: what this one does not know is
    passed over, and what is new has to have a default."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in marshal.loads(data).items() if name in known})
