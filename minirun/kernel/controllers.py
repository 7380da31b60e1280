"""Where each cgroup controller lives on this host, and groups in whatever hierarchy that is (cgroups(7)).

A controller is bound to one hierarchy: the v2 one (all of them, on pure v2 hosts), or a v1 one of its own or shared
with another (`cpu,cpuacct`). So a container has one group on a v2 host, and on hybrid and v1 hosts one more in each
v1 hierarchy that it needs, all of the same name: <top>/<instance>/<container id>. Where systemd keeps the v2 one, that
is where it says (scopes.py).

Controllers are called here as v2 calls them; v1 says blkio for io.
"""

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from minirun.errors import FAILED, MinirunError
from minirun.kernel import cgroups
from minirun.kernel.seam import shell

_V1_NAMES = {name: name for name in ("memory", "cpu", "cpuacct", "cpuset", "pids", "freezer")} | {"blkio": "io"}
_USUAL = Path("/sys/fs/cgroup")  # where systemd, Docker and podman look for them
_TURNS, _PAUSE = 200, 0.005  # a second in all: how long a killed member may take to leave its group


@dataclass(frozen=True)
class Home:
    """The hierarchy that a controller is bound to."""

    top: Path
    v2: bool


@cache
def homes() -> dict[str, Home]:
    """The hierarchy of each controller that this host has.

    mountinfo is read only where v1 hierarchies are not at their usual places: the kernel writes a line for each mount,
    and each container's network namespace is one, 2 ms for a thousand.
    """
    usual = find_usual(Path("/proc/self/cgroup").read_text())
    if usual is None:
        return find_homes(Path("/proc/self/mountinfo").read_text(), cgroups.unified())
    return _with_v2(usual, cgroups.unified())


def acts(controller: str) -> bool:
    """Return whether groups can be made in which a controller acts."""
    home = homes().get(controller)
    return home is not None and os.access(home.top, os.W_OK)


def find_usual(memberships: str, top: Path = _USUAL) -> dict[str, Home] | None:
    """The v1 hierarchies of /proc/PID/cgroup, each in a directory of `top` that is named after its controllers.

    None when one of them is not there.
    """
    hierarchies: dict[str, Home] = {}
    for line in memberships.splitlines():
        controllers = line.split(":", 2)[1]
        names = [_V1_NAMES[name] for name in controllers.split(",") if name in _V1_NAMES]
        if names and not (top / controllers / "tasks").exists():
            return None
        hierarchies.update({name: Home(top / controllers, v2=False) for name in names})
    return hierarchies


def find_homes(mountinfo: str, unified: Path | None) -> dict[str, Home]:
    """The hierarchy of each controller, from /proc/PID/mountinfo (proc_pid_mountinfo(5)) and the v2 mount point."""
    hierarchies: dict[str, Home] = {}
    for line in _lines_with(mountinfo, " - cgroup "):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        top = Path(before.split()[4])
        # `tasks` is there only in v1. A later mount may hide this one, and mountinfo would still list it.
        if kind == "cgroup" and (top / "tasks").exists():
            for option in options.split(","):
                if option in _V1_NAMES:
                    hierarchies.setdefault(_V1_NAMES[option], Home(top, v2=False))
    return _with_v2(hierarchies, unified)


def _with_v2(v1: dict[str, Home], unified: Path | None) -> dict[str, Home]:
    hierarchies = dict(v1)
    if unified is not None:
        for name in (unified / "cgroup.controllers").read_text().split():
            hierarchies.setdefault(name, Home(unified, v2=True))
    return hierarchies


def _lines_with(text: str, mark: str) -> Iterator[str]:
    """The lines that contain `mark`, found quickly: each container's network namespace is a mount, too."""
    at = text.find(mark)
    while at >= 0:
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        yield text[text.rfind("\n", 0, at) + 1 : end]
        at = text.find(mark, end)


def existing(instance: str, container_id: str) -> list[Path]:
    """Every group that a container has, the v2 one first, as the file systems show them."""
    unified = cgroups.unified()
    tops = ([unified] if unified else []) + [home.top for home in homes().values()]
    paths = [cgroups.group_in(top, instance, container_id) for top in dict.fromkeys(tops)]
    return [path for path in paths if path.exists()]


def home_at(path: Path) -> tuple[set[str], bool]:
    """The controllers that act on a group, and whether it is a v2 one."""
    acting = {name: home for name, home in homes().items() if path.is_relative_to(home.top)}
    return set(acting), any(home.v2 for home in acting.values())


# --- groups


