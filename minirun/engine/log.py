"""A container's log: its output byte for byte, in the line format of CRI (Kubernetes' container log format).

    2026-11-24T08:00:00.123456789Z stdout F a whole line
    2026-11-24T08:00:00.123456789Z stderr P part of a line without its end

Text in front, then the bytes as they came: nothing is decoded, so nothing can be lost. The newest file is `log`;
rotation renames it to `log.1`, that to `log.2`, and so on (`--log-opt max-size`, `max-file`).
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from minirun.options.values import timestamp

_MAX_LOOKS = 1000  # at a log that is being rotated at full speed


class LogWriter:
    """Writes a log; `most` is the maximum size of a file in bytes (0: no limit), `files` how many are kept.

    Every method leaves whole lines in the file, even when the disk is full.
    """

    def __init__(self, path: str, most: int = 0, files: int = 1) -> None:
        self._path = path
        self._most = most
        self._files = files
        self._lost = 0
        self._fd = _create(path)
        self._size = os.fstat(self._fd).st_size

    def write(self, stream: str, data: bytes) -> None:
        """Append output of `stream` (stdout or stderr), with one write for each file: a crash loses only unread output.

        What does not fit on the disk is dropped and counted. The next write that fits begins with a line of minirun's
        own that says how many bytes are missing.
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
        """Whether output was dropped, and the file does not say so yet."""
        return bool(self._lost)

    def _put(self, text: bytes) -> bytes:
        """Write lines, rotating as needed. Returns those that did not fit on the disk."""
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
        """Append to the file, and return how much of it, in whole lines: readers may have seen those already."""
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
        """Whether a note and the output fit: else the notes alone would fill the last block."""
        status = os.fstatvfs(self._fd)
        return status.f_bavail * status.f_frsize > size

    def _rotate(self) -> None:
        """Rename the files and begin a new one. A renamed file is never written to, so a reader may finish with it.

        Even with one file kept, a new one is made: who reads the old one can read it to its end. When the disk has no
        space for a new one, the old one is used further.
        """
        temporary = f"{self._path}.new"
        fd = -1
        try:
            fd = _create(temporary, os.O_TRUNC)
            for number in range(self._files - 2, -1, -1):
                if os.path.exists(older := _numbered(self._path, number)):
                    os.rename(older, _numbered(self._path, number + 1))
            os.rename(temporary, self._path)
        except OSError:
            if fd >= 0:
                os.close(fd)
            return
        os.close(self._fd)
        self._fd, self._size = fd, 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _create(path: str, flags: int = 0) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | flags, 0o600)


def _numbered(path: str, number: int) -> str:
    return f"{path}.{number}" if number else path


_TAG = len(b"F ")


def _lines(head: bytes, data: bytes) -> bytes:
    """Format output as lines of the file. By replace, not a loop: programs write millions of lines a second."""
    whole, newline, rest = data.rpartition(b"\n")
    text = head + b"F " + whole.replace(b"\n", b"\n" + head + b"F ") + b"\n" if newline else b""
    return text + head + b"P " + rest + b"\n" if rest else text


@dataclass(frozen=True)
class Entry:
    """One line of the log. `data` ends with a newline if the program wrote one."""

    stamp: str
    stream: str
    data: bytes


def parse(line: bytes) -> Entry:
    """Parse a line of the file, without its newline. ValueError when it has another format."""
    stamp, stream, tag, data = line.split(b" ", 3)
    return Entry(stamp.decode(), stream.decode(), data + (b"\n" if tag == b"F" else b""))


Files = list[tuple[int, int]]  # (inode, number) of each file of a log, newest first


class LogReader:
    """Reads a log from its oldest entry, and follows it through rotations."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._offset = 0

    def open(self) -> None:
        """Open the oldest file now: then it can be read even when the container is removed."""
        if self._file is None:
            self._file = self._open(lambda files: files[-1])

    def close(self) -> None:
        """Close the file that is being read."""
        if self._file is not None:
            self._file.close()

    def entries(self) -> Iterator[Entry]:
        """Yield the entries since the last call; a line that is still being written is left for the next."""
        self.open()
        while self._file is not None:
            newer = self._newer(self._file)  # before reading: a file that was renamed gets no more lines
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
        """Open the file after the one that is being read, None if that is the newest; the oldest if that was deleted.

        It is found by its inode, since rotation changes names.
        """
        inode = os.fstat(mine.fileno()).st_ino

        def after(files: Files) -> tuple[int, int] | None:
            inodes = [file_inode for file_inode, _ in files]
            if inode not in inodes:
                return files[-1]
            return files[inodes.index(inode) - 1] if inode != inodes[0] else None

        return self._open(after)

    def _open(self, choose: Callable[[Files], tuple[int, int] | None]) -> BinaryIO | None:
        """Open the file that is chosen, and choose again: a rotation may have come in between."""
        opened: BinaryIO | None = None
        for _ in range(_MAX_LOOKS):
            files = self._files()
            chosen = choose(files) if files else None
            if opened is not None:
                if chosen and os.fstat(opened.fileno()).st_ino == chosen[0]:
                    return opened
                opened.close()
                opened = None
            if chosen is None:
                return None
            try:
                opened = Path(_numbered(str(self._path), chosen[1])).open("rb")  # noqa: SIM115 - returned open
            except FileNotFoundError:
                pass
        return opened

    def _files(self) -> Files:
        """List the files twice, until both agree: then no rotation came in between."""
        before = None
        for _ in range(_MAX_LOOKS):
            if (now := self._look()) == before:
                return now
            before = now
        return []

    def _look(self) -> Files:
        files = []
        for number in self._numbers():
            try:
                files.append((os.stat(_numbered(str(self._path), number)).st_ino, number))
            except FileNotFoundError:
                pass
        return files

    def _numbers(self) -> list[int]:
        """The numbers of the files, by one listing: a file that is renamed meanwhile is not missed."""
        try:
            names = os.listdir(self._path.parent)
        except FileNotFoundError:  # removed
            return []
        tails = [name.removeprefix(self._path.name) for name in names if name.startswith(self._path.name)]
        return sorted(int(tail[1:] or 0) for tail in tails if not tail or (tail[0] == "." and tail[1:].isdigit()))
