"""A child process inside a container's tree, and the pipe to it.

As Docker does it since CVE-2018-15664: the child makes the tree its root, so a symlink leads to what the container
itself would see, also one that is put in place a moment later. From then on it imports nothing, looks up no names and
starts nothing (CVE-2019-14271: what it loaded would be the container's).

    running    chroot to /proc/PID/root: its mounts and volumes are seen
    stopped    its layers and volumes, mounted where nobody else sees it
    a layer    of an image that is being made: chroot
"""

import fcntl
import os
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from minirun.engine.start_plan import mounts_of
from minirun.errors import MinirunError, describe
from minirun.image.resolve import lower_of
from minirun.init import volumes
from minirun.init.plan import PlannedMount
from minirun.instance import Instance
from minirun.kernel import credentials, execution, processes, seam, userns
from minirun.kernel.credentials import DEFAULT
from minirun.kernel.mount_namespace import directory_enter, mounts_unshare, pivot_root, root_enter
from minirun.kernel.mounts import NODEV, filesystem_mount, overlay_mount, overlay_view
from minirun.kernel.tree_root import Root
from minirun.model import ACTIVE, Container, Process, Status

Work = Callable[[BinaryIO], object]
_ENDED_EARLY = (BrokenPipeError, EOFError, tarfile.ReadError)

# With these, tarfile would ask the C library for names of users, which loads what the tree's nsswitch.conf names.
vars(tarfile).update(pwd=None, grp=None)


@dataclass(frozen=True)
class Tree:
    """Where a container's files are."""

    root: Path  # the state root
    container: str
    lower: str
    init: Process | None  # None: it is not running
    still_stopped: Callable[[], bool]
    mounts: tuple[PlannedMount, ...] = ()
    is_mapped: bool = False  # it runs in a user namespace of its own

    @property
    def here(self) -> str:
        return f"containers/{self.container}"


def tree_of(instance: Instance, container: Container) -> Tree:
    lower = lower_of(instance, container.spec)
    if container.status in ACTIVE and container.status is not Status.RUNNING:
        raise MinirunError(f"container {container.name} is {container.status}", "wait until it runs, or stop it")
    init = container.init if container.status is Status.RUNNING else None
    mounts = () if init else mounts_of(instance, container.spec)
    return Tree(
        instance.root,
        container.id,
        lower,
        init,
        lambda: _is_stopped(instance, container.id),
        mounts,
        is_mapped=bool(container.ids),
    )


def _is_stopped(instance: Instance, container_id: str) -> bool:
    current = instance.store.container(container_id)
    return current is not None and current.status not in (*ACTIVE, Status.REMOVING)


@contextmanager
def reading(tree: Tree, work: Work, keep: tuple[int, ...] = ()) -> Iterator[BinaryIO]:
    """What `work` writes inside the tree. Its failure is raised here, when the block ends. `keep`: descriptors that it
    needs besides."""
    with _child(lambda: _enter(tree, False), work, writes=False, keep=keep) as stream:
        yield stream


@contextmanager
def writing(tree: Tree, work: Work) -> Iterator[BinaryIO]:
    """What is written here, `work` reads inside the tree, which it may change."""
    with _alone(tree), _child(lambda: _enter(tree, True), work, writes=True) as stream:
        yield stream


@contextmanager
def filling(layer: Path, work: Work, capabilities: tuple[str, ...] = ()) -> Iterator[BinaryIO]:
    """What is written here, `work` reads inside a layer that is being made. `capabilities` are those that it needs
    beside a container's."""
    with _child(
        lambda: directory_enter(str(layer)), work, writes=True, capabilities=(*DEFAULT, *capabilities)
    ) as stream:
        yield stream


