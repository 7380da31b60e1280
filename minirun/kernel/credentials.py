"""Who a process is and what it may do: ids, capabilities, dumpability, resource limits.

capabilities(7), prctl(2) by python-prctl, getrlimit(2).

Import this before entering a container's root: from then on nothing may be imported.
"""

import errno
import os
import resource
from collections.abc import Sequence

import prctl

from minirun.kernel.own_ids import OWN_IDS
from minirun.kernel.seam import Raw, shell

# The capabilities by name, in the order of their numbers.
NAMES = (
    *("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap"),
    *("linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner"),
    *("sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice"),
    *("sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap"),
    *("mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf"),
    "checkpoint_restore",
)
# What Docker leaves to a container's root, a80425fb. CAP_MKNOD is harmless here: every mount is nodev.
DEFAULT = (
    *("chown", "dac_override", "fsetid", "fowner", "mknod", "net_raw", "setgid", "setuid", "setfcap", "setpcap"),
    *("net_bind_service", "sys_chroot", "kill", "audit_write"),
)
RESOURCES = {
    name.removeprefix("RLIMIT_").lower(): number
    for name, number in vars(resource).items()
    if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"
}
RESOURCES.setdefault("locks", 10)  # RLIMIT_LOCKS: Python leaves it out, and the kernel has not kept it since 2.4.25
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4


def is_root() -> bool:
    """Return whether the caller may do what minirun does."""
    return os.geteuid() == 0


def granted(add: tuple[str, ...], drop: tuple[str, ...], privileged: bool) -> tuple[str, ...]:
    """The capabilities that --cap-add and --cap-drop give, as in Docker; either may contain "all"."""
    if privileged:
        return NAMES
    if "all" in add:
        return tuple(name for name in NAMES if name not in drop)
    if "all" in drop:
        return tuple(name for name in NAMES if name in add)
    return tuple(name for name in NAMES if (name in DEFAULT and name not in drop) or name in add)


@shell(
    "setpriv --bounding-set=-all{added} --inh-caps=-all --ambient-caps=-all",
    added=lambda of: Raw("".join(f",+{name}" for name in of["names"])),
)
def drop_capabilities(names: Sequence[str]) -> None:
    """Drop all capabilities but `names` from the bounding set."""
    keep = frozenset(NAMES.index(name) for name in names)
    for number in range(_last_capability() + 1):
        if number not in keep and prctl.capbset_read(number):
            prctl.capbset_drop(number)


@shell("setpriv --reuid={uid} --regid={gid} --groups={all}", all=lambda of: ",".join(map(str, of["groups"])))
def become(uid: int, gid: int, groups: list[int]) -> None:
    """Change to a user, and keep exactly the bounding set if it is root, no capability otherwise."""
    groups_set(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)  # from 0 to another: the kernel clears permitted and effective
    if uid == 0:
        _keep_only_bounding()


def groups_set(groups: list[int]) -> None:
    """Set the supplementary groups. Where the kernel forbids it (a lab with a single user), those of the user stay.

    OSError EINVAL for a group that does not exist there.
    """
    if OWN_IDS.may_set_groups:
        os.setgroups(groups)
    elif not all(map(OWN_IDS.has_group, groups)):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


@shell("setpriv --pdeathsig=SIGKILL")
def die_with_parent(parent: int) -> None:
    """Get SIGKILL when the parent thread dies. A change of ids clears this, so call it afterwards (prctl(2))."""
    prctl.set_pdeathsig(9)
    if os.getppid() != parent:  # it died before we asked; a parent outside the pid namespace shows as 0
        os._exit(137)


@shell("setpriv --no-new-privs")
def no_new_privileges() -> None:
    """Let no execve(2) grant new privileges: setuid programs run as ordinary ones (PR_SET_NO_NEW_PRIVS)."""
    prctl.set_no_new_privs(1)


def hide_from_ptrace() -> None:
    """Make this process not dumpable: the container cannot open its /proc/PID/exe and fd (CVE-2016-9962)."""
    prctl.set_dumpable(0)


@shell("prlimit --pid $$ --{name}={soft}:{hard}")
def rlimit_set(name: str, soft: int, hard: int) -> None:
    """Set a resource limit; -1 is unlimited. Raising the hard limit takes CAP_SYS_RESOURCE."""
    resource.setrlimit(RESOURCES[name], (soft, hard))


def files_ensure(pid: int, most: int) -> tuple[int, int]:
    """Let a process open `most` files, up to its hard limit. Returns the (soft, hard) limits from before."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    if before[0] < most:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(before[0], min(most, before[1])), before[1]))
    return before


def _keep_only_bounding() -> None:
    # The names in prctl cover what the headers knew at build time; the kernel's own list may be longer or shorter.
    last = _last_capability()
    drop = [number for number in prctl.ALL_CAPS if number <= last and not prctl.capbset_read(number)]
    prctl.cap_inheritable.drop(*[number for number in prctl.ALL_CAPS if number <= last])
    # Effective before permitted: an effective capability must be a permitted one at every moment.
    prctl.cap_effective.drop(*drop)
    prctl.cap_permitted.drop(*drop)


_LAST: list[int] = []


def _last_capability() -> int:
    """Read once, on import: in the container's root this file is the container's."""
    if not _LAST:
        with open("/proc/sys/kernel/cap_last_cap") as file:
            _LAST.append(int(file.read()))
    return _LAST[0]


_last_capability()
