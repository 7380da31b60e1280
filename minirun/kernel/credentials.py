"""Who a process is and what it may do: capabilities, ids, dumpability, by python-prctl (capabilities(7), prctl(2)).

Import this before entering a container's root: from then on nothing may be imported.
"""

import os
from collections.abc import Sequence

import prctl

from minirun.kernel.capabilities import NAMES
from minirun.kernel.seam import Raw, shell

_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4


@shell(
    "setpriv --bounding-set=-all{added} --inh-caps=-all --ambient-caps=-all",
    added=lambda of: Raw("".join(f",+{name}" for name in of["names"])),
)
def drop_capabilities(names: Sequence[str]) -> None:
    """Take out of the bounding set all but `names`, in as far as the caller has them itself."""
    keep = frozenset(NAMES.index(name) for name in names)
    for number in range(_last_capability() + 1):
        if number not in keep and prctl.capbset_read(number):
            prctl.capbset_drop(number)


@shell("setpriv --reuid={uid} --regid={gid} --groups={all}", all=lambda of: ",".join(map(str, of["groups"])))
def become(uid: int, gid: int, groups: list[int]) -> None:
    """Change to a user, and hold exactly the bounding set if it is root, nothing otherwise."""
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)  # from 0 to another: the kernel clears permitted and effective
    if uid == 0:
        _keep_only_bounding()


@shell("setpriv --pdeathsig=SIGKILL")
def die_with_parent(parent: int) -> None:
    """SIGKILL when the parent thread dies. Cleared by a change of ids, so it comes after that (prctl(2))."""
    prctl.set_pdeathsig(9)
    if os.getppid() != parent:  # it died before we asked; a parent outside the pid namespace shows as 0
        os._exit(137)


@shell("setpriv --no-new-privs")
def no_new_privileges() -> None:
    """No execve grants what the caller has not: setuid programs are plain ones (PR_SET_NO_NEW_PRIVS)."""
    prctl.set_no_new_privs(1)


def hide_from_ptrace() -> None:
    """Not dumpable: /proc/PID/exe and fd of this process are closed to the container (CVE-2016-9962)."""
    prctl.set_dumpable(0)


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
    """Read once, outside: inside the root this file is the container's."""
    if not _LAST:
        with open("/proc/sys/kernel/cap_last_cap") as file:
            _LAST.append(int(file.read()))
    return _LAST[0]


_last_capability()
