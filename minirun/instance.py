"""One installation of minirun on a host: its state root, and every name that follows from it.

Two state roots can be in use in one network namespace. What is global to the host (nft table, bridge, cgroup) carries a
tag computed from the root's path; the default root has no tag and uses the plain names.
"""

import fcntl
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minirun.store import Store
from minirun.store.faults import allocate_reserve, database_error, with_reserve

DEFAULT_ROOT = Path("/var/lib/minirun")
DNS_SOCKET = "resolver"  # in the state root, while the DNS server runs
ROOT_VARIABLE = "MINIRUN_ROOT"


def state_root(chosen: Path | None) -> Path:
    """Return the state root: the chosen one, else that of MINIRUN_ROOT, else the default; without symlinks."""
    return Path(os.path.realpath(chosen or os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT))


class StateRoot:
    """The path of a state root, and the names that follow from it; its records need not exist."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = state_root(root)
        self.tag = "" if self.root == DEFAULT_ROOT else f"{zlib.crc32(os.fsencode(self.root)):08x}"

    @property
    def table(self) -> str:
        """The name of the nft table."""
        return f"minirun_{self.tag}" if self.tag else "minirun"

    @property
    def label(self) -> str:
        """The first word of the alias of each link that minirun makes on the host."""
        return f"minirun-{self.tag}" if self.tag else "minirun"

    @property
    def cgroup(self) -> str:
        """The name of the cgroup that holds those of the containers."""
        return self.label

    @property
    def dns_netns(self) -> str:
        """The name of the pinned network namespace with the DNS server's sockets."""
        return f"{self.label}-dns"

    @property
    def default_bridge(self) -> str:
        """The name of the default network's bridge."""
        return f"mr{self.tag}0" if self.tag else "minirun0"

    def container_dir(self, container_id: str) -> Path:
        """Return the directory of a container: its layer, log and sockets."""
        return self.root / "containers" / container_id


class Instance(StateRoot):
    """An open state root. MinirunError if its database cannot be used."""

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root)
        try:
            self.store = with_reserve(self.root, lambda: Store(self.root))
        except sqlite3.Error as error:
            raise database_error(error, self.root) from error
        allocate_reserve(self.root)


@contextmanager
def lock_directory(directory: Path, waits: bool = True, shared: bool = False) -> Iterator[None]:
    """Hold a lock on a directory, exclusive or shared (flock(2)); without a lock if it does not exist.

    BlockingIOError if another process holds the lock and `waits` is False.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if waits else fcntl.LOCK_NB))
        yield
    finally:
        os.close(fd)


@contextmanager
def lock_container(instance: Instance, container_id: str) -> Iterator[None]:
    """Hold a container's lock, to claim it for a start, end it, or repair its network.

    Without it, what a second process removes might already belong to the next start.
    """
    with lock_directory(instance.container_dir(container_id)):
        yield
