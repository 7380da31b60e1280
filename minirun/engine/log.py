"""A container's log: what it wrote, byte for byte, in the line format of CRI (kubelet's container log format).

    2026-11-24T08:00:00.123456789Z stdout F a whole line
    2026-11-24T08:00:00.123456789Z stderr P a piece of a line that had no end yet

Text in front, the bytes as they came behind: nothing is decoded, so nothing can be lost. The newest file is `log`;
rotation renames it to `log.1`, that to `log.2`, and so on (`--log-opt max-size`, `max-file`).
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from minirun.options.durations import timestamp

_PATIENCE = 1000  # looks at a log that is being rotated at full speed


class LogWriter:
    """Every method leaves whole lines in the file, also when the disk is full."""

    def __init__(self, path: str, most: int = 0, files: int = 1) -> None:
        self._path = path
        self._most = most
        self._files = files
        self._lost = 0
        self._fd = _create(path)
        self._size = os.fstat(self._fd).st_size

    def write(self, stream: str, data: bytes) -> None:
        """One write for one read and one file: a crash loses at most what was not read yet.

        What does not fit on the disk is dropped and counted; the next write that fits begins with a line of ours that
        says how much is missing.
        """
        stamp = timestamp(time.time_ns())
        head = f"{stamp} {stream} ".encode()
        text = _lines(head, data)
        if self._lost:
            note = b"%b stderr F minirun: %d bytes are missing here: the disk was full\n" % (stamp.encode(), self._lost)
            if not self._has_room(len(note) + len(text)) or self._put(note):
                self._lost += len(data)
                return
            self._lost = 0
        if dropped := self._put(text):
            self._lost = len(dropped) - dropped.count(b"\n") * (len(head) + _TAG) - (not data.endswith(b"\n"))

    @property
    def is_lossy(self) -> bool:
        """Whether it has yet to say in the file that something is missing there."""
        return bool(self._lost)

    def _put(self, text: bytes) -> bytes:
        """Write lines, to several files if need be. Those that did not fit on the disk are returned."""
        while text:
            if self._most and self._size >= self._most:
                self._rotate()
            cut = len(text)
            if self._most and (room := self._most - self._size) < cut:
                cut = text.index(b"\n", max(room, 1) - 1) + 1
            kept = self._append(text[:cut])
            text = text[kept:]
            if kept < cut:
                break
        return text

    def _append(self, lines: bytes) -> int:
        """How much of it is in the file now: all that a reader may have seen already, up to the last whole line."""
        view = memoryview(lines)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
            kept = len(lines)
        except OSError:  # ENOSPC, EDQUOT, EFBIG, EIO
            kept = lines.rfind(b"\n", 0, len(lines) - len(view)) + 1
            os.ftruncate(self._fd, self._size + kept)
        self._size += kept
        return kept

    def _has_room(self, size: int) -> bool:
        """Or the notes of what is missing would fill the last block, and be all there is in it."""
        found = os.fstatvfs(self._fd)
        return found.f_bavail * found.f_frsize > size

    def _rotate(self) -> None:
        """Nothing is written to a file after its rename: a reader that sees the rename has all of it.

        A new file each time, also where only one is kept: whoever reads the old one still has it to its end. When the
        disk has no room for a new one, the old one goes on.
        """
        beside = f"{self._path}.new"
        fd = -1
        try:
            fd = _create(beside, os.O_TRUNC)
            for number in range(self._files - 2, -1, -1):
                if os.path.exists(older := _numbered(self._path, number)):
                    os.rename(older, _numbered(self._path, number + 1))
            os.rename(beside, self._path)
        except OSError:
            if fd >= 0:
                os.close(fd)
            return
        os.close(self._fd)
        self._fd, self._size = fd, 0

    def close(self) -> None:
        os.close(self._fd)


def _create(path: str, flags: int = 0) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | flags, 0o600)


def _numbered(path: str, number: int) -> str:
    return f"{path}.{number}" if number else path


_TAG = len(b"F ")


def _lines(head: bytes, data: bytes) -> bytes:
    """What was read, as lines of the file. By replacing, not one by one: some programs write millions a second."""
    whole, newline, rest = data.rpartition(b"\n")
    text = head + b"F " + whole.replace(b"\n", b"\n" + head + b"F ") + b"\n" if newline else b""
    return text + head + b"P " + rest + b"\n" if rest else text


@dataclass(frozen=True)
class Entry:
    stamp: str
    stream: str
    data: bytes  # with its newline, if the program wrote one


def parse(line: bytes) -> Entry:
    """One line of the file, without its newline. ValueError when it is not of the format."""
    stamp, stream, tag, data = line.split(b" ", 3)
    return Entry(stamp.decode(), stream.decode(), data + (b"\n" if tag == b"F" else b""))


Row = list[tuple[int, int]]  # (inode, number) of each file of a log, newest first


class LogReader:
    """All that is in the log, oldest first; called again, what came since. Follows the log through rotations."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._offset = 0

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def entries(self) -> Iterator[Entry]:
        """A line still being written is left for the next call."""
        if self._file is None:
            self._file = self._open(lambda row: row[-1])
        while self._file is not None:
            newer = self._newer(self._file)  # before reading: what is read after a rename was seen is all there will be
            yield from self._rest(self._file)
            if newer is None:
                return
            self._file.close()
            self._file, self._offset = newer, 0

    def _rest(self, file: BinaryIO) -> Iterator[Entry]:
        file.seek(self._offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            self._offset += len(line)
            try:
                entry = parse(line[:-1])
            except ValueError:  # zeros, after a crash of the machine
                continue
            yield entry

    def _newer(self, mine: BinaryIO) -> BinaryIO | None:
        """The file after the one that is open, found by its place in the row: names move, files do not. When that was
        deleted meanwhile, the oldest there is."""
        inode = os.fstat(mine.fileno()).st_ino

        def after(row: Row) -> tuple[int, int] | None:
            places = [one for one, _ in row]
            if inode not in places:
                return row[-1]
            return row[places.index(inode) - 1] if inode != places[0] else None

        return self._open(after)

    def _open(self, choose: Callable[[Row], tuple[int, int] | None]) -> BinaryIO | None:
        """The file of the row that is chosen; chosen again once it is open, because a rotation may come in between."""
        found: BinaryIO | None = None
        for _ in range(_PATIENCE):
            row = self._row()
            chosen = choose(row) if row else None
            if found is not None:
                if chosen and os.fstat(found.fileno()).st_ino == chosen[0]:
                    return found
                found.close()
                found = None
            if chosen is None:
                return None
            try:
                found = Path(_numbered(str(self._path), chosen[1])).open("rb")  # noqa: SIM115 - returned open
            except FileNotFoundError:
                pass
        return found

    def _row(self) -> Row:
        """Two looks that agree, so that no rotation came in between."""
        before = None
        for _ in range(_PATIENCE):
            if (now := self._look()) == before:
                return now
            before = now
        return []

    def _look(self) -> Row:
        found = []
        for number in self._numbers():
            try:
                found.append((os.stat(_numbered(str(self._path), number)).st_ino, number))
            except FileNotFoundError:
                pass
        return found

    def _numbers(self) -> list[int]:
        """By a listing, which is one moment; asking for one name after the other would miss one that moves."""
        try:
            names = os.listdir(self._path.parent)
        except FileNotFoundError:  # removed
            return []
        tails = [name.removeprefix(self._path.name) for name in names if name.startswith(self._path.name)]
        return sorted(int(tail[1:] or 0) for tail in tails if not tail or (tail[0] == "." and tail[1:].isdigit()))
