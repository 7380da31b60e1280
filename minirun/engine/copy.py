"""cp and export: what the host's side does, and what the child in the container's tree does.

           host                             chroot child
copy_out   unpacks            <-- tar --    finds the source, packs it
copy_in    finds the source,
           packs it           -- tar -->    finds the target, unpacks
export     copies the stream  <-- tar --    packs everything that is not mounted
"""

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BufferedReader
from typing import BinaryIO, NamedTuple, Protocol

from minirun.archive import copy_paths
from minirun.archive.chroot import Tree, chroot_reader, chroot_writer
from minirun.archive.copy_paths import Source, Target
from minirun.archive.foreign_archive import repack
from minirun.archive.pack import CHUNK, Packer
from minirun.archive.tree_walk import DIRECTORY
from minirun.archive.unpack import Unpacker, UnpackOptions
from minirun.engine.start_plan import mounts_of
from minirun.errors import MinirunError
from minirun.image.resolve import lower_of
from minirun.instance import Instance
from minirun.kernel.tree_root import filesystem_magic
from minirun.model import ACTIVE, Container, Status

_PROC, _SYSFS = 0x9FA0, 0x62656572


class PathStatus(NamedTuple):
    """What is at a path: mode as st_mode has it, size in bytes, time of the last change in nanoseconds.

    link: where a symlink leads to, as an absolute path in the container
    """

    name: str
    size: int
    mode: int
    changed: int
    link: str


@dataclass(frozen=True)
class Side:
    """The container's side of a copy."""

    tree: Tree
    container: str  # the name or id that the user gave
    path: str
    read_only: bool = False  # whether its root file system is


def container_tree(instance: Instance, container: Container) -> Tree:
    """Describe where a container's files are.

    MinirunError if the container is neither running nor stopped; NotFoundError if its image is gone.
    """
    lower = lower_of(instance, container.spec)
    if container.status in ACTIVE and container.status is not Status.RUNNING:
        raise MinirunError(f"container {container.name} is {container.status}", "wait until it runs, or stop it")
    process = container.init if container.status is Status.RUNNING else None
    return Tree(
        base=instance.root,
        directory=f"containers/{container.id}",
        lower=lower,
        process=process,
        is_stopped=lambda: _is_stopped(instance, container.id),
        mounts=() if process else mounts_of(instance, container.spec),
        is_mapped=bool(container.ids),
    )


def _is_stopped(instance: Instance, container_id: str) -> bool:
    container = instance.store.container(container_id)
    return container is not None and container.status not in (*ACTIVE, Status.REMOVING)


def copy_out(side: Side, destination: str, follow: bool, archive: bool) -> tuple[int, list[str]]:
    """Copy from the container to a path on the host. Return the bytes, and the device nodes that were not made."""
    path = copy_paths.absolute(destination)
    _check_output(path)
    with chroot_reader(side.tree, lambda stream: _send(side, follow, stream)) as stream:
        source = json.loads(stream.readline() or _ended())
        target = copy_paths.find_target(path, source["is_directory"])
        options = UnpackOptions(
            chrooted=False, keep_owner=archive, rename=target.rename, contents=source["stored"] == "."
        )
        unpacked = _unpack(stream, target, options)
        if unpacked.skipped and not source["is_directory"]:
            raise MinirunError(f"{side.path} is a device; device nodes are not created on the host")
    return unpacked.size, unpacked.skipped


class Output(Protocol):
    """What an archive is written to."""

    def write(self, data: bytes, /) -> object:
        """As a file's."""

    def flush(self) -> object:
        """As a file's."""


def stream_out(side: Side, follow: bool, output: Output) -> None:
    """Write a tar archive of the container's path to `output`."""
    with reading(side, follow) as (_, stream):
        shutil.copyfileobj(stream, output, CHUNK)
        output.flush()


@contextmanager
def reading(side: Side, follow: bool) -> Iterator[tuple[PathStatus, BinaryIO]]:
    """What is at the container's path, and a tar archive of it, which has to be read to its end."""
    with chroot_reader(side.tree, lambda stream: _send(side, follow, stream)) as stream:
        yield PathStatus(*json.loads(stream.readline() or _ended())["status"]), stream


def path_status(side: Side) -> PathStatus:
    """What is at the container's path; of a symlink itself."""
    with chroot_reader(side.tree, lambda stream: _send_head(side, False, stream)) as stream:
        return PathStatus(*json.loads(stream.readline() or _ended())["status"])


def copy_in(side: Side, path: str, follow: bool, archive: bool) -> int:
    """Copy from a path on the host into the container. Return the bytes."""
    try:
        source = copy_paths.find_source(copy_paths.absolute(path), follow)
    except OSError as error:
        raise MinirunError(f"lstat {error.filename}: {(error.strerror or '').lower()}") from None
    options = UnpackOptions(chrooted=True, keep_owner=archive, contents=source.stored == ".")
    with chroot_writer(side.tree, lambda stream: _receive(side, stream, options, source.is_directory)) as stream:
        return _pack(Packer(stream), source)


