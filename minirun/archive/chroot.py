"""A child process whose root is an untrusted tree, connected by a pipe.

As in Docker since CVE-2018-15664, the child changes its root to the tree, so that a symlink leads to what the container
itself would see, even one that is created a moment later. From then on the child imports nothing, looks up no names
and starts no programs (CVE-2019-14271: it would load the container's libraries).

    running tree    chroot to /proc/PID/root: the child sees its mounts and volumes
    stopped tree    the layers and mounts, assembled in a mount namespace of the child's own
    layer           an image layer that is being filled: chroot
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

from minirun.errors import MinirunError, describe
from minirun.init import volumes
from minirun.init.plan import PlannedMount
from minirun.kernel import credentials, execution, processes, seam, userns
from minirun.kernel.credentials import DEFAULT
from minirun.kernel.mount_namespace import directory_enter, mounts_unshare, pivot_root, root_enter
from minirun.kernel.mounts import NODEV, filesystem_mount, overlay_mount, overlay_view
from minirun.kernel.tree_root import Root
from minirun.model import Process

Work = Callable[[BinaryIO], object]
_ENDED_EARLY = (BrokenPipeError, EOFError, tarfile.ReadError)

# With these modules, tarfile would ask the C library for user names, which loads what the tree's nsswitch.conf names.
vars(tarfile).update(pwd=None, grp=None)


@dataclass(frozen=True)
class Tree:
    """A root file system: that of a running process, or the layers and mounts to assemble it from."""

    base: Path  # `directory` and `lower` are relative to it, which keeps overlayfs's options short
    directory: str  # holds `upper`, `work` and `rootfs`
    lower: str  # the layers below `upper`, topmost first, separated by colons
    process: Process | None = None  # None: the tree is stopped
    is_stopped: Callable[[], bool] = lambda: True  # checked again under the lock, before a stopped tree is changed
    mounts: tuple[PlannedMount, ...] = ()  # to mount in a stopped tree, in this order
    is_mapped: bool = False  # `process` runs in a user namespace of its own


@contextmanager
def chroot_reader(tree: Tree, work: Work, keep: tuple[int, ...] = ()) -> Iterator[BinaryIO]:
    """Run `work` inside the tree, and yield the stream that it writes.

    `keep` are more file descriptors that `work` needs. MinirunError, when the block ends, if `work` failed.
    """
    with _child(lambda: _enter(tree, False), work, writes=False, keep=keep) as stream:
        yield stream


@contextmanager
def chroot_writer(tree: Tree, work: Work) -> Iterator[BinaryIO]:
    """Run `work` inside the tree, which it may change, and yield the stream that it reads.

    MinirunError, when the block ends, if `work` failed; at its start, if the tree was started meanwhile.
    """
    with _locked(tree), _child(lambda: _enter(tree, True), work, writes=True) as stream:
        yield stream


@contextmanager
def layer_writer(layer: Path, work: Work, capabilities: tuple[str, ...] = ()) -> Iterator[BinaryIO]:
    """Run `work` with the directory `layer` as its root, and yield the stream that it reads.

    `capabilities` are those that it needs in addition to a container's default ones.
    """
    with _child(
        lambda: directory_enter(str(layer)), work, writes=True, capabilities=(*DEFAULT, *capabilities)
    ) as stream:
        yield stream


@contextmanager
def _locked(tree: Tree) -> Iterator[None]:
    """Lock a stopped tree: an overlay must not be mounted twice for writing.

    Two copies into a stopped container take turns, and a start waits for them (engine/start.py takes the same lock).
    """
    fd = os.open(tree.base / tree.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if tree.process is None:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if not tree.is_stopped():
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
    """Fork the child. `writes`: this process writes the data, and the child reads it."""
    data_pipe, error_pipe = os.pipe(), os.pipe()
    child_end, parent_end = data_pipe if writes else data_pipe[::-1]
    pid = processes.fork(
        lambda: _child_main(lambda: _settle(enter, capabilities), work, child_end, error_pipe[1], writes, keep),
        lambda error: _send_error(error_pipe[1], error),
    )
    os.close(child_end)
    os.close(error_pipe[1])
    failure: BaseException | None = None
    try:
        with open(parent_end, "wb" if writes else "rb") as stream:
            yield stream
    except BaseException as error:  # noqa: BLE001 - raised below, unless the child knows better
        failure = error
    message = _wait(pid, error_pipe[0], failure is None)
    if message:
        raise MinirunError(message) from failure
    if failure is not None:
        raise failure


def _wait(pid: int, error_fd: int, finished: bool) -> str:
    """Return the child's error message, "" if it has none. If there is one, it came first and explains our own."""
    with open(error_fd, "rb") as file:
        message = file.read().decode("utf-8", "replace")
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code and finished and not message:
        return f"the process in the container's tree exited with {code}"
    return message


