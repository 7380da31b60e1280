"""cp and export: which half does what.

host                                        jail
copy_out   unpacks            <-- tar --    finds the source, packs it
copy_in    finds the source,
           packs it           -- tar -->    finds the target, unpacks
export     passes it on       <-- tar --    packs all but what is mounted
"""

import errno
import json
import os
import shutil
from dataclasses import dataclass
from typing import BinaryIO

from minirun.archive import copy_paths
from minirun.archive.chroot import Tree, reading, writing
from minirun.archive.copy_paths import Source, Target
from minirun.archive.foreign_archive import pass_on
from minirun.archive.pack import CHUNK, Packer
from minirun.archive.tree_walk import DIRECTORY
from minirun.archive.unpack import Manner, Unpacker
from minirun.errors import MinirunError
from minirun.kernel.tree_root import filesystem_magic

_PROC, _SYSFS = 0x9FA0, 0x62656572


@dataclass(frozen=True)
class Side:
    """The container's side of a copy."""

    tree: Tree
    container: str  # as the user called it
    path: str
    read_only: bool = False  # its root file system


def copy_out(side: Side, destination: str, follow: bool, archive: bool) -> tuple[int, list[str]]:
    """From the container to a path on the host: bytes, and the device nodes that were not made."""
    path = copy_paths.absolute(destination)
    _check_output(path)
    with reading(side.tree, lambda stream: _send(side, follow, stream)) as stream:
        source = json.loads(stream.readline() or _ended())
        target = copy_paths.find_target(path, source["is_directory"])
        manner = Manner(inside=False, archive=archive, rename=target.rename, contents=source["stored"] == ".")
        unpacked = _unpack(stream, target, manner)
        if unpacked.skipped and not source["is_directory"]:
            raise MinirunError(f"{side.path} is a device: it is not made on the host")
    return unpacked.size, unpacked.skipped


def stream_out(side: Side, follow: bool, output: BinaryIO) -> None:
    with reading(side.tree, lambda stream: _send(side, follow, stream)) as stream:
        stream.readline() or _ended()
        shutil.copyfileobj(stream, output, CHUNK)
        output.flush()


def copy_in(side: Side, path: str, follow: bool, archive: bool) -> int:
    """From a path on the host into the container: bytes."""
    try:
        source = copy_paths.find_source(copy_paths.absolute(path), follow)
    except OSError as error:
        raise MinirunError(f"lstat {error.filename}: {(error.strerror or '').lower()}") from None
    manner = Manner(inside=True, archive=archive, contents=source.stored == ".")
    with writing(side.tree, lambda stream: _receive(side, stream, manner, source.is_directory)) as stream:
        return _pack(Packer(stream), source)


def stream_in(side: Side, archive: bool, source: BinaryIO) -> int:
    """An archive, compressed or not, into a directory. It is written anew: the jail reads only what we wrote."""
    with writing(side.tree, lambda stream: _receive(side, stream, Manner(inside=True, archive=archive))) as stream:
        with Packer(stream) as packer:
            pass_on(source, packer, "the archive on the standard input")
        return packer.size


def export(tree: Tree, output: BinaryIO) -> None:
    with reading(tree, _send_all) as stream:
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


def _unpack(stream: BinaryIO, target: Target, manner: Manner) -> Unpacker:
    top = os.open(target.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _unpack_into(top, stream, target, manner)
    finally:
        os.close(top)


def _unpack_into(top: int, stream: BinaryIO, target: Target, manner: Manner) -> Unpacker:
    unpacker = Unpacker(top, target.directory, manner)
    unpacker.run_all(stream)
    return unpacker


# From here on: in the jail.


def _send(side: Side, follow: bool, stream: BinaryIO) -> None:
    path = copy_paths.inside(side.path)
    try:
        source = copy_paths.find_source(path, follow)
        _refuse_kernel_files(source)
    except FileNotFoundError:
        raise MinirunError(f"Could not find the file {side.path} in container {side.container}") from None
    except NotADirectoryError:
        raise MinirunError(f"lstat {side.path}: not a directory") from None
    head = {"stored": source.stored, "is_directory": source.is_directory}
    stream.write(json.dumps(head).encode() + b"\n")
    _pack(Packer(stream, contained=True), source)


def _refuse_kernel_files(source: Source) -> None:
    """Under Docker they are not there: it looks at the files of the image, not at what the container mounts."""
    fd = os.open(source.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if filesystem_magic(fd) in (_PROC, _SYSFS):
            raise FileNotFoundError
    finally:
        os.close(fd)


def _receive(side: Side, stream: BinaryIO, manner: Manner, from_directory: bool | None = None) -> None:
    """`from_directory` None: an archive from the standard input, for which the target must be a directory."""
    path = copy_paths.inside(side.path)
    shown = f"{side.container}:{side.path}"
    try:
        target = copy_paths.find_target(path, bool(from_directory))
    except FileNotFoundError as error:
        raise MinirunError(f"Could not find the file {error.filename} in container {side.container}") from None
    if from_directory is None and target.rename:
        raise MinirunError(f'destination "{shown}" must be a directory')
    top = os.open(target.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if side.read_only and os.fstat(top).st_dev == os.stat("/").st_dev:
        raise MinirunError("container rootfs is marked read-only")
    renamed = Manner(manner.inside, manner.archive, target.rename, manner.contents)
    try:
        _unpack_into(top, stream, target, renamed)
    except OSError as error:
        if error.errno == errno.EROFS:  # the root was seen to above
            raise MinirunError("mounted volume is marked read-only") from None
        raise


def _send_all(stream: BinaryIO) -> None:
    with Packer(stream, one_mount=True) as packer:
        packer.add_below(os.open("/", DIRECTORY), "")
