"""COPY and ADD: the files of a source are packed, and unpacked in the tree of the stage.

The two sides exchange one line of JSON and a tar stream. The source's side runs on the host for a build context, and in
a chroot child for a stage or an image; the destination's side always runs in a chroot child, so that symlinks of either
tree lead to what a container would see.

https://docs.docker.com/reference/dockerfile/#copy
"""

import hashlib
import io
import json
import os
import posixpath
import shutil
import stat
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from minirun.archive.chroot import Tree, chroot_reader
from minirun.archive.compression import decompressed
from minirun.archive.foreign_archive import HEAD, may_be_archive, repack
from minirun.archive.pack import Packer
from minirun.archive.tree_walk import DIRECTORY
from minirun.archive.unpack import Unpacker, UnpackOptions
from minirun.errors import MinirunError
from minirun.image.build.source_tree import SourceTree
from minirun.image.dockerfile.file_mode import ModeChange
from minirun.image.dockerfile.ignore import exclude_rules, ignored_paths
from minirun.image.dockerfile.steps import CopyStep
from minirun.init import user
from minirun.kernel.tree_root import Root

_PIVOT = "/./"
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Download:
    """A file that ADD has downloaded. `mtime`: in seconds since the epoch."""

    name: str
    file: Path
    mtime: int


@dataclass(frozen=True)
class _Source:
    """What a source of COPY has led to. `stored`: its name below the destination, "" for what a directory holds."""

    path: str
    stored: str
    is_archive: bool = False


@dataclass(frozen=True)
class _Header:
    """What the destination's side must know first.

    is_file: there is one file, which may get the name of the destination
    mtime: of the directory whose content comes, for a destination that does not exist yet
    replaces: an entry replaces what has its name, even a directory with its content
    """

    is_file: bool
    mtime: int = -1
    replaces: bool = False


@dataclass(frozen=True)
class Selection:
    """The files that the sources of a step mean: what of the tree, without what is excluded."""

    tree: SourceTree
    sources: tuple[_Source, ...]

    def digest(self) -> str:
        """Return the digest of names and content: a symlink's content comes from elsewhere, and its name counts."""
        names = json.dumps([source.stored for source in self.sources])
        content = self.tree.digest(source.path for source in self.sources)
        return hashlib.sha256(f"{names} {content}".encode("utf-8", "surrogateescape")).hexdigest()


def select(tree: SourceTree, step: CopyStep) -> Selection:
    """Find the files that a step copies. MinirunError when a source is not there."""
    found = [source for text in step.sources for source in _find(tree, step, text)]
    if step.sources and not found and not step.exclude:
        raise MinirunError(f"no source files were specified: nothing matches {' '.join(step.sources)}")
    if step.exclude:
        tree, found = _without(tree, step, found)
    return Selection(tree, tuple(found))


def send(selection: Selection, step: CopyStep, downloads: Sequence[Download], stream: BinaryIO) -> None:
    """Write what is copied to `stream`."""
    root, sources = selection.tree.root, selection.sources
    names = [*(source.stored for source in sources), *(one.name for one in downloads), *(n for n, _ in step.contents)]
    directories = [source for source in sources if _is_directory(root.open(source.path, follow=False))]
    has_archive = any(source.is_archive for source in sources) or bool(downloads and step.unpacks_urls)
    is_file = len(names) == 1 and not (directories or has_archive or step.keeps_parents)
    header = _Header(is_file, replaces=has_archive)
    if directories and not directories[0].stored:
        header = replace(header, mtime=int(_status(root.open(directories[0].path, follow=False)).st_mtime))
    stream.write(json.dumps(asdict(header)).encode() + b"\n")
    with Packer(stream, owner=selection.tree.owner) as packer:
        for source in sources:
            _pack(packer, selection.tree, source)
        for download in downloads:
            _add_download(packer, download, step.unpacks_urls)
        for name, text in step.contents:
            _add_file(packer, name, text.encode("utf-8", "surrogateescape"))


