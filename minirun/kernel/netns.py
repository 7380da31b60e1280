"""Network namespaces as named objects: pinned below /run/netns, where `ip netns` finds them (ip-netns(8)).

A pin is a bind mount of the namespace onto an empty file. The namespace lives as long as a pin, a process in it or an
open file of it; when the last one goes, the kernel deletes its veths, addresses and routes.

A pin must be where all callers see it, and one may come from a mount namespace of its own (`unshare --mount`, a systemd
unit with PrivateTmp=yes): there a mount is seen by nobody else. So pins are made in the mount namespace of pid 1, and
found there, when the caller has the same /run.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minirun.kernel import host_changes, netlink_sockets
from minirun.kernel.mount_namespace import first_mounts_entered, is_elsewhere
from minirun.kernel.seam import prefixed, shell
from minirun.kernel.syscalls import NULL, check, ffi, lib

PINS = Path("/run/netns")
SELF = "/proc/thread-self/ns/net"
PINS_MADE = "pins"  # in host_changes: minirun has made the directory of pins
_FIRST_ROOT = "/proc/1/root"


def pin_path(name: str) -> Path:
    """Where the namespace of that name is pinned, for messages: see `netns_path`."""
    return PINS / name


def netns_path(name: str) -> Path:
    """A path by which this process reaches the namespace pinned under that name.

    FileNotFoundError when there is no such pin; other OSErrors when no namespace is mounted there.
    """
    path = pin_path(name)
    own = os.stat(SELF).st_dev  # all namespaces are in one file system
    if path.stat().st_dev == own:
        return path
    there = Path(f"{_FIRST_ROOT}{path}")
    if not is_elsewhere(PINS.parent) or there.stat().st_dev != own:
        raise OSError(errno.EINVAL, "no network namespace is mounted there", str(path))
    return there


def netns_open(name: str) -> int:
    """A descriptor of the namespace pinned under that name. Errors as for `netns_path`."""
    return os.open(netns_path(name), os.O_RDONLY | os.O_CLOEXEC)


def netns_inode(name: str) -> int:
    """What tells the namespace pinned under that name from all others. Errors as for `netns_path`."""
    return netns_path(name).stat().st_ino


@shell("ip netns add {name}")
def netns_add(name: str) -> None:
    """Make a new network namespace pinned as `name`. Raises FileExistsError when the name is taken."""
    with _home() as home:
        check(lib.sys_unshare(lib.CLONE_NEWNET))
        try:
            netns_pin(SELF, name)
        finally:
            check(lib.sys_setns(home, lib.CLONE_NEWNET))


def netns_nameless() -> int:
    """Make a network namespace without a pin. It lives as long as the descriptor that is returned."""
    with _home() as home:
        check(lib.sys_unshare(lib.CLONE_NEWNET))
        try:
            return os.open(SELF, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            check(lib.sys_setns(home, lib.CLONE_NEWNET))


@shell("unshare --net")
def network_unshare() -> None:
    """Move this process to a new network namespace, whose loopback is down."""
    netlink_sockets.close_all()
    check(lib.sys_unshare(lib.CLONE_NEWNET))


@shell("ip netns attach {name} {pid}")
def netns_attach(name: str, pid: int) -> None:
    """Pin the namespace of a running process under one more name."""
    netns_pin(f"/proc/{pid}/ns/net", name)


@shell("touch /run/netns/{name} && mount --bind /run/netns/{other} /run/netns/{name}")
def netns_share(name: str, other: str) -> None:
    """Pin the namespace that is pinned as `other` under one more name."""
    netns_pin(str(pin_path(other)), name)


@shell("ip netns del {name}")
def netns_del(name: str) -> None:
    """Remove the pin; one that is gone already is fine."""
    target = pin_path(name)
    with first_mounts_entered(PINS.parent):
        if lib.sys_umount2(os.fsencode(target), lib.MNT_DETACH) < 0 and ffi.errno not in (
            errno.EINVAL,
            errno.ENOENT,
        ):
            check(-1, target)
        target.unlink(missing_ok=True)


def netns_exists(name: str) -> bool:
    """Return whether that name is taken."""
    return pin_path(name).exists()


def netns_names() -> list[str]:
    """Return the names of all pins, sorted."""
    return sorted(os.listdir(PINS)) if PINS.is_dir() else []


def netns_is_pinned(name: str) -> bool:
    """Return whether a namespace is pinned under that name: there may be a file that nothing is mounted on."""
    try:
        netns_path(name)
    except OSError:
        return False
    return True


def netns_is_used(name: str) -> bool:
    """Return whether any process is in it. Processes that only have it open are not counted."""
    pin = netns_path(name).stat()
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            namespace = os.stat(f"/proc/{pid}/ns/net")
        except OSError:  # the process has just ended
            continue
        if (namespace.st_dev, namespace.st_ino) == (pin.st_dev, pin.st_ino):
            return True
    return False


@contextmanager
def entered(name: str) -> Iterator[None]:
    """Enter the namespace pinned as `name` within the block (this thread). Sockets opened there stay in it."""
    fd = netns_open(name)
    try:
        with _home() as home:
            check(lib.sys_setns(fd, lib.CLONE_NEWNET), pin_path(name))
            try:
                with prefixed(f"ip netns exec {name}"):
                    yield
            finally:
                netlink_sockets.close_here()  # an open socket would keep the namespace alive
                check(lib.sys_setns(home, lib.CLONE_NEWNET))
    finally:
        os.close(fd)


@contextmanager
def _home() -> Iterator[int]:
    fd = os.open(SELF, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def netns_pin(source: str, name: str) -> None:
    """Pin the namespace that `source` (/proc/PID/ns/net or a pin) leads to."""
    target = pin_path(name)
    with first_mounts_entered(PINS.parent):
        _ensure_pins()
        os.close(os.open(target, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0))
        try:
            check(lib.sys_mount(os.fsencode(source), os.fsencode(target), NULL, lib.MS_BIND, NULL), target)
        except OSError:
            target.unlink(missing_ok=True)
            raise


def _ensure_pins() -> None:
    """Make /run/netns a shared mount, as `ip netns add` does: an unmount here reaches other mount namespaces."""
    if not PINS.is_dir():
        host_changes.remember(PINS_MADE)
    PINS.mkdir(mode=0o755, parents=True, exist_ok=True)
    pins = os.fsencode(PINS)
    if lib.sys_mount(b"", pins, NULL, lib.MS_SHARED | lib.MS_REC, NULL) == 0:
        return
    if ffi.errno != errno.EINVAL:  # EINVAL: not a mount point yet
        check(-1, PINS)
    check(lib.sys_mount(pins, pins, NULL, lib.MS_BIND | lib.MS_REC, NULL), PINS)
    check(lib.sys_mount(b"", pins, NULL, lib.MS_SHARED | lib.MS_REC, NULL), PINS)
