"""Network namespaces as named objects: pinned below /run/netns, where `ip netns` finds them (ip-netns(8)).

A pin is a bind mount of the namespace onto an empty file. The namespace lives while any pin, process or open file
of it does; when the last one goes, the kernel takes its veths, addresses and routes along.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minirun.kernel import netlink_sockets
from minirun.kernel._sys import ffi, lib
from minirun.kernel.errno import NULL, check
from minirun.kernel.seam import prefixed, shell

PINS = Path("/run/netns")
SELF = "/proc/thread-self/ns/net"


def pin_path(name: str) -> Path:
    return PINS / name


@shell("ip netns add {name}")
def netns_add(name: str) -> None:
    """Make a new network namespace pinned as `name`. FileExistsError when somebody has that name."""
    with _home() as home:
        check(lib.sys_unshare(lib.CLONE_NEWNET))
        try:
            netns_pin(SELF, name)
        finally:
            check(lib.sys_setns(home, lib.CLONE_NEWNET))


@shell("unshare --net")
def network_unshare() -> None:
    """A new network namespace for this process alone, with a loopback that is down."""
    netlink_sockets.close_all()
    check(lib.sys_unshare(lib.CLONE_NEWNET))


@shell("ip netns attach {name} {pid}")
def netns_attach(name: str, pid: int) -> None:
    """Pin the namespace of a living process under one more name."""
    netns_pin(f"/proc/{pid}/ns/net", name)


@shell("touch /run/netns/{name} && mount --bind /run/netns/{other} /run/netns/{name}")
def netns_share(name: str, other: str) -> None:
    """Pin a namespace that is pinned as `other` under one more name."""
    netns_pin(str(pin_path(other)), name)


@shell("ip netns del {name}")
def netns_del(name: str) -> None:
    """Take the pin away; gone already is fine."""
    target = pin_path(name)
    if lib.sys_umount2(os.fsencode(target), lib.MNT_DETACH) < 0 and ffi.errno not in (
        errno.EINVAL,
        errno.ENOENT,
    ):
        check(-1, target)
    target.unlink(missing_ok=True)


def netns_exists(name: str) -> bool:
    return pin_path(name).exists()


def netns_is_used(name: str) -> bool:
    """Whether any process is in it. Who only has it open is not seen."""
    pin = pin_path(name).stat()
    for place in filter(str.isdecimal, os.listdir("/proc")):
        try:
            found = os.stat(f"/proc/{place}/ns/net")
        except OSError:  # it has just ended
            continue
        if (found.st_dev, found.st_ino) == (pin.st_dev, pin.st_ino):
            return True
    return False


@contextmanager
def entered(name: str) -> Iterator[None]:
    """Within: this thread is in the namespace pinned as `name`. Sockets opened there stay there."""
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
    """What the operations above have in common: `source` is where a namespace is to be had."""
    _ensure_pins()
    target = pin_path(name)
    os.close(os.open(target, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0))
    try:
        check(lib.sys_mount(os.fsencode(source), os.fsencode(target), NULL, lib.MS_BIND, NULL), target)
    except OSError:
        target.unlink(missing_ok=True)
        raise


def _ensure_pins() -> None:
    """/run/netns as a shared mount, as `ip netns add` makes it: an unmount here reaches other mount namespaces."""
    PINS.mkdir(mode=0o755, parents=True, exist_ok=True)
    where = os.fsencode(PINS)
    if lib.sys_mount(b"", where, NULL, lib.MS_SHARED | lib.MS_REC, NULL) == 0:
        return
    if ffi.errno != errno.EINVAL:  # EINVAL: not a mount point yet
        check(-1, PINS)
    check(lib.sys_mount(where, where, NULL, lib.MS_BIND | lib.MS_REC, NULL), PINS)
    check(lib.sys_mount(b"", where, NULL, lib.MS_SHARED | lib.MS_REC, NULL), PINS)