def digest_in(tree: Tree, step: CopyStep) -> str:
    """Return the digest of what a step copies from the tree of a stage or an image."""
    with chroot_reader(tree, lambda out: out.write(select(_own_root(), step).digest().encode())) as stream:
        return stream.read().decode()


def send_from(tree: Tree, step: CopyStep, target: BinaryIO) -> None:
    """Write what a step copies from the tree of a stage or an image to `target`."""
    with chroot_reader(tree, lambda out: send(select(_own_root(), step), step, (), out)) as stream:
        shutil.copyfileobj(stream, target)


def _own_root() -> SourceTree:
    """Return the tree that this process, a chroot child, has as its root."""
    return SourceTree(Root("/"))


def receive(step: CopyStep, stream: BinaryIO) -> None:
    """Unpack into the root directory of this process what `send` has written."""
    line = stream.readline()
    if not line:
        raise EOFError("the source has failed, and says why")
    header = _Header(**json.loads(line))
    owner = owner_of(step.chown)
    path = os.path.realpath("/" + step.destination.strip("/"))
    rename = ""
    if header.is_file and not step.destination.endswith("/") and not os.path.isdir(path):
        path, rename = os.path.split(path)
        header = _Header(True)
    is_new = make_directory(path, owner or (0, 0))
    top = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    options = UnpackOptions(
        chrooted=True,
        keep_owner=True,
        rename=rename,
        replaces=header.replaces,
        change=_Change(owner, step.chmod),
    )
    Unpacker(top, path, options).unpack_stream(stream)
    if is_new and header.mtime >= 0:
        os.utime(path, (header.mtime, header.mtime))


def make_directory(path: str, owner: tuple[int, int]) -> bool:
    """Make a directory of this process's root, and what is missing above it. Return whether it is new.

    MinirunError when a file is in the way.
    """
    is_new = False
    reached = "/"
    parts = [part for part in os.path.realpath(path).split("/") if part]
    for number, part in enumerate(parts, 1):
        reached = os.path.join(reached, part)
        try:
            os.mkdir(reached, 0o755)
        except FileExistsError:
            if not os.path.isdir(reached):
                raise MinirunError(f"cannot copy to non-directory: {reached}") from None
            continue
        os.chown(reached, *owner)
        is_new = number == len(parts)
    return is_new


def owner_of(chown: str) -> tuple[int, int] | None:
    """Return the ids that --chown means in this process's root; None without one. MinirunError for unknown names."""
    if not chown:
        return None
    name, _, group = chown.partition(":")
    try:
        found = user.resolve(chown if name else f"0:{group}")
    except user.UserError as error:
        raise MinirunError(f"can't find uid for user {name}: {error}") from None
    # A user id without a group means the group of the same number.
    return found.uid, found.gid if group or not name.isdecimal() else int(name)


@dataclass(frozen=True)
class _Change:
    """Change the owner and the mode of what is unpacked, by --chown and --chmod."""

    owner: tuple[int, int] | None
    mode: ModeChange | None

    def __call__(self, member: tarfile.TarInfo) -> None:
        if self.owner is not None:
            member.uid, member.gid = self.owner
        if self.mode is not None and not member.issym():
            member.mode = self.mode.apply(member.mode, member.isdir())


def _find(tree: SourceTree, step: CopyStep, text: str) -> Iterator[_Source]:
    base, pivot, rest = text.partition(_PIVOT) if step.keeps_parents else ("", "", text)
    for path, name in tree.find_named(f"{base}/{rest}" if pivot else text):
        if step.keeps_parents:
            parts = path.split("/")
            yield _Source(path, "/".join(parts[base.count("/") + 1 :]) if pivot else "" if path == "." else path)
            continue
        is_directory = _is_directory(tree.root.open(path, follow=False))
        is_archive = step.is_add and step.unpacks and not is_directory and _is_archive(tree, path)
        yield _Source(path, "" if is_directory else name, is_archive)


