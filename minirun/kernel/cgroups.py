"""One cgroup a container in the v2 hierarchy: it groups, kills and freezes, on pure v2 and hybrid hosts (cgroups(7)).

On a host with v1 alone there is no such hierarchy: containers then have no cgroup of their own, and their pid
namespace alone keeps their processes together.
"""

import errno
import os
from functools import cache
from pathlib import Path

from minirun.kernel.seam import shell


@cache
def unified() -> Path | None:
    """Where the v2 hierarchy is mounted, or None."""
    for place in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        if (place / "cgroup.procs").exists() and (place / "cgroup.subtree_control").exists():
            return place
    return None


def container_cgroup(instance: str, container_id: str) -> Path | None:
    base = unified()
    return base and base / instance / container_id


@shell("mkdir -p {path}")
def cgroup_add(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)


@shell("rmdir {path}")
def cgroup_del(path: Path) -> None:
    """Remove an empty cgroup, and the parent when it was the last. Gone already is fine; EBUSY when not empty."""
    try:
        path.rmdir()
    except FileNotFoundError:
        pass
    try:
        path.parent.rmdir()
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY, errno.ENOENT):
            raise


@shell("echo 1 > {path}/cgroup.kill")
def cgroup_kill(path: Path) -> None:
    """SIGKILL to every member at once (Linux 5.14); before that, one by one until none is left."""
    try:
        (path / "cgroup.kill").write_text("1")
    except FileNotFoundError:
        for pid in cgroup_pids(path):
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass


def cgroup_pids(path: Path) -> list[int]:
    try:
        return [int(line) for line in (path / "cgroup.procs").read_text().split()]
    except FileNotFoundError:
        return []


@shell("echo $$ > {path}/cgroup.procs")
def cgroup_enter(path: Path) -> None:
    """The calling process moves itself."""
    (path / "cgroup.procs").write_text("0")
