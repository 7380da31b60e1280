"""One installation of minirun on a host: its state root, and every name that follows from it.

Two state roots can live in one network namespace: whatever is global to the host (nft table, bridge, cgroup)
carries a tag made from the root's path, but for the default root, whose names are the plain ones.
"""

import os
import zlib

from minirun.light import sqlite3
from minirun.light.pathlib import Path
from minirun.reserve import keep, spending
from minirun.store import Store

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
            from minirun.trouble import of_database

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
