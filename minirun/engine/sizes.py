"""How much room trees take: hostile ones, so nothing in them is followed."""

import os
import stat
from pathlib import Path

from minirun.archive.tree_walk import DIRECTORY, Place, identity, look


def tree_size(path: Path) -> int:
    """Bytes of all regular files in it, a hard link counted once."""
    try:
        place = Place(os.open(path, DIRECTORY))
    except FileNotFoundError:
        return 0  # removed already
    seen: dict[tuple[int, int], int] = {}
    levels = [os.listdir(place.fd)]
    try:
        while levels:
            if levels[-1]:
                below = _measure(place, levels[-1].pop(), seen)
                levels += [] if below is None else [below]
                continue
            levels.pop()
            if levels:
                place.up()
    except OSError:
        pass  # removed, or moved by the container, while it was measured
    finally:
        place.close()
    return sum(seen.values())


def _measure(place: Place, name: str, seen: dict[tuple[int, int], int]) -> list[str] | None:
    """One entry; what is in it when it is a directory, which is then the place."""
    found = look(place.fd, name)
    if found is None:
        return None
    if stat.S_ISREG(found.st_mode):
        seen[identity(found)] = found.st_size
    if not stat.S_ISDIR(found.st_mode):
        return None
    try:
        child = os.open(name, DIRECTORY, dir_fd=place.fd)
    except (FileNotFoundError, NotADirectoryError):
        return None
    place.down(child)
    return os.listdir(child)
