"""One process at a time, by a lock on a directory: it ends with the process, and leaves nothing behind (flock(2))."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from minirun.instance import Instance
from minirun.light.pathlib import Path


@contextmanager
def locked(directory: Path, waits: bool = True) -> Iterator[None]:
    """A directory that is not made yet, or is removed, is nobody's concern. BlockingIOError: somebody has the lock."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


@contextmanager
def alone(instance: Instance, container_id: str) -> Iterator[None]:
    """One process at a time, claiming a stopped container for a start, ending it, or mending its network: what the
    second one took away might be of the next start already."""
    with locked(instance.container_dir(container_id)):
        yield