def _without(tree: SourceTree, step: CopyStep, sources: list[_Source]) -> tuple[SourceTree, list[_Source]]:
    """Leave out what --exclude says. A pattern is about the names below a source directory, and about a file's own."""
    rules = exclude_rules(step.exclude)
    skip: set[str] = set(tree.skip)
    kept: list[_Source] = []
    for source in sources:
        name = source.stored or "."
        if name != "." and rules.is_ignored(name):
            continue
        kept.append(source)
        fd = tree.root.open(source.path, follow=False)
        if _is_directory(fd):
            below = ignored_paths(tree.root.open(source.path, DIRECTORY, follow=False), rules)
            skip |= {posixpath.normpath(posixpath.join(source.path, path)) for path in below}
    return replace(tree, skip=frozenset(skip)), kept


def _pack(packer: Packer, tree: SourceTree, source: _Source) -> None:
    if source.is_archive:
        with open(tree.root.open(source.path, _FILE, follow=False), "rb") as file:
            repack(file, packer, f'"/{source.path}"')
        return
    fd = tree.root.open(source.path, follow=False)
    if _is_directory(fd) and not source.stored:
        packer.add_below(tree.root.open(source.path, DIRECTORY, follow=False), "", _below(tree, source.path))
        return
    above = tree.root.open(posixpath.dirname(source.path) or ".", os.O_PATH | DIRECTORY, follow=False)
    try:
        parents = source.stored.split("/")[:-1]
        _pack_parents(packer, tree, source, parents)
        below = {posixpath.join(source.stored, path) for path in _below(tree, source.path)}
        packer.add_tree(above, posixpath.basename(source.path), source.stored, frozenset(below))
    finally:
        os.close(above)


def _pack_parents(packer: Packer, tree: SourceTree, source: _Source, parents: list[str]) -> None:
    """Add the directories above a file of COPY --parents, as they are in the source."""
    base = source.path.split("/")[: -len(parents) - 1]
    for number in range(1, len(parents) + 1):
        above = tree.root.open("/".join([*base, *parents[: number - 1]]) or ".", os.O_PATH | DIRECTORY, follow=False)
        try:
            packer.add_directory(above, parents[number - 1], "/".join(parents[:number]))
        finally:
            os.close(above)


def _below(tree: SourceTree, path: str) -> frozenset[str]:
    """Return what is left out below a path, relative to it."""
    prefix = "" if path == "." else f"{path}/"
    return frozenset(skipped[len(prefix) :] for skipped in tree.skip if skipped.startswith(prefix))


def _is_archive(tree: SourceTree, path: str) -> bool:
    """Return whether a file is a tar archive, compressed or not: its first header can be read."""
    with open(tree.root.open(path, _FILE, follow=False), "rb") as file:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode) and is_archive(file)


def is_archive(file: BinaryIO) -> bool:
    """Return whether a file is a tar archive, compressed or not."""
    if not may_be_archive(file.read(HEAD)):
        return False
    file.seek(0)
    try:
        with tarfile.open(fileobj=decompressed(file, "it"), mode="r|") as tar:
            return tar.next() is not None
    except (tarfile.TarError, MinirunError):
        return False


def _add_download(packer: Packer, download: Download, unpacks: bool) -> None:
    with download.file.open("rb") as file:
        if unpacks and is_archive(file):
            file.seek(0)
            repack(file, packer, download.name)
            return
        file.seek(0)
        info = tarfile.TarInfo(download.name)
        info.mode, info.mtime, info.size = 0o600, download.mtime, download.file.stat().st_size
        packer.add(info, file)


def _add_file(packer: Packer, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.mode, info.size, info.mtime = 0o644, len(content), int(time.time())
    packer.add(info, cast(BinaryIO, io.BytesIO(content)))


def _is_directory(fd: int) -> bool:
    return stat.S_ISDIR(_status(fd).st_mode)


def _status(fd: int) -> os.stat_result:
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)
