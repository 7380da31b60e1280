"""Network namespaces as named objects: pinned below /run/netns, where `ip netns` finds them (ip-netns(8)).

A pin is a bind mount of the namespace onto an empty file. The namespace lives as long as a pin, a process in it or an
open file of it; when the last one goes, the kernel deletes its veths, addresses and routes.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minirun.kernel import netlink_sockets
from minirun.kernel.seam import prefixed, shell
from minirun.kernel.syscalls import NULL, check, ffi, lib

PINS = Path("/run/netns")
SELF = "/proc/thread-self/ns/net"


def pin_path(name: str) -> Path:
    """Where the namespace of that name is pinned."""
    return PINS / name


@shell("ip netns add {name}")
def netns_add(name: str) -> None:
    """Make a new network namespace pinned as `name`. Raises FileExistsError when the name is taken."""
    with _home() as home:
        check(lib.sys_unshare(lib.CLONE_NEWNET))
        try:
            netns_pin(SELF, name)
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
    if lib.sys_umount2(os.fsencode(target), lib.MNT_DETACH) < 0 and ffi.errno not in (
        errno.EINVAL,
        errno.ENOENT,
    ):
        check(-1, target)
    target.unlink(missing_ok=True)


def netns_exists(name: str) -> bool:
    """Return whether a namespace is pinned under that name."""
    return pin_path(name).exists()


def netns_is_used(name: str) -> bool:
    """Return whether any process is in it. Processes that only have it open are not counted."""
    pin = pin_path(name).stat()
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
    fd = os.open(pin_path(name), os.O_RDONLY | os.O_CLOEXEC)
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
    _ensure_pins()
    target = pin_path(name)
    os.close(os.open(target, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0))
    try:
        check(lib.sys_mount(os.fsencode(source), os.fsencode(target), NULL, lib.MS_BIND, NULL), target)
    except OSError:
        target.unlink(missing_ok=True)
        raise


def _ensure_pins() -> None:
    """Make /run/netns a shared mount, as `ip netns add` does: an unmount here reaches other mount namespaces."""
    PINS.mkdir(mode=0o755, parents=True, exist_ok=True)
    pins = os.fsencode(PINS)
    if lib.sys_mount(b"", pins, NULL, lib.MS_SHARED | lib.MS_REC, NULL) == 0:
        return
    if ffi.errno != errno.EINVAL:  # EINVAL: not a mount point yet
        check(-1, PINS)
    check(lib.sys_mount(pins, pins, NULL, lib.MS_BIND | lib.MS_REC, NULL), PINS)
    check(lib.sys_mount(b"", pins, NULL, lib.MS_SHARED | lib.MS_REC, NULL), PINS)
