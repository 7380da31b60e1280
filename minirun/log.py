"""A container's log: what it wrote, byte for byte, in the line format of CRI (kubelet's container log format).

    2026-11-24T08:00:00.123456789Z stdout F a whole line
    2026-11-24T08:00:00.123456789Z stderr P a piece of a line that had no end yet

Text in front, the bytes as they came behind: nothing is decoded, so nothing can be lost. The newest file is `log`;
rotation renames it to `log.1`, that to `log.2`, and so on (`--log-opt max-size`, `max-file`).
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


class LogWriter:
    """Every method leaves whole lines in the file, also when the disk is full."""

    def __init__(self, path: str, most: int = 0, files: int = 1) -> None:
        self._path = path
        self._most = most
        self._files = files
        self._lost = 0
        self._open()

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size

    def write(self, stream: str, data: bytes) -> None:
        """One write for one read: a crash loses at most what was not read yet.

        What does not fit on the disk is dropped and counted; the next write that fits begins with a line of ours that
        says how much is missing.
        """
        stamp = timestamp(time.time_ns()).encode()
        whole, partial = b"%b %b F " % (stamp, stream.encode()), b"%b %b P " % (stamp, stream.encode())
        lines = data.split(b"\n")
        text = b"".join(b"%b%b\n" % (whole, line) for line in lines[:-1])
        if lines[-1]:
            text += b"%b%b\n" % (partial, lines[-1])
        if self._lost:
            text = b"%b stderr F minirun: %d bytes are missing here: the disk was full\n" % (stamp, self._lost) + text
        if self._append(text):
            self._lost = 0
        else:
            self._lost += len(data)
        if self._most and self._size >= self._most:
            self._rotate()

    def _append(self, text: bytes) -> bool:
        try:
            view = memoryview(text)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:  # ENOSPC, EDQUOT, EFBIG, EIO: back to the last whole line
            os.ftruncate(self._fd, self._size)
            return False
        self._size += len(text)
        return True

    def _rotate(self) -> None:
        """Nothing is written to a file after its rename: a reader that sees the rename has all of it."""
        if self._files == 1:
            os.ftruncate(self._fd, 0)
            self._size = 0
            return
        for number in range(self._files - 2, 0, -1):
            try:
                os.rename(f"{self._path}.{number}", f"{self._path}.{number + 1}")
            except FileNotFoundError:
                pass
        os.rename(self._path, f"{self._path}.1")
        os.close(self._fd)
        self._open()

    def close(self) -> None:
        os.close(self._fd)


@dataclass(frozen=True, slots=True)
class Entry:
    stamp: str
    stream: str
    data: bytes  # with its newline, if the program wrote one


def parse(line: bytes) -> Entry:
    """One line of the file, without its newline. ValueError when it is not of the format."""
    stamp, stream, tag, data = line.split(b" ", 3)
    return Entry(stamp.decode(), stream.decode(), data + (b"\n" if tag == b"F" else b""))


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
        if self._file is None and not self._open_oldest():
            return
        while True:
            assert self._file is not None
            newer = self._newer()  # asked before reading: what is read after a rename was seen is all there will be
            yield from self._rest(self._file)
            if newer is None:
                return
            self._file.close()
            self._file, self._offset = newer, 0

    def _rest(self, file: BinaryIO) -> Iterator[Entry]:
        if os.fstat(file.fileno()).st_size < self._offset:
            self._offset = 0  # max-file=1: it was emptied
        file.seek(self._offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            self._offset += len(line)
            yield parse(line[:-1])

    def _open_oldest(self) -> bool:
        for name in self._names()[::-1]:
            try:
                self._file = name.open("rb")
                return True
            except FileNotFoundError:
                continue
        return False

    def _newer(self) -> BinaryIO | None:
        """The file after the one that is open, found by its place in the row: names move, files do not."""
        assert self._file is not None
        mine = os.fstat(self._file.fileno()).st_ino
        for _ in range(10):
            names = self._names()
            try:
                places = [name.stat().st_ino for name in names]
            except FileNotFoundError:
                continue  # a rotation at this very moment
            if mine == places[0]:
                return None
            wanted = names[places.index(mine) - 1] if mine in places else names[-1]
            try:
                found = wanted.open("rb")
            except FileNotFoundError:
                continue
            if os.fstat(found.fileno()).st_ino in places:
                return found
            found.close()
        return None

    def _names(self) -> list[Path]:
        """Newest first."""
        names = [self._path]
        while (older := self._path.with_name(f"{self._path.name}.{len(names)}")).exists():
            names.append(older)
        return names


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nine digits, as docker logs -t prints it."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"