def group_ensure(path: Path, wanted: Iterable[str]) -> None:
    """Make a group in which the `wanted` controllers act and processes may live; one that exists is fine."""
    for _ in range(_TURNS):
        try:
            cgroups.cgroup_add(path)
            return _prepare(path, set(wanted))
        except FileNotFoundError:
            continue  # the end of another container has just removed the directory above
    raise MinirunError(f"cgroup {path} is removed as often as it is made", "", FAILED)


def _prepare(path: Path, wanted: set[str]) -> None:
    above = path.parent
    if (path / "cgroup.subtree_control").exists():
        for group in (above.parent, above):
            _pass_on(group, wanted)
    elif (path / "cpuset.mems").exists():
        for group in (above, path):
            _fill_cpuset(group)


def _pass_on(group: Path, wanted: set[str]) -> None:
    """Let controllers act on the children of a v2 group, which they do only where each level above says so.

    No internal processes: a group other than the real root cannot have members and pass controllers on (cgroups(7)).
    <instance> has none, only the containers' groups below it have. But where minirun runs in a container, what it
    sees as the root is an ordinary group, and full of processes.
    """
    missing = wanted - set((group / "cgroup.subtree_control").read_text().split())
    if not missing:
        return
    names = " ".join(f"+{name}" for name in sorted(missing))
    try:
        controllers_on(group, names)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise MinirunError(
            f"cgroup {group} has processes of its own, so the kernel lets no controllers act below it ({names})",
            "move them into a group below it, or start minirun on the host itself",
            FAILED,
        ) from error


def _fill_cpuset(group: Path) -> None:
    """A v1 cpuset is born without CPUs and memory nodes, and no process may enter it so."""
    for name in ("cpuset.mems", "cpuset.cpus"):
        if not (group / name).read_text().strip():
            setting_write(group, name, (group.parent / name).read_text().strip())


@shell("echo '{names}' > {group}/cgroup.subtree_control")
def controllers_on(group: Path, names: str) -> None:
    """Let controllers (`+memory +pids`) act on the children of a v2 group."""
    (group / "cgroup.subtree_control").write_text(names)


@shell("echo {value} > {group}/{name}")
def setting_write(group: Path, name: str, value: str) -> None:
    """Write a file of a group, such as memory.max."""
    # With the newline: of nothing at all, the kernel would not even be told.
    (group / name).write_text(f"{value}\n")


# --- members


@shell("echo {pid} > {group}/cgroup.procs")
def member_add(group: Path, pid: int) -> None:
    """Move a process with all its threads into a group, but not its children."""
    (group / "cgroup.procs").write_text(str(pid))


def enter(paths: Sequence[Path]) -> None:
    """Move this process, which has one thread, into each group.

    In v1 by `tasks`: for a thread that moves itself the kernel takes no lock. By `cgroup.procs`, or for another
    process, it waits for all threads of the host to be out of fork and exit, which is 10 ms (kernel/cgroup/cgroup.c,
    cgroup_procs_write_start).
    """
    for path in paths:
        self_add(path / "tasks" if (path / "tasks").exists() else path / "cgroup.procs")


def split(groups: Sequence[Path]) -> tuple[Path | None, list[Path]]:
    """(the v2 group, in which a process can be created; the groups that it has to enter)."""
    unified = cgroups.unified()
    born_in = next((path for path in groups if unified and path.is_relative_to(unified)), None)
    return born_in, [path for path in groups if path != born_in]


@shell("echo 0 > {file}")
def self_add(file: Path) -> None:
    """Move this process into the group of that cgroup.procs or tasks file."""
    file.write_text("0")


def adopt(path: Path, members: Callable[[], Iterable[int]]) -> None:
    """Move running processes into a new group, repeatedly until no child was created outside of it meanwhile."""
    for _ in range(_TURNS):
        outside = set(members()) - set(cgroups.cgroup_pids(path))
        for pid in outside:
            with suppress(ProcessLookupError):  # it has just ended
                member_add(path, pid)
        if not outside:
            return


def members(path: Path) -> list[int]:
    """Every process in a group and below it."""
    pids: list[int] = []
    for directory, _, _ in os.walk(path):
        try:
            pids += cgroups.cgroup_pids(Path(directory))
        except OSError as error:
            if error.errno not in (errno.ENODEV, errno.EOPNOTSUPP):  # just removed; threaded: counted above
                raise
    return pids


def remove(paths: Iterable[Path]) -> None:
    """Remove groups, and those that the container made in them. Members must be dying; a group that is gone is fine."""
    for path in paths:
        for directory, _, _ in os.walk(path, topdown=False):
            _remove_one(Path(directory))


def _remove_one(group: Path) -> None:
    """A killed member leaves its group a moment after it stops running."""
    for _ in range(_TURNS):
        try:
            return cgroups.cgroup_del(group)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            time.sleep(_PAUSE)
    return cgroups.cgroup_del(group)
