"""What keeps an ordinary user from making a lab on this host, each as one sentence with its remedy."""

import errno
import os
from pathlib import Path

from minirun.errors import FAILED, MinirunError, describe
from minirun.kernel.own_ids import OWN_IDS

_SYSCTLS = Path("/proc/sys")
_RESTRICTION = "kernel/apparmor_restrict_unprivileged_userns"
_PROFILE = "packaging/apparmor.minirun"


def no_namespaces(error: OSError) -> MinirunError:
    """Explain why clone(2) made no user namespace."""
    return _error("this host allows no user namespaces", *_reason(error))


def not_settled(text: str) -> MinirunError:
    """Explain why the first process could not make the lab's mounts, of which it has said `text`."""
    if _sysctl(_RESTRICTION) == "1":
        return _error("AppArmor takes all rights from user namespaces of ordinary users", *_apparmor())
    return _error(
        f"the lab cannot be set up: {text}",
        "",
        "a container or sandbox that hides parts of /proc or /sys allows no new ones: start the lab outside of it",
    )


def _reason(error: OSError) -> tuple[str, str]:
    """(what forbids it, what to do)."""
    if error.errno == errno.ENOSPC or _sysctl("user/max_user_namespaces") == "0":
        shown = _sysctl("user/max_user_namespaces") or "?"
        return f"user.max_user_namespaces is {shown}", "sudo sysctl -w user.max_user_namespaces=10000"
    if error.errno in (errno.ENOSYS, errno.EINVAL):
        return describe(error), "the kernel is built without some of the namespaces: use another kernel"
    if error.errno == errno.EUSERS:
        return "there are 32 levels of them already", "leave some of the labs"
    if _sysctl("kernel/unprivileged_userns_clone") == "0":
        return "kernel.unprivileged_userns_clone is 0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    if _sysctl(_RESTRICTION) == "1":
        return _apparmor()
    if not _is_root_a_mount():
        return "this process is in a chroot", "start the lab outside of it"
    return describe(error), "a sandbox or a chroot forbids them (Docker's seccomp profile does): start the lab outside"


def _apparmor() -> tuple[str, str]:
    return (
        "kernel.apparmor_restrict_unprivileged_userns is 1",
        f"load a profile that allows minirun user namespaces: {_PROFILE} of minirun's sources says how",
    )


def _error(what: str, reason: str, remedy: str) -> MinirunError:
    return MinirunError(f"{what}: {reason}" if reason else what, remedy, FAILED)


def _is_root_a_mount() -> bool:
    return any(line.split()[4] == "/" for line in Path("/proc/self/mountinfo").read_text().splitlines())


def _sysctl(key: str) -> str:
    try:
        return (_SYSCTLS / key).read_text().strip()
    except OSError:
        return ""


def refuse_real_root() -> None:
    """MinirunError for the machine's root, whose rights a user namespace of its own does not take away."""
    if os.geteuid() == 0 and OWN_IDS.is_first:
        raise MinirunError("a lab is for users who are not root", "as root, every command works without it", FAILED)
