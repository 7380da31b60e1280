"""A cgroup of the bench's own in every hierarchy, seen from inside as the root.

Engines leave directories behind (/docker, /libpod_parent, /minirun). What appeared during a run cannot be told from
what somebody else made meanwhile, so nothing is compared: all of it is born below one directory, which is removed.
"""

import ctypes
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_CLONE_NEWCGROUP = 0x02000000
# What mountinfo prints beside the controllers; given back to mount(2) it is refused or means something else.
_FLAGS = {"rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode"}


@dataclass(frozen=True)
class Hierarchy:
    """One mounted cgroup tree: v1 with its controllers, or v2."""

    place: Path
    kind: str  # cgroup or cgroup2
    options: str

    def mount_command(self) -> list[str]:
        controllers = [word for word in self.options.split(",") if word not in _FLAGS and "release_agent=" not in word]
        if self.kind == "cgroup2":
            return ["mount", "-t", "cgroup2", "cgroup2", str(self.place)]
        if controllers[0].startswith("name="):
            controllers.insert(0, "none")
        return ["mount", "-t", "cgroup", "-o", ",".join(controllers), "cgroup", str(self.place)]


def hierarchies() -> list[Hierarchy]:
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        place = Path(before.split()[4])
        if kind in ("cgroup", "cgroup2") and place.is_relative_to(ROOT):
            found.append(Hierarchy(place, kind, options))
    return found


def make(name: str) -> list[Path]:
    """The directory of that name in each hierarchy, ready to take processes."""
    made = []
    for one in hierarchies():
        path = one.place / name
        path.mkdir()
        made.append(path)
        for knob in ("cpuset.cpus", "cpuset.mems"):  # v1: empty at birth, and then no process may enter
            if one.kind == "cgroup" and (path / knob).exists():
                (path / knob).write_text((one.place / knob).read_text())
        if one.kind == "cgroup2":
            (path / "init").mkdir()
    return made


def enter(made: list[Path]) -> None:
    """Move this process there and make it the root of what it sees. For a child between fork and exec.

    v2 lets no cgroup both hold processes and hand controllers to children, unless it is the real root. So, once it
    has become the root of the namespace, it is left again for a leaf.
    """
    for path in made:
        (path / "cgroup.procs").write_text(str(os.getpid()))
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWCGROUP):
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWCGROUP)")
    for path in made:
        if (path / "init").is_dir():
            (path / "init" / "cgroup.procs").write_text(str(os.getpid()))


def remove(made: list[Path]) -> list[Path]:
    """Remove all of it, leaves first; returns what would not go. A dying process holds its cgroup for a moment."""
    for _ in range(100):
        for path in made:
            for directory in _leaves_first(path):
                try:
                    directory.rmdir()
                except OSError:
                    pass  # busy: the next turn
        if not any(path.exists() for path in made):
            return []
        time.sleep(0.05)
    return [path for path in made if path.exists()]


def _leaves_first(path: Path) -> Iterator[Path]:
    for top, _, _ in os.walk(path, topdown=False):
        yield Path(top)
