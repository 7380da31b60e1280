"""The names of results that a later build may use again: of steps, and of the content of files.

Two steps have the same key only if they do the same to the same files. Times, secrets and proxies are no part of it.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from minirun.archive.layer_content import DigestWriter
from minirun.archive.pack import Packer
from minirun.archive.tree_walk import DIRECTORY
from minirun.image.dockerfile.steps import Step

_NOT_CONTENT = ("lines", "origin", "proxies")  # what `origin` holds is known by its digest
_VERSION = 1  # to be raised when the same step comes to do something else


def step_key(parent: str, step: Step, digests: Sequence[str] = ()) -> str:
    """Return the key of what a step makes of its parent's result: 64 hexadecimal digits.

    parent: the key of the step before it in the stage, or the id of the base image; "" for scratch
    digests: the content digests of what it copies, downloads and mounts from elsewhere, in the order of the step
    """
    content = [_VERSION, parent, type(step).__name__, _plain(step), list(digests)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def content_digest(
    entries: Iterable[tuple[int, str, str]], skip: frozenset[str] = frozenset(), owner: tuple[int, int] | None = None
) -> str:
    """Return the digest of files and directory trees: names, types, content, modes, owners and capabilities.

    Each entry is (descriptor of the directory that holds it, its name there, the name that counts); "." is what the
    directory holds, without itself. `skip` are paths to leave out, in the names that count. FileNotFoundError when an
    entry does not exist.
    """
    digest = DigestWriter()
    with Packer(digest, skip=skip, mtime=0, owner=owner) as packer:
        for directory, name, stored in entries:
            if name == ".":
                packer.add_below(os.open(".", DIRECTORY, dir_fd=directory), "")
            else:
                packer.add_tree(directory, name, stored)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """Turn a step into what JSON has."""
    if is_dataclass(value):
        names = [field.name for field in fields(value) if field.name not in _NOT_CONTENT]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.name if isinstance(value, Enum) else value
