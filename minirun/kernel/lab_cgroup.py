"""The cgroup of a lab: below the user's own one where that is delegated, as in a scope of `systemd-run --user`.

A group with members cannot pass controllers on (cgroups(7)), so `minirun lab` moves itself into a group beside the
lab's:

    SCOPE/                  the user's own group: memory, cpu and pids are passed on, if nobody else is in it
        minirun-lab-X.out/  minirun lab
        minirun-lab-X/      the root of what the lab sees
            init/           its first process and COMMAND
            minirun/        the containers'
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minirun.kernel import cgroups
from minirun.kernel.seam import shell
from minirun.kernel.syscalls import check, lib

_CONTROLLERS = "+memory +cpu +cpuset +pids +io"
_TURNS, _PAUSE = 400, 0.005  # two seconds in all: how long a killed member may take to leave its group


def delegated() -> Path | None:
    """The caller's own group in the v2 hierarchy if it may make groups below it, else None."""
    top = cgroups.mounted()
    if top is None:
        return None
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")
    group = top / own.lstrip("/")
    return group if own and all(os.access(path, os.W_OK) for path in (group, group / "cgroup.procs")) else None


@contextmanager
def lab_group(own: Path) -> Iterator[Path]:
    """Make a group for a lab below `own`. At the end, however it comes, the group and all below it are removed."""
    group = own / f"minirun-lab-{os.urandom(4).hex()}"
    outside = group.with_suffix(".out")
    alive, known = os.pipe()
    sweeper = _sweep_afterwards([group, outside], alive, known)
    os.close(alive)
    try:
        for path in (group, outside):
            cgroups.cgroup_add(path)
        (outside / "cgroup.procs").write_text("0")
        with suppress(OSError):  # others are in it, too: then groups without limits
            for name in _CONTROLLERS.split():
                with suppress(FileNotFoundError):
                    (own / "cgroup.subtree_control").write_text(name)
        yield group
    finally:
        with suppress(OSError):
            (own / "cgroup.procs").write_text("0")
        os.close(known)
        os.waitpid(sweeper, 0)


@shell("echo {pid} > {group}/cgroup.procs")
def lab_group_give(group: Path, pid: int) -> None:
    """Move the first process of a lab into its group."""
    (group / "cgroup.procs").write_text(str(pid))


@shell("unshare --cgroup")
def lab_group_root() -> None:
    """Make this process's group the root of what the lab sees."""
    check(lib.sys_unshare(lib.CLONE_NEWCGROUP))


@shell("mkdir {top}/init && echo $$ > {top}/init/cgroup.procs")
def lab_group_settle(top: Path) -> None:
    """Leave the root of the lab's hierarchy, so that it can pass controllers on."""
    cgroups.cgroup_add(top / "init")
    cgroups.cgroup_enter(top / "init")


def _sweep_afterwards(groups: list[Path], alive: int, known: int) -> int:
    """Fork a process that removes the groups when the caller has closed `known`, or ended."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        os.close(known)
        os.read(alive, 1)
        for group in groups:
            for directory, _, _ in os.walk(group, topdown=False):
                _remove(Path(directory))
        own = groups[0].parent
        names = (own / "cgroup.subtree_control").read_text().split()
        if not any(path.is_dir() for path in own.iterdir()):
            (own / "cgroup.subtree_control").write_text(" ".join(f"-{name}" for name in names))
    finally:
        os._exit(0)


def _remove(group: Path) -> None:
    for _ in range(_TURNS):
        with suppress(OSError):
            group.rmdir()
        if not group.exists():
            return
        time.sleep(_PAUSE)
