"""A throwaway copy of the host for a process and its descendants: namespaces of its own for everything that minirun
changes. Nothing done there is visible outside, and the kernel removes all of it when the first process ends.

Files of the host are readable. What is written is in memory: /run, and what the caller mounts.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from minirun.kernel import cgroups, controllers, credentials, netlink_sockets, processes
from minirun.kernel.loopback import loopback_up
from minirun.kernel.mount_namespace import mounts_private, mounts_read_only
from minirun.kernel.mounts import bind_mount, filesystem_mount
from minirun.kernel.syscalls import check, lib
from minirun.kernel.tree_root import Root

_EVERYTHING = (
    lib.CLONE_NEWNS | lib.CLONE_NEWNET | lib.CLONE_NEWPID | lib.CLONE_NEWUTS | lib.CLONE_NEWIPC | lib.CLONE_NEWCGROUP
)

_SETTINGS = [
    Path("/proc/sys/net") / name for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv4/conf/all/rp_filter")
]


def host_live(
    name: str, live: Callable[[], int], tell: Callable[[int], None] = lambda pid: None, shared: Path | None = None
) -> int:
    """Run `live` in a throwaway host, and return its result. Its cgroups are named after `name` meanwhile.

    `tell` is called with the pid of the process that runs `live`, as the caller's pid namespace shows it.
    `shared` is a directory of /run that the copy sees, too, if it exists.
    The caller must be single-threaded (see csrc/sys.c).
    """
    name = f"{name}-{os.urandom(4).hex()}"  # the sweeper of an earlier one may still be at work
    groups = [home.top / name for home in _homes()]
    alive, known = os.pipe()
    _sweep_afterwards(groups, alive, known)  # before there is something to remove
    os.close(alive)
    try:
        for home, group in zip(_homes(), groups, strict=True):
            controllers.group_ensure(group, ()) if not home.v2 else cgroups.cgroup_add(group / "init")
        command = os.getpid()
        pid = processes.fork(lambda: _enter(groups, command, live, tell, shared), _complain)
        try:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except KeyboardInterrupt:  # whether the others got it, too, depends on who sent it
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
    finally:
        controllers.remove(groups)
        os.close(known)


class OwnNamespaces:
    """A mount and a network namespace that this process can enter and leave, with empty file systems on some
    directories. The kernel removes both after `close`, when nothing there is open any more.
    """

    def __init__(self, hidden: Iterable[str]) -> None:
        """hidden: the directories, relative to /. OSError: it is not permitted."""
        self._own = _Place()
        self._other: _Place | None = None
        netlink_sockets.close_all()
        try:
            check(lib.sys_unshare(lib.CLONE_NEWNS | lib.CLONE_NEWNET))
            try:
                self._furnish(hidden)
            finally:
                self._leave()
        except BaseException:
            self.close()
            raise

    def _furnish(self, hidden: Iterable[str]) -> None:
        self._other = _Place()
        mounts_private()
        root = Root("/")
        try:
            for place in hidden:
                _mount(root, place, "tmpfs", "mode=755")
        finally:
            os.close(root.fd)
        loopback_up()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be there within the block. A process that cannot come back ends."""
        assert self._other is not None, "it was made"
        netlink_sockets.close_all()
        try:
            self._other.enter()
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        try:
            netlink_sockets.close_all()
            self._own.enter()
        except OSError:
            os._exit(1)

    def close(self) -> None:
        """Forget them."""
        for place in filter(None, (self._own, self._other)):
            place.close()


class _Place:
    """The mount and network namespace that this process is in, its root, which may be a chroot, and its directory."""

    def __init__(self) -> None:
        self._fds: list[int] = []
        try:
            for path in ("/proc/self/ns/mnt", "/proc/self/ns/net"):
                self._fds.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            for path in ("/", "."):
                self._fds.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError:
            self.close()
            raise

    def enter(self) -> None:
        mounts, net, root, here = self._fds
        check(lib.sys_setns(mounts, lib.CLONE_NEWNS))
        check(lib.sys_setns(net, lib.CLONE_NEWNET))
        os.fchdir(root)  # setns(2) leads to the root of the mount namespace
        os.chroot(".")
        os.fchdir(here)

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)


