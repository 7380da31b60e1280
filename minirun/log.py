"""A container's log: what it wrote, byte for byte, in the line format of CRI (kubelet's container log format).

    2026-11-24T08:00:00.123456789Z stdout F a whole line
    2026-11-24T08:00:00.123456789Z stderr P a piece of a line that had no end yet

Text in front, the bytes as they came behind: nothing is decoded, so nothing can be lost.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass


class LogWriter:
    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, stream: str, data: bytes) -> None:
        """One write for one read: a crash loses at most what was not read yet."""
        stamp = timestamp(time.time_ns()).encode()
        whole, partial = b"%b %b F " % (stamp, stream.encode()), b"%b %b P " % (stamp, stream.encode())
        lines = data.split(b"\n")
        text = b"".join(b"%b%b\n" % (whole, line) for line in lines[:-1])
        if lines[-1]:
            text += b"%b%b\n" % (partial, lines[-1])
        while text:
            text = text[os.write(self._fd, text) :]

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


def entries(file: "os.PathLike[str] | str", offset: int = 0) -> Iterator[tuple[Entry, int]]:
    """Each entry from `offset`, with the offset behind it; a line still being written is left for the next call."""
    with open(file, "rb") as log:
        log.seek(offset)
        for line in log:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield parse(line[:-1]), offset


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nine digits, as docker logs -t prints it."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"
