"""A tree that COPY takes files from: a build context, a stage or an image.

The tree may be hostile: symlinks are resolved below its root (kernel/tree_root.py), and a walk follows none.
"""

import os
import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from minirun.archive.tree_walk import DIRECTORY
from minirun.errors import MinirunError
from minirun.image.dockerfile.cache_keys import content_digest
from minirun.image.dockerfile.globs import file_pattern, has_wildcards, matches
from minirun.kernel.tree_root import Root


@dataclass(frozen=True)
class SourceTree:
    """The tree below `root`, without the paths in `skip` and what is below them.

    `owner`: the ids that its files are copied with, instead of their own; those of a build context are root's.
    """

    root: Root
    skip: frozenset[str] = frozenset()
    owner: tuple[int, int] | None = None

    def find(self, source: str) -> list[str]:
        """Return the paths that a source of COPY means, sorted, relative to the root, with symlinks resolved.

        A pattern may match nothing. MinirunError when a path without wildcards is not in the tree.
        """
        return [path for path, _ in self.find_named(source)]

    def find_named(self, source: str) -> list[tuple[str, str]]:
        """The same, each with its name: that of the symlink, where it is one."""
        parts = source.split("/")
        plain = next((number for number, part in enumerate(parts) if has_wildcards(part)), len(parts))
        base = self._resolved("/".join(_unescaped(part) for part in parts[:plain]) or ".")
        if plain == len(parts):
            if base is None:
                raise MinirunError(f'"/{source}": not found', "it is not there, or .dockerignore leaves it out")
            return [(base, _name(os.path.normpath("/" + _unescaped(source))))]
        found = [] if base is None else [base]
        for part in parts[plain:]:
            pattern = file_pattern(part)
            found = [path for directory in found for path in self._entries(directory) if matches(pattern, _name(path))]
        resolved = ((self._resolved(path), _name(path)) for path in found)
        return sorted((path, name) for path, name in resolved if path is not None)

    def digest(self, paths: Iterable[str]) -> str:
        """Return the digest of the content at some paths that `find` returned."""
        with ExitStack() as descriptors:
            entries = []
            for path in paths:
                parent, _, name = path.rpartition("/")
                fd = self.root.open(parent or ".", os.O_PATH | DIRECTORY, follow=False)
                descriptors.callback(os.close, fd)
                entries.append((fd, name, path))
            return content_digest(entries, self.skip, self.owner)

    def is_skipped(self, path: str) -> bool:
        """Return whether a path, or a directory above it, is left out."""
        parts = path.split("/")
        return any("/".join(parts[:length]) in self.skip for length in range(1, len(parts) + 1))

    def _resolved(self, path: str) -> str | None:
        """Resolve symlinks below the root; None when nothing is there, or it is left out."""
        if self.is_skipped(path):
            return None
        try:
            real = self.root.resolve(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if self.is_skipped(real) else real

    def _entries(self, directory: str) -> list[str]:
        try:
            fd = self.root.open(directory, DIRECTORY, follow=False)
        except OSError:  # no directory, or a symlink to one, which a wildcard does not follow
            return []
        try:
            return [os.path.normpath(os.path.join(directory, name)) for name in os.listdir(fd)]
        finally:
            os.close(fd)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _unescaped(part: str) -> str:
    """Remove the backslashes of a path without wildcards: it is a pattern, too."""
    return re.sub(r"\\([\s\S])", r"\1", part)