def _sweep_afterwards(groups: list[Path], alive: int, known: int) -> None:
    """Fork a process that removes the groups when this one has ended, however it does: a pipe tells."""
    if processes.fork_away():
        return
    try:
        os.close(known)
        os.read(alive, 1)
        controllers.remove(groups)
    finally:
        os._exit(0)


def _homes() -> list[controllers.Home]:
    """Each hierarchy once; the v2 one even if no controller is bound to it."""
    unified = cgroups.unified()
    hierarchies = {home.top: home for home in controllers.homes().values()}
    if unified is not None:
        hierarchies.setdefault(unified, controllers.Home(unified, v2=True))
    return list(hierarchies.values())


def _complain(error: BaseException) -> None:
    os.write(2, f"minirun: {error}\n".encode())


def _enter(
    groups: list[Path], command: int, live: Callable[[], int], tell: Callable[[int], None], shared: Path | None
) -> int:
    credentials.die_with_parent(command)
    for group in groups:
        cgroups.cgroup_enter(group)
    settings = {path: path.read_text() for path in _SETTINGS if path.exists()}
    check(lib.sys_unshare(_EVERYTHING))
    for group in groups:  # a group with members cannot pass controllers on
        if (group / "init").is_dir():
            cgroups.cgroup_enter(group / "init")
    is_told, told = os.pipe()

    def first() -> int:
        os.close(told)
        os.read(is_told, 1)
        os.close(is_told)
        return _first(settings, live, shared)

    pid = processes.fork(first, _complain)
    os.close(is_told)
    tell(pid)
    os.close(told)  # what `live` says comes after what `tell` says
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the command and for `live`
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def _first(settings: dict[Path, str], live: Callable[[], int], shared: Path | None) -> int:
    """Run as pid 1 there. `settings` are the network settings of the host."""
    credentials.die_with_parent(0)
    check(lib.sys_wait_when_stopped())
    homes, kinds = _homes(), {home.top: _options(home) for home in _homes()}
    mounts_private()
    mounts_read_only()
    kept = os.open(shared, os.O_PATH | os.O_DIRECTORY) if shared is not None and shared.is_dir() else None
    root = Root("/")
    for place, kind, options in (("proc", "proc", ""), ("sys", "sysfs", ""), ("run", "tmpfs", "mode=755")):
        _mount(root, place, kind, options)
    if kept is not None:
        _share(root, kept, str(shared).lstrip("/"))
    if not any(home.top == Path("/sys/fs/cgroup") for home in homes):
        _mount(root, "sys/fs/cgroup", "tmpfs", "mode=755")
    for home in homes:
        home.top.mkdir(exist_ok=True)
        _mount(root, str(home.top).lstrip("/"), "cgroup2" if home.v2 else "cgroup", kinds[home.top])
    os.close(root.fd)
    loopback_up()
    for path, text in settings.items():
        path.write_text(text)
    return live()


def _share(root: Root, kept: int, place: str) -> None:
    """Have the directory `kept` at a place below /run, which is empty now."""
    Path("/", place).mkdir(mode=0o700, parents=True)
    bind_mount(root, f"/proc/self/fd/{kept}", place, root.open(place, os.O_PATH | os.O_DIRECTORY), 0)
    os.close(kept)


def _options(home: controllers.Home) -> str:
    """The mount options of a hierarchy: a v1 one is mounted again by its controllers."""
    if home.v2:
        return ""
    names = {name for name, other in controllers.homes().items() if other.top == home.top}
    return ",".join(sorted("blkio" if name == "io" else name for name in names))


def _mount(root: Root, place: str, kind: str, options: str) -> None:
    filesystem_mount(root, place, root.open(place, os.O_PATH | os.O_DIRECTORY), kind, options, 0)
