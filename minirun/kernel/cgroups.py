"""One cgroup a container in the v2 hierarchy: it groups, kills and freezes, on pure v2 and hybrid hosts (cgroups(7)).

On a host with v1 alone there is no such hierarchy: containers then have no cgroup of their own, and their pid
namespace alone keeps their processes together.
"""

import errno
import os
from functools import cache
from pathlib import Path

from minirun.kernel.own_ids import OWN_IDS
from minirun.kernel.seam import shell
from minirun.kernel.syscalls import check, lib

SYSTEM_BUS = "/run/dbus/system_bus_socket"
_SYSTEMDS = Path("/sys/fs/cgroup")  # the v2 hierarchy on pure v2 hosts


@cache
def unified() -> Path | None:
    """Where the v2 hierarchy is mounted; None when it is not, or no groups can be made in it."""
    place = mounted()
    return place if place and os.access(place, os.W_OK) and os.access(place / "cgroup.procs", os.W_OK) else None


def mounted() -> Path | None:
    """Where the v2 hierarchy is mounted, or None."""
    for place in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        if (place / "cgroup.procs").exists() and (place / "cgroup.subtree_control").exists():
            return place
    return None


def remedy(otherwise: str) -> str:
    """What gives the containers cgroups: in a lab whose user may make none, `otherwise` on a host."""
    if OWN_IDS.is_first or unified() or not mounted():
        return otherwise
    return "start the lab in a cgroup of yours: systemd-run --user --scope -p Delegate=yes minirun lab"


def container_cgroup(instance: str, container_id: str) -> Path | None:
    """A container's group in the v2 hierarchy; None without one. It need not exist."""
    base = unified()
    return base and group_in(base, instance, container_id)


def group_in(top: Path, instance: str, container_id: str) -> Path:
    """A container's group in one hierarchy: below minirun's own group, or in the v2 one in the container's
    systemd scope if it has one (scopes.py)."""
    if top == unified() and (scope := scope_of(container_id)).exists():
        return scope / "container"
    return top / instance / container_id


def is_in_scope(group: Path) -> bool:
    """Return whether a group is in a scope that systemd made for a container."""
    return group.parent.suffix == ".scope"


def scope_of(container_id: str) -> Path:
    """The scope of a container, where systemd keeps the v2 hierarchy."""
    return _SYSTEMDS / "system.slice" / f"minirun-{container_id}.scope"


def is_systemds() -> bool:
    """Return whether systemd runs (sd_booted(3)), manages the whole v2 hierarchy, and can be asked for scopes."""
    return os.path.isdir("/run/systemd/system") and unified() == _SYSTEMDS and os.path.exists(SYSTEM_BUS)


@shell("unshare --cgroup")
def unshare_cgroup() -> None:
    """Make this process's cgroup the root of what /proc/self/cgroup shows (cgroup_namespaces(7))."""
    check(lib.sys_unshare(lib.CLONE_NEWCGROUP))


@shell("mkdir -p {path}")
def cgroup_add(path: Path) -> None:
    """Make a group, and those above it; one that exists is fine."""
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
    """Kill every member at once (Linux 5.14); on older kernels, and in cgroup v1, one by one."""
    try:
        (path / "cgroup.kill").write_text("1")
    except (FileNotFoundError, PermissionError):  # v1 lets nobody make the file
        for pid in cgroup_pids(path):
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass


def cgroup_pids(path: Path) -> list[int]:
    """The processes in a group, without those in groups below; none when it does not exist."""
    try:
        return [int(line) for line in (path / "cgroup.procs").read_text().split()]
    except FileNotFoundError:
        return []


@shell("mkdir -p {scope}/monitor && echo $$ > {scope}/monitor/cgroup.procs")
def cgroup_settle(scope: Path) -> None:
    """Move the calling process into a child group: a group with members cannot pass controllers on."""
    leaf = scope / "monitor"
    leaf.mkdir(exist_ok=True)
    (leaf / "cgroup.procs").write_text("0")


@shell("echo $$ > {path}/cgroup.procs")
def cgroup_enter(path: Path) -> None:
    """Move the calling process into a group."""
    (path / "cgroup.procs").write_text("0")
