"""A saved image as JSON, to compare with later: what differs from its base image, without what differs by machine.

The files of busybox are those of the machine, and times are those of the run. So a file that has the content of one of
the base image names that one, and a time after the builds began is `now`.
"""

import hashlib
from typing import Any

from tests.harness.saved_images import Inode, SavedImage, is_now

_OF_BASE = "base:"
_EMPTY = hashlib.sha256(b"").hexdigest()[:12]
_LINK = "="
_NOW, _ITS = "now", "its"  # times: that of the run, that of the file of the base image


def to_record(image: SavedImage, base: SavedImage, since: float) -> dict[str, Any]:
    """Return what `from_record` makes the image of. `since` is when the builds began, in seconds since the epoch."""
    is_derived = image.diff_ids[:1] == base.diff_ids
    below = base.tree if is_derived else {}
    files = [(path, inode) for path, inode in sorted(base.tree.items(), reverse=True) if inode.type == "file"]
    sources = {inode.content: (path, inode) for path, inode in files if inode.content != _EMPTY}
    entries: list[list[Any]] = []
    kept: dict[int, int] = {}  # an inode of the base image that is still there, by the one of this image
    first: dict[int, str] = {}  # its path
    for path, inode in sorted(image.tree.items()):
        known = below.get(path)
        if known is not None and _is_kept(inode, known, kept):
            kept[id(inode)] = id(known)
        elif id(inode) in first:
            entries.append([path, _LINK, first[id(inode)]])
        else:
            entries.append(_entry(path, inode, sources, since))
        first.setdefault(id(inode), path)
    return {
        "base": is_derived,
        "facts": image.facts,
        "gone": sorted(path for path in below if path not in image.tree),
        "tree": entries,
    }


def from_record(record: dict[str, Any], base: SavedImage, since: float) -> SavedImage:
    """Return the image of a record, with the base image of this machine."""
    tree = {path: inode for path, inode in base.tree.items() if record["base"] and path not in record["gone"]}
    for path, kind, *rest in record["tree"]:
        if kind == _LINK:
            tree[path] = tree[rest[0]]
            continue
        mode, owner, content, mtime, *xattrs = rest
        if content.startswith(_OF_BASE):
            source = base.tree[content.removeprefix(_OF_BASE)]
            content, mtime = source.content, source.mtime if mtime == _ITS else mtime
        pairs = tuple((name, value) for name, value in xattrs)
        tree[path] = Inode(kind, mode, owner, content, pairs, since if mtime == _NOW else mtime)
    return SavedImage(record["facts"], [], tree)


def _is_kept(inode: Inode, known: Inode, kept: dict[int, int]) -> bool:
    """Whether it is that of the base image: with the same names, too."""
    if (inode, inode.mtime) != (known, known.mtime):
        return False
    return kept[id(inode)] == id(known) if id(inode) in kept else id(known) not in kept.values()


def _entry(path: str, inode: Inode, sources: dict[str, tuple[str, Inode]], since: float) -> list[Any]:
    content, mtime = inode.content, _NOW if is_now(inode, since) else round(inode.mtime)
    if inode.type == "file" and content in sources:
        source, of_base = sources[content]
        content = _OF_BASE + source
        mtime = _ITS if inode.mtime == of_base.mtime else mtime
    return [path, inode.type, inode.mode, inode.owner, content, mtime, *map(list, inode.xattrs)]