def stream_in(side: Side, source: BufferedReader) -> int:
    """Unpack the tar archive `source`, compressed or not, into a directory of the container. Return the bytes.

    Owners are those in the archive. It is repacked, so that the child in the container's tree reads only what minirun
    wrote. An empty input is an empty archive.
    """
    with chroot_writer(
        side.tree, lambda stream: _receive(side, stream, UnpackOptions(chrooted=True, keep_owner=True))
    ) as stream:
        with Packer(stream) as packer:
            if source.peek(1):
                repack(source, packer, "the archive on stdin")
        return packer.size


def export(tree: Tree, output: Output) -> None:
    """Write a tar archive of the whole tree to `output`, without what is mounted in it."""
    with chroot_reader(tree, _send_all) as stream:
        shutil.copyfileobj(stream, output, CHUNK)
        output.flush()


def _check_output(path: str) -> None:
    parent = os.path.dirname(os.path.normpath(path))
    if not os.path.exists(parent):
        raise MinirunError(f'invalid output path: directory "{parent}" does not exist')


def _ended() -> bytes:
    raise EOFError("the stream ended before it began")


def _pack(packer: Packer, source: Source) -> int:
    directory = os.open(source.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with packer:
            packer.add_tree(directory, source.name, source.stored)
    finally:
        os.close(directory)
    return packer.size


def _unpack(stream: BinaryIO, target: Target, options: UnpackOptions) -> Unpacker:
    top = os.open(target.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _unpack_into(top, stream, target, options)
    finally:
        os.close(top)


def _unpack_into(top: int, stream: BinaryIO, target: Target, options: UnpackOptions) -> Unpacker:
    unpacker = Unpacker(top, target.directory, options)
    unpacker.unpack_stream(stream)
    return unpacker


# From here on, the code runs in the chroot child.


def _send(side: Side, follow: bool, stream: BinaryIO) -> None:
    _pack(Packer(stream, contained=True), _send_head(side, follow, stream))


def _send_head(side: Side, follow: bool, stream: BinaryIO) -> Source:
    path = copy_paths.rooted(side.path)
    try:
        source = copy_paths.find_source(path, follow)
        _refuse_kernel_files(source)
    except FileNotFoundError:
        raise MinirunError(f"Could not find the file {side.path} in container {side.container}") from None
    except NotADirectoryError:
        raise MinirunError(f"lstat {side.path}: not a directory") from None
    head = {"stored": source.stored, "is_directory": source.is_directory, "status": _status(path, source)}
    stream.write(json.dumps(head).encode() + b"\n")
    return source


def _status(path: str, source: Source) -> PathStatus:
    entry = os.path.join(source.directory, source.name)
    found = os.lstat(entry)
    link = os.path.realpath(entry) if stat.S_ISLNK(found.st_mode) else ""
    name = os.path.basename(os.path.normpath(path)) or "/"
    return PathStatus(name, found.st_size, found.st_mode, found.st_mtime_ns, link)


def _refuse_kernel_files(source: Source) -> None:
    """Hide /proc and /sys: Docker copies from the container's layers and volumes, where they do not exist."""
    fd = os.open(source.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if filesystem_magic(fd) in (_PROC, _SYSFS):
            raise FileNotFoundError
    finally:
        os.close(fd)


def _receive(side: Side, stream: BinaryIO, options: UnpackOptions, from_directory: bool | None = None) -> None:
    """Unpack into the container. `from_directory` None: an archive from stdin, whose target must be a directory."""
    path = copy_paths.rooted(side.path)
    shown = f"{side.container}:{side.path}"
    try:
        target = copy_paths.find_target(path, bool(from_directory))
    except FileNotFoundError as error:
        raise MinirunError(f"Could not find the file {error.filename} in container {side.container}") from None
    _refuse_covered(side, target.directory)
    if from_directory is None and target.rename:
        raise MinirunError(f'destination "{shown}" must be a directory')
    top = os.open(target.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if side.read_only and os.fstat(top).st_dev == os.stat("/").st_dev:
        raise MinirunError("container rootfs is marked read-only")
    renamed = replace(options, rename=target.rename)
    try:
        _unpack_into(top, stream, target, renamed)
    except OSError as error:
        if error.errno == errno.EROFS:  # the root file system was checked above
            raise MinirunError("mounted volume is marked read-only") from None
        raise


def _refuse_covered(side: Side, directory: str) -> None:
    """Refuse a directory that a tmpfs covers while the container runs: nobody would ever see what is copied there."""
    reached = os.path.realpath(directory)
    covering = [
        (len(real), kind, target)
        for kind, _, target, *_ in side.tree.mounts
        if os.path.commonpath((real := os.path.realpath(target), reached)) == real
    ]
    _, kind, target = max(covering, default=(0, "", ""))  # the innermost one
    if kind == "tmpfs":
        raise MinirunError(
            f"cannot copy to {side.container}:{side.path}: {target} is a tmpfs, which is there only while the"
            " container runs"
        )


def _send_all(stream: BinaryIO) -> None:
    with Packer(stream, one_mount=True) as packer:
        packer.add_below(os.open("/", DIRECTORY), "")
