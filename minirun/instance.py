"""One installation of minirun on a host: its state root, and every name that follows from it.

Two state roots can live in one network namespace: whatever is global to the host (nft table, bridge, cgroup)
carries a tag made from the root's path, but for the default root, whose names are the plain ones.
"""

import fcntl
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minirun.store import Store
from minirun.store.reserve import keep, spending

DEFAULT_ROOT = Path("/var/lib/minirun")
RESOLVER_SOCKET = "resolver"  # in the state root, while there is one
ROOT_VARIABLE = "MINIRUN_ROOT"


def state_root(chosen: Path | None) -> Path:
    return Path(os.path.realpath(chosen or os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT))


class Instance:
    def __init__(self, root: Path | None = None) -> None:
        self.root = state_root(root)
        self.tag = "" if self.root == DEFAULT_ROOT else f"{zlib.crc32(os.fsencode(self.root)):08x}"
        try:
            self.store = spending(self.root, lambda: Store(self.root))
        except sqlite3.Error as error:
            from minirun.store.database_errors import of_database

            raise of_database(error, self.root) from error
        keep(self.root)

    @property
    def table(self) -> str:
        """The name of the nft table."""
        return f"minirun_{self.tag}" if self.tag else "minirun"

    @property
    def cgroup(self) -> str:
        return f"minirun-{self.tag}" if self.tag else "minirun"

    @property
    def resolver_netns(self) -> str:
        """The pinned network namespace of the resolver's sockets."""
        return f"minirun-{self.tag}-dns" if self.tag else "minirun-dns"

    @property
    def default_bridge(self) -> str:
        return f"mr{self.tag}0" if self.tag else "minirun0"

    def container_dir(self, container_id: str) -> Path:
        return self.root / "containers" / container_id


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
