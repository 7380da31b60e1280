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
    passed_on = _passed_on(own)
    sweeper = _sweep_afterwards(group, outside, passed_on, alive, known)
    os.close(alive)
    try:
        for path in (group, outside):
            cgroups.cgroup_add(path)
        (outside / "cgroup.procs").write_text("0")
        for name in (own / "cgroup.controllers").read_text().split():
            with suppress(OSError):  # others are in the group, too: then without these limits
                (own / "cgroup.subtree_control").write_text(f"+{name}")
        yield group
    finally:
        os.write(known, b"E")
        os.close(known)
        os.waitpid(sweeper, 0)
        _pass_on_no_more(own, passed_on)
        with suppress(OSError):
            (own / "cgroup.procs").write_text("0")
        _remove(outside)


@shell("echo {pid} > {group}/cgroup.procs")
def lab_group_give(group: Path, pid: int) -> None:
    """Move the first process of a lab into its group."""
    (group / "cgroup.procs").write_text(str(pid))


@shell("mkdir {top}/init && echo $$ > {top}/init/cgroup.procs")
def lab_group_settle(top: Path) -> None:
    """Leave the root of the lab's hierarchy, so that it can pass controllers on."""
    cgroups.cgroup_add(top / "init")
    cgroups.cgroup_enter(top / "init")


def _sweep_afterwards(group: Path, outside: Path, passed_on: set[str], alive: int, known: int) -> int:
    """Fork a process that removes the lab's group when the caller writes to `known`. If the caller was killed, it
    removes the caller's group, too, and takes back what was passed on. Returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        os.close(known)
        is_killed = os.read(alive, 1) == b""
        for directory, _, _ in os.walk(group, topdown=False):
            _remove(Path(directory))
        if is_killed:
            _remove(outside)
            _pass_on_no_more(group.parent, passed_on)
    finally:
        os._exit(0)


def _passed_on(group: Path) -> set[str]:
    return set((group / "cgroup.subtree_control").read_text().split())


def _pass_on_no_more(group: Path, before: set[str]) -> None:
    """Take back the controllers that were not passed on `before`."""
    for name in _passed_on(group) - before:
        with suppress(OSError):  # another lab below this group uses it
            (group / "cgroup.subtree_control").write_text(f"-{name}")


def _remove(group: Path) -> None:
    for _ in range(_TURNS):
        with suppress(OSError):
            group.rmdir()
        if not group.exists():
            return
        time.sleep(_PAUSE)
