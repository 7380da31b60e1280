"""Detached mounts: copied, given their attributes, then attached by `mounts.tree_attach` (open_tree(2),
mount_setattr(2))."""

import os
from pathlib import Path

from minirun.kernel.mounts import words
from minirun.kernel.seam import shell
from minirun.kernel.syscalls import check, lib
from minirun.kernel.tree_root import Root

_PROPAGATION = {"private": lib.MS_PRIVATE, "slave": lib.MS_SLAVE, "shared": lib.MS_SHARED}


@shell("# open_tree(2): take a copy of {source}")
def tree_copy(source: str, recursive: bool = True) -> int:
    """Copy the tree at a host path, with what is mounted in it if `recursive`. Returns its descriptor."""
    return _copy(lib.AT_FDCWD, os.fsencode(source), recursive, source)


@shell("# open_tree(2): take a copy of {source}/{below}")
def tree_copy_below(source: str, below: str) -> int:
    """Copy a part of a tree whose owner may be hostile: no symlink in it leads out. Returns its descriptor."""
    root = Root(source)
    try:
        part = root.open(below)
        try:
            return _copy(part, b"", True, f"{source}/{below}")
        finally:
            os.close(part)
    finally:
        os.close(root.fd)


@shell("# mount_setattr(2): {words} for the copy of {shown}", words=lambda of: ",".join(words(of["attributes"])))
def tree_attributes(tree: int, attributes: int, recursive: bool, shown: str) -> None:
    """Set mount attributes (MOUNT_ATTR_*) of a detached tree, of its top or of all below."""
    if attributes:
        check(lib.sys_mount_setattr(tree, b"", _flags(recursive), attributes, 0), shown)


@shell("# mount_setattr(2): the copy of {shown} is {mode}")
def tree_propagation(tree: int, mode: str, shown: str) -> None:
    """Set the propagation of a detached tree: private, slave, shared, or rprivate and so on for the mounts in it, too
    (mount_namespaces(7))."""
    kind = mode.removeprefix("r")
    check(lib.sys_mount_propagate(tree, _flags(kind != mode), _PROPAGATION[kind]), shown)


def propagation_of(path: str) -> tuple[str, set[str]]:
    """(path of the mount that a path is on, its propagation: `shared`, `slave`, both or neither)."""
    real, best, kinds = os.path.realpath(path), "", set[str]()
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        fields = line.split(" ")
        place = _unescape(fields[4])
        inside = real == place or real.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best):  # of several at one place the last is on top
            tags = fields[6 : fields.index("-")]
            best, kinds = place, {"slave" if tag.startswith("master:") else tag.partition(":")[0] for tag in tags}
    return best or "/", kinds


def _unescape(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


def _copy(directory: int, path: bytes, recursive: bool, shown: str) -> int:
    flags = lib.OPEN_TREE_CLONE | (lib.AT_RECURSIVE if recursive else 0) | (0 if path else lib.AT_EMPTY_PATH)
    return check(lib.sys_open_tree(directory, path, flags), shown)


def _flags(recursive: bool) -> int:
    return int(lib.AT_EMPTY_PATH | (lib.AT_RECURSIVE if recursive else 0))
