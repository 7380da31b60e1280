"""How much room trees take: hostile ones, so nothing in them is followed."""

import os
import stat
from pathlib import Path

from minirun.image.store import image_layers
from minirun.instance import Instance
from minirun.model import Container


def tree_size(path: Path) -> int:
    """Bytes of all regular files in it, a hard link counted once."""
    seen: dict[tuple[int, int], int] = {}
    try:
        walk = os.fwalk(path, follow_symlinks=False)
        for _, _, names, directory in walk:
            for name in names:
                found = _look(name, directory)
                if found is not None and stat.S_ISREG(found.st_mode):
                    seen[found.st_dev, found.st_ino] = found.st_size
    except FileNotFoundError:
        pass  # removed while it was measured
    return sum(seen.values())


def image_size(instance: Instance, container: Container) -> int:
    layers = image_layers(instance, container.spec.image_id or container.spec.image).split(":")
    return sum(tree_size(instance.root / layer) for layer in layers)


def _look(name: str, directory: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
