"""Record kernel operations in every process of a command: the command itself, the shim that it forks, the container's
first process and its helpers.

All processes append to one file in memory that they inherit. A record is written when its operation ends, so a process
that is killed leaves only complete records.
"""

import marshal
import os
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minirun.diagnostics.explain import rule_changes
from minirun.kernel import seam

_SIZE = struct.Struct("=I")  # length of the record that follows, in bytes


@dataclass(frozen=True)
class Record:
    """One operation. The field names are the keys of `--explain=json`."""

    began: float  # seconds of the monotonic clock
    seconds: float
    role: str  # of the process: command, shim, first process ...
    name: str  # the primitive's function name
    command: str  # the equivalent shell command
    failure: str = ""  # the first line of the error; "" on success
    changes: Sequence[str] = ()  # of rules: what differs afterwards, as nft commands without `nft`


class Recorder(seam.Watcher):
    """Writes the operations of all processes to one file, and reads them back."""

    fd = -1  # the file in memory; -1: not recording
    out = 2  # file descriptor that the operations are printed to
    host_pids: Mapping[int, int] = {}  # of a dry run: ids of processes in the copy, with those on the host
    _rules = ""  # before the operation that goes on
    _read = _before = 0  # offsets in the file, in bytes

    def start(self) -> None:
        """Start recording. Call it before any other process is made; calling it again does nothing."""
        if self.fd >= 0:
            return
        memory_fd = os.memfd_create("minirun-explain", os.MFD_CLOEXEC)
        # Open it again to append: then writers in several processes never overwrite each other (open(2)).
        self.fd = os.open(f"/proc/self/fd/{memory_fd}", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        os.close(memory_fd)
        seam.watch(self)
        seam.keep_open(self.fd)

    def stop(self) -> None:
        """Stop recording in this process, which goes on with something else. Those that it has made still record."""
        seam.unwatch(self, self.fd)
        os.close(self.fd)
        self.fd = -1
        self._read = self._before = 0

    def before(self, operation: seam.Operation) -> None:
        """Record an exec of the program before it happens: it never returns. Look at the rules that will change."""
        if operation.name == "exec_payload":
            self.after(operation, 0.0, None)
        elif operation.name in rule_changes.PRIMITIVES:
            self._rules = rule_changes.listing(operation.command)

    def after(self, operation: seam.Operation, seconds: float, error: BaseException | None) -> None:
        """Append a record of an operation that has ended."""
        if self.fd < 0:
            return
        began = time.monotonic() - seconds
        failure = str(error or "").partition("\n")[0]
        changes = []
        if operation.name in rule_changes.PRIMITIVES and not failure:
            changes = rule_changes.changes(self._rules, rule_changes.listing(operation.command))
        values = (began, seconds, seam.role(), operation.name, operation.command, failure, changes)
        data = marshal.dumps(values)
        os.write(self.fd, _SIZE.pack(len(data)) + data)

    @property
    def has_any(self) -> bool:
        """Whether `records` has returned any record of the command."""
        return self._read > self._before

    def forget(self) -> None:
        """Drop the records so far: they are not part of the command."""
        self.records()
        self._before = self._read

    def records(self) -> list[Record]:
        """Return the records added since the last call, sorted by start time."""
        data = os.pread(self.fd, os.fstat(self.fd).st_size - self._read, self._read)
        self._read += len(data)
        records, offset = [], 0
        while offset < len(data):
            (size,) = _SIZE.unpack_from(data, offset)
            offset += _SIZE.size
            records.append(Record(*marshal.loads(data[offset : offset + size])))
            offset += size
        return sorted(records, key=lambda record: record.began)


RECORDER = Recorder()
