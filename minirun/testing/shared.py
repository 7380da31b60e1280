"""What the workers of a run (pytest-xdist) share: a throwaway host, and containers of the scope "run".

The first worker that asks makes it, under a lock, and writes a record for the others. It belongs to the run's process,
which is the one that started the workers, so it ends with that one by the kernel's means: a worker may end or be killed
before. Records are files of the run in a directory of the user's own.
"""

import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minirun.testing.conditions import Condition
from minirun.testing.container import Container, RunOptions
from minirun.testing.failures import HostError
from minirun.testing.host import Host


class Run:
    """The run that the process `owner` is of. `timeout`: as Host's."""

    def __init__(self, owner: int, timeout: float) -> None:
        self.owner = owner
        self.timeout = timeout
        started = Path(f"/proc/{owner}/stat").read_text().rpartition(")")[2].split()[19]
        self._namespace = os.stat("/proc/self/ns/pid").st_ino  # others that use this directory have other processes
        self._prefix = f"{self._namespace}-{owner}-{started}-"

    def container(self, key: str, host: Host, run: Callable[[], Container]) -> Container:
        """Return the container on `host` that another worker has made for `key`, or make it."""
        with self._record(f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json") as file:
            if file.exists():
                found = json.loads(file.read_text())
                return Container(host, found["id"], found["name"], found["alias"], RunOptions(found["image"]))
            made = run()
            record = {"id": made.id, "name": made.name, "alias": made.alias, "image": made.options.image}
            file.write_text(json.dumps(record))
            return made

    def throwaway_host(self, end: int) -> Host:
        """Return the throwaway host that all workers share, and make it if this is the first one.

        `end` is a descriptor in the run's process: the read end of a pipe whose write end only that process has.
        """
        if os.geteuid() != 0:
            with self._record("lab.socket") as file:
                return Host.of_lab(self.owner, file, self.timeout)
        with self._record("host.pid") as file:
            if file.exists():
                return Host.at(int(file.read_text()), self.timeout)
            made = Host.until_end_of(f"/proc/{self.owner}/fd/{end}", self.timeout)
            file.write_text(str(made.client.pid))
            return made

    @contextmanager
    def _record(self, name: str) -> Iterator[Path]:
        """Yield the path of a file of this run, while no other worker is here."""
        path = _own_directory()
        with open(path / "lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for old in path.glob(f"{self._namespace}-*"):
                if not Path(f"/proc/{old.name.split('-')[1]}").exists():
                    old.unlink()
            yield path / f"{self._prefix}{name}"


def written(value: Any) -> Any:
    """Return what JSON has in place of a condition or a function: the same in all workers."""
    if isinstance(value, Condition):
        return [*value.words, *map(written, value.checks)]
    return getattr(value, "__qualname__", None) or str(value)


def _own_directory() -> Path:
    """Return the directory of what the workers of a run share. HostError if it is another user's: /tmp is for all."""
    path = Path(tempfile.gettempdir()) / f"minirun-run-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise HostError(f"{path} belongs to somebody else, or others may enter it\nremove it, or set TMPDIR")
    return path