def _child_main(
    settle: Callable[[], None], work: Work, data_fd: int, error_fd: int, writes: bool, keep: tuple[int, ...]
) -> int:
    seam.be("chroot")
    processes.close_from(3, (data_fd, error_fd, *keep))
    credentials.hide_from_ptrace()
    settle()
    execution.import_no_more()
    sys.unraisablehook = lambda _: None  # it would print a traceback, and open the source files named in it
    with open(data_fd, "rb" if writes else "wb") as stream:
        work(stream)
    return 0


def _settle(enter: Callable[[], None], capabilities: tuple[str, ...]) -> None:
    enter()
    # No more rights than the container has: a link below /proc to what only the host's root may see stays closed.
    credentials.drop_capabilities(capabilities)
    credentials.become(0, 0, [])
    os.umask(0)


def _enter(tree: Tree, writes: bool) -> None:
    if tree.process is not None:
        _enter_running(tree.process, tree.is_mapped)
    else:
        _enter_stopped(tree, writes)


def _enter_running(process: Process, is_mapped: bool) -> None:
    pidfd = processes.open_process(process.pid, process.started)
    try:
        root = os.open(f"/proc/{process.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        pidfd = None
    # Still alive after /proc/PID/root was opened: the pid was not reused in between.
    if pidfd is None or processes.wait_gone(pidfd, 0):
        raise MinirunError("the container has just stopped", "try again")
    root_enter(root, process.pid)
    if is_mapped:  # so that new files get the owner that they have inside
        userns.userns_join(pidfd)
        userns.root_become()


def _enter_stopped(tree: Tree, writes: bool) -> None:
    os.chdir(tree.base)
    mounts_unshare()
    upper, rootfs = f"{tree.directory}/upper", f"{tree.directory}/rootfs"
    binds = [mount for mount in tree.mounts if mount[0] != "tmpfs"]
    sources = volumes.with_images(volumes.open_sources(binds), rootfs)
    if writes:
        overlay_mount(tree.lower, upper, f"{tree.directory}/work", rootfs)
    elif binds:
        rootfs = _mount_scratch_view(f"{upper}:{tree.lower}", rootfs)
    else:
        overlay_view(f"{upper}:{tree.lower}", rootfs)
    volumes.attach(Root(rootfs), sources)
    pivot_root(rootfs)


def _mount_scratch_view(layers: str, rootfs: str) -> str:
    """Mount the layers below a temporary one, and return the path of the result.

    The temporary layer takes the mount points of volumes, which a container that never started does not have yet.
    """
    root = Root(rootfs)
    filesystem_mount(root, ".", os.dup(root.fd), "tmpfs", "mode=700", NODEV)
    for name in ("upper", "work", "rootfs"):
        os.mkdir(f"{rootfs}/{name}", 0o755)
    overlay_mount(layers, f"{rootfs}/upper", f"{rootfs}/work", f"{rootfs}/rootfs")
    os.close(root.fd)
    return f"{rootfs}/rootfs"


def _send_error(error_fd: int, error: BaseException) -> None:
    """Send one message to the parent. A pipe that was closed, or ended too soon, is no news to who did that."""
    if isinstance(error, (*_ENDED_EARLY, KeyboardInterrupt)):
        return
    text = error.message if isinstance(error, MinirunError) else describe(error)
    os.write(error_fd, text.encode("utf-8", "replace")[:4096])
