"""Writing down operations, in whichever process of a command they are done: the command itself, the monitor that it
forked, the container's first process and its helpers.

All append to one file in memory, which all have inherited. A record is written when its operation has ended, and before
the process can end: who is killed in the middle leaves whole records.
"""

import marshal
import os
import struct
import time
from dataclasses import dataclass

from minirun.kernel import seam

_SIZE = struct.Struct("=I")


@dataclass(frozen=True)
class Record:
    """One operation."""

    began: float  # seconds of the monotonic clock
    seconds: float
    role: str  # of the process: command, monitor, first process ...
    name: str  # the primitive
    command: str
    failure: str = ""


class Recorder(seam.Watcher):
    """What a command's processes have done so far."""

    fd = -1
    out = 2  # where it is told
    _read = _before = 0  # bytes

    def start(self) -> None:
        """Before any other process is made. Once is enough."""
        if self.fd >= 0:
            return
        made = os.memfd_create("minirun-explain", os.MFD_CLOEXEC)
        # Opened once more to append: writers in several processes then never overwrite each other (open(2)).
        self.fd = os.open(f"/proc/self/fd/{made}", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        os.close(made)
        seam.watch(self)
        seam.keep_open(self.fd)

    def before(self, operation: seam.Operation) -> None:
        if operation.name == "exec_payload":  # from which nobody comes back
            self.after(operation, 0.0, None)

    def after(self, operation: seam.Operation, seconds: float, error: BaseException | None) -> None:
        if self.fd < 0:
            return
        began = time.monotonic() - seconds
        failure = str(error or "").partition("\n")[0]
        values = (began, seconds, seam.role(), operation.name, operation.command, failure)
        data = marshal.dumps(values)
        os.write(self.fd, _SIZE.pack(len(data)) + data)

    @property
    def has_any(self) -> bool:
        """Whether any was told of."""
        return self._read > self._before

    def forget(self) -> None:
        """What there is so far was no part of the command."""
        self.records()
        self._before = self._read

    def records(self) -> list[Record]:
        """Those that have come since the last time, in the order in which they began."""
        data = os.pread(self.fd, os.fstat(self.fd).st_size - self._read, self._read)
        self._read += len(data)
        found, at = [], 0
        while at < len(data):
            (size,) = _SIZE.unpack_from(data, at)
            at += _SIZE.size
            found.append(Record(*marshal.loads(data[at : at + size])))
            at += size
        return sorted(found, key=lambda one: one.began)


RECORDER = Recorder()
