"""What a case of the corpus is, and how its build context is laid out."""

import os
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MTIME = 1_000_000_000
"""When all files of a context were modified, in seconds since the epoch."""

CAPABILITY = b"\x01\x00\x00\x02\x00\x04\x00\x00" + bytes(12)
"""The extended attribute security.capability: cap_net_bind_service=ep."""

# Differences between the two builders that several cases show.
NO_ENTRY = "BuildKit's history has no entry for ONBUILD"
EMPTY_LAYER = "BuildKit keeps a layer without changes; the classic builder marks its entry as empty"
WORKDIR_OWNER = "BuildKit makes a working directory the user's"
VOLUME_KEPT = "the classic builder discards what RUN changes in a volume; BuildKit keeps it (VOLUME in the reference)"
SET_ID = "the classic builder's change of the owner clears the set-id bits"


@dataclass(frozen=True)
class File:
    """A file of a build context; a text alone is one with mode 644."""

    content: str | bytes = ""
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    mtime: int = MTIME


@dataclass(frozen=True)
class Directory:
    """A directory; those that only hold others need not be written."""

    mode: int = 0o755
    owner: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Symlink:
    """A symbolic link."""

    target: str


@dataclass(frozen=True)
class HardLink:
    """Another name of a file that stands before it."""

    of: str


@dataclass(frozen=True)
class Fifo:
    """A named pipe."""


Entry = str | File | Directory | Symlink | HardLink | Fifo


@dataclass(frozen=True)
class Case:
    """A Dockerfile with its context.

    files: what the context holds
    flags: of `build`
    base: the Dockerfile of an image that is built before; `FROM base` is that image
    differs: where minirun's image, as BuildKit's, is not that of Docker's classic builder: a line as `differences` has
        it, `that of Docker | that of minirun`, and the reason
    """

    name: str
    dockerfile: str
    files: Mapping[str, Entry] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    base: str = ""
    differs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """A Dockerfile that cannot be built.

    line: the one that minirun names, 0 when the error is not one of the Dockerfile's lines
    says: a part of minirun's sentence
    """

    name: str
    dockerfile: str
    line: int
    says: str
    files: Mapping[str, Entry] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


def lay(files: Mapping[str, Entry], directory: Path) -> None:
    """Make the files below a directory, which does not exist yet."""
    directory.mkdir()
    for name, entry in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(path, directory, entry)
    _set_times(directory, files)


def text_of(dockerfile: str) -> str:
    """Return a Dockerfile without the indentation that it has in the source."""
    return textwrap.dedent(dockerfile).lstrip("\n")


def _make(path: Path, top: Path, entry: Entry) -> None:
    match entry:
        case Symlink():
            path.symlink_to(entry.target)
        case HardLink():
            path.hardlink_to(top / entry.of)
        case Fifo():
            os.mkfifo(path)
        case Directory():
            path.mkdir(exist_ok=True)
            os.chown(path, *entry.owner)
            path.chmod(entry.mode)
        case str() | File():
            file = File(entry) if isinstance(entry, str) else entry
            path.write_bytes(file.content.encode() if isinstance(file.content, str) else file.content)
            os.chown(path, *file.owner)
            path.chmod(file.mode)
            for name, value in file.xattrs.items():
                os.setxattr(path, name, value)


def _set_times(directory: Path, files: Mapping[str, Entry]) -> None:
    for parent, directories, names in os.walk(directory, topdown=False):
        for name in [*directories, *names]:
            path = Path(parent, name)
            entry = files.get(str(path.relative_to(directory)))
            mtime = entry.mtime if isinstance(entry, File) else MTIME
            os.utime(path, (mtime, mtime), follow_symlinks=False)
    os.utime(directory, (MTIME, MTIME))