@contextmanager
def _alone(tree: Tree) -> Iterator[None]:
    """An overlay must not be mounted twice for writing: two copies into a stopped container take turns, and a start
    waits for them (engine.py)."""
    fd = os.open(tree.root / tree.here, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if tree.init is None:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if not tree.still_stopped():
                raise MinirunError("the container has just been started", "try again")
        yield
    finally:
        os.close(fd)


@contextmanager
def _child(
    enter: Callable[[], None],
    work: Work,
    writes: bool,
    capabilities: tuple[str, ...] = tuple(DEFAULT),
    keep: tuple[int, ...] = (),
) -> Iterator[BinaryIO]:
    data, word = os.pipe(), os.pipe()
    theirs, ours = data if writes else data[::-1]
    pid = processes.fork(
        lambda: _live(lambda: _settle(enter, capabilities), work, theirs, word[1], writes, keep),
        lambda error: _say(word[1], error),
    )
    os.close(theirs)
    os.close(word[1])
    failure: BaseException | None = None
    try:
        with open(ours, "wb" if writes else "rb") as stream:
            yield stream
    except BaseException as error:  # noqa: BLE001 - raised below, unless the child knows better
        failure = error
    said = _last_words(pid, word[0], failure is None)
    if said:
        raise MinirunError(said) from failure
    if failure is not None:
        raise failure


def _last_words(pid: int, word: int, finished: bool) -> str:
    """What the child has to say of its failure. When it says anything, that was first, and explains ours."""
    with open(word, "rb") as file:
        said = file.read().decode("utf-8", "replace")
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code and finished and not said:
        return f"the process in the container's tree ended with {code}"
    return said


def _live(settle: Callable[[], None], work: Work, data: int, word: int, writes: bool, keep: tuple[int, ...]) -> int:
    """The child's life."""
    seam.be("chroot")
    processes.close_from(3, (data, word, *keep))
    credentials.hide_from_ptrace()
    settle()
    execution.import_no_more()
    sys.unraisablehook = lambda _: None  # it would print a traceback, and open the source files that this names
    with open(data, "rb" if writes else "wb") as stream:
        work(stream)
    return 0


def _settle(enter: Callable[[], None], capabilities: tuple[str, ...]) -> None:
    enter()
    # No more rights than the container has: a link below /proc to what only the host's root may see stays shut.
    credentials.drop_capabilities(capabilities)
    credentials.become(0, 0, [])
    os.umask(0)


def _enter(tree: Tree, writes: bool) -> None:
    if tree.init is not None:
        _enter_running(tree.init, tree.is_mapped)
    else:
        _enter_stopped(tree, writes)


def _enter_running(init: Process, is_mapped: bool) -> None:
    pidfd = processes.open_process(init.pid, init.started)
    try:
        root = os.open(f"/proc/{init.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        pidfd = None
    # Alive after the opening: the number was its own all the while.
    if pidfd is None or processes.wait_gone(pidfd, 0):
        raise MinirunError("the container has just stopped", "try again")
    root_enter(root, init.pid)
    if is_mapped:  # what it makes is to belong to whom it belongs inside
        userns.userns_join(pidfd)
        userns.root_become()


def _enter_stopped(tree: Tree, writes: bool) -> None:
    os.chdir(tree.root)
    mounts_unshare()
    upper, rootfs = f"{tree.here}/upper", f"{tree.here}/rootfs"
    binds = [mount for mount in tree.mounts if mount[0] == "bind"]
    opened = volumes.open_sources(binds)
    if writes:
        overlay_mount(tree.lower, upper, f"{tree.here}/work", rootfs)
    elif binds:
        rootfs = _view_with_places(f"{upper}:{tree.lower}", rootfs)
    else:
        overlay_view(f"{upper}:{tree.lower}", rootfs)
    volumes.attach(Root(rootfs), opened)
    pivot_root(rootfs)


def _view_with_places(layers: str, rootfs: str) -> str:
    """To look at, with a layer on top that is gone afterwards: for the places of volumes in a tree that has none yet,
    because it was never started."""
    root = Root(rootfs)
    filesystem_mount(root, ".", os.dup(root.fd), "tmpfs", "mode=700", NODEV)
    for name in ("upper", "work", "rootfs"):
        os.mkdir(f"{rootfs}/{name}", 0o755)
    overlay_mount(layers, f"{rootfs}/upper", f"{rootfs}/work", f"{rootfs}/rootfs")
    os.close(root.fd)
    return f"{rootfs}/rootfs"


def _say(word: int, error: BaseException) -> None:
    """One message. That the pipe was closed, or ended too soon, is no news to who did it."""
    if isinstance(error, (*_ENDED_EARLY, KeyboardInterrupt)):
        return
    text = error.message if isinstance(error, MinirunError) else describe(error)
    os.write(word, text.encode("utf-8", "replace")[:4096])
