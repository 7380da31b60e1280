"""The context of a build, and its Dockerfile: from a directory, or from an archive on the standard input.

    build PATH             a directory; -f names a Dockerfile anywhere, `-f -` is the standard input
    build - < archive.tar  an archive, compressed or not; -f names a file in it
    build - < Dockerfile   a Dockerfile alone: the context is empty

https://docs.docker.com/build/concepts/context/
"""

import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, BinaryIO, cast

from minirun.archive.compression import PrefixedStream, decompressed
from minirun.archive.foreign_archive import HEAD, may_be_archive
from minirun.archive.layer_content import unpack_archive
from minirun.archive.tree_walk import DIRECTORY
from minirun.errors import MinirunError
from minirun.image.build.source_tree import SourceTree
from minirun.image.dockerfile.ignore import ignore_files, ignored_paths, read_ignore_file
from minirun.kernel.tree_root import Root

_REMOTE = re.compile(r"https?://|git://|ssh://|git@|github\.com/")
_ROOT = (0, 0)  # who owns what is copied from a context
_BLOCK = 512  # bytes of tar
_DEFAULT = ("Dockerfile", "dockerfile")
_Reader = Callable[[str], bytes | None]  # the content of a file, None if it does not exist


@dataclass(frozen=True)
class BuildContext:
    """What a build is made from: the tree, without what .dockerignore leaves out, and the Dockerfile."""

    tree: SourceTree
    dockerfile: bytes
    name: str  # of the Dockerfile, as errors call it


def open_context(where: str, dockerfile: str, stdin: BinaryIO, scratch: Path) -> BuildContext:
    """Open the context of `build WHERE -f DOCKERFILE` ("" is the default).

    An archive is unpacked into the empty directory `scratch`, which the caller removes after the build. MinirunError
    when the context or the Dockerfile cannot be read.
    """
    if where == "-":
        if dockerfile == "-":
            raise MinirunError("invalid argument: can't use stdin for both build context and dockerfile")
        return _from_stream(stdin, dockerfile, scratch)
    if _REMOTE.match(where):
        raise MinirunError(f"{where}: a remote build context is not supported", "fetch it and name the directory")
    try:
        root = Root(where)
    except (FileNotFoundError, NotADirectoryError):
        raise MinirunError(
            f'unable to prepare context: path "{where}" not found', "name a directory, or - for the standard input"
        ) from None
    if dockerfile == "-":
        return _context(root, stdin.read(), "Dockerfile", "", _in_tree(root))
    if dockerfile:
        data, name = _on_host(dockerfile), dockerfile
        beside = _on_host(ignore_files(dockerfile)[0])
    else:
        data, name = _first(_in_tree(root))
        beside = _in_tree(root)(ignore_files(name)[0])
    if data is None:
        raise MinirunError(f"failed to read dockerfile: open {name}: no such file or directory")
    return _context(root, data, os.path.basename(name), ignore_files(name)[0], _in_tree(root), beside)


def sent_context(stream: BinaryIO, dockerfile: str, scratch: Path) -> BuildContext:
    """Open a context that a client of the classic builder has sent, as `open_context` does.

    The client has left out what is ignored, except for the Dockerfile and .dockerignore, which it must send: they are
    left out here.
    """
    head = stream.read(HEAD)
    whole = cast(BinaryIO, io.BufferedReader(PrefixedStream(head, stream)))
    if may_be_archive(head):
        whole = cast(BinaryIO, _Ended(decompressed(whole, "the build context")))
    context = _from_stream(whole, dockerfile, scratch)
    data = _in_tree(context.tree.root)(".dockerignore")
    if data is None:
        return context
    own = {".dockerignore", os.path.normpath(dockerfile).lstrip("/") if dockerfile else context.name}
    ignored = ignored_paths(context.tree.root.open(".", DIRECTORY), read_ignore_file(data, ".dockerignore"))
    return replace(context, tree=replace(context.tree, skip=ignored & own))


class _Ended:
    """An archive whose writer need not have ended it: docker sends such ones for `-f -`.

    What pads the last block and the end mark are added behind it, which harms none that has them. That nothing else
    is missing, the transport has told.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._size = 0
        self._end: bytes | None = None

    def read(self, count: int = -1, /) -> bytes:
        data = self._stream.read(count)
        self._size += len(data)
        if data or count == 0:
            return data
        if self._end is None:
            self._end = bytes(-self._size % _BLOCK + 2 * _BLOCK)
        taken = len(self._end) if count < 0 else count
        data, self._end = self._end[:taken], self._end[taken:]
        return data


def _from_stream(stdin: BinaryIO, dockerfile: str, scratch: Path) -> BuildContext:
    head = stdin.read(HEAD)
    if not may_be_archive(head):
        if dockerfile:
            raise MinirunError("a Dockerfile on the standard input cannot have another one", "leave out -f")
        return _context(Root(str(scratch)), head + stdin.read(), "Dockerfile", "", lambda _: None)
    unpack_archive(cast(BinaryIO, PrefixedStream(head, stdin)), scratch)
    root = Root(str(scratch))
    data, name = (_in_tree(root)(dockerfile), dockerfile) if dockerfile else _first(_in_tree(root))
    if data is None:
        raise MinirunError(f"failed to read dockerfile: open {name}: no such file or directory", "-f names it")
    # As in BuildKit, whoever packs the archive has left out what is not wanted.
    return _context(root, data, os.path.basename(name), "", lambda _: None)


def _context(
    root: Root, dockerfile: bytes, name: str, beside_name: str, read: _Reader, beside: bytes | None = None
) -> BuildContext:
    """Apply the ignore file beside the Dockerfile, or else the context's own."""
    data, ignore_name = (read(".dockerignore"), ".dockerignore") if beside is None else (beside, beside_name)
    skip: frozenset[str] = frozenset()
    if data is not None:
        skip = ignored_paths(root.open(".", DIRECTORY), read_ignore_file(data, ignore_name))
    return BuildContext(SourceTree(root, skip, _ROOT), dockerfile, name)


def _first(read: _Reader) -> tuple[bytes | None, str]:
    """Read the Dockerfile under its default names. Without one, return the usual name."""
    found = ((data, name) for name in _DEFAULT if (data := read(name)) is not None)
    return next(found, (None, _DEFAULT[0]))


def _in_tree(root: Root) -> _Reader:
    def read(path: str) -> bytes | None:
        return _content(lambda: root.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), path)

    return read


def _on_host(path: str) -> bytes | None:
    return _content(lambda: os.open(path, os.O_RDONLY | os.O_CLOEXEC), path)


def _content(open_: Callable[[], int], path: str) -> bytes | None:
    try:
        with open(open_(), "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise MinirunError(f"open {path}: {(error.strerror or str(error)).lower()}") from error
