"""An image as the archive of `save` holds it: its file system, configuration and history, in a form to compare.

The layers are applied here, not by the code under test.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_XATTR = "SCHILY.xattr."
_DAY = 86400
_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
}
CONFIG = (
    *("Env", "Cmd", "Entrypoint", "WorkingDir", "User", "ExposedPorts", "Volumes", "Labels"),
    *("Healthcheck", "StopSignal", "Shell", "OnBuild"),
)


@dataclass(frozen=True)
class Inode:
    """What a path is. Two paths with the same object are hard links."""

    type: str
    mode: str
    owner: str
    content: str  # a digest; of a symlink its target, of a device its number
    xattrs: tuple[tuple[str, str], ...]
    mtime: float = field(compare=False)


@dataclass(frozen=True)
class SavedImage:
    """An image, read from an archive."""

    facts: dict[str, Any]  # of its configuration: `Env A`, `Labels x`, `Cmd`
    diff_ids: list[str]
    tree: dict[str, Inode]


def read(archive: bytes) -> SavedImage:
    """Read the one image of an archive that Docker or minirun has saved."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        entry = json.loads(_content(tar, "manifest.json"))[0]
        document = json.loads(_content(tar, entry["Config"]))
        tree: dict[str, Inode] = {}
        for diff_id, path in zip(document["rootfs"]["diff_ids"] or [], entry["Layers"] or [], strict=True):
            data = _content(tar, path)
            assert diff_id == f"sha256:{hashlib.sha256(data).hexdigest()}"
            _apply(tree, data)
    return SavedImage(dict(_facts(document)), document["rootfs"]["diff_ids"] or [], tree)


def differences(one: SavedImage, other: SavedImage, since: float) -> Iterator[str]:
    """Say what differs: a line each, `WHAT: that of one | that of the other`.

    Directories have a slash at their end. Times within a day after `since`, when the builds began, are equal: `now`.
    """
    for name in sorted({*one.facts, *other.facts}):
        if one.facts.get(name) != other.facts.get(name):
            yield f"{name}: {one.facts.get(name)} | {other.facts.get(name)}"
    links, other_links = _hard_links(one.tree), _hard_links(other.tree)
    for path in sorted({*one.tree, *other.tree}):
        inode, other_inode = one.tree.get(path), other.tree.get(path)
        if inode is None or other_inode is None:
            yield f"/{path}: {inode.type if inode else None} | {other_inode.type if other_inode else None}"
            continue
        shown = f"/{path}/" if inode.type == "directory" else f"/{path}"
        for what in ("type", "mode", "owner", "content", "xattrs"):
            if getattr(inode, what) != getattr(other_inode, what):
                yield f"{shown} {what}: {getattr(inode, what)} | {getattr(other_inode, what)}"
        if _when(inode, since) != _when(other_inode, since):
            yield f"{shown} mtime: {_when(inode, since)} | {_when(other_inode, since)}"
        if links.get(path) != other_links.get(path):
            yield f"{shown} links: {links.get(path)} | {other_links.get(path)}"


def _facts(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a configuration says. Fields that are empty count as missing.

    `history` has a letter for each entry: L has a layer, - has none.
    """
    yield "author", document.get("author", "")
    yield "history", "".join("-" if entry.get("empty_layer") else "L" for entry in document.get("history") or [])
    for name in CONFIG:
        value = document["config"].get(name)
        if name == "Env":
            pairs = [text.partition("=") for text in value or []]
            yield "Env", [variable for variable, _, _ in pairs]  # their order
            value = {variable: text for variable, _, text in pairs}
        if isinstance(value, dict):
            yield from ((f"{name} {key}", part) for key, part in value.items())
        elif value:
            yield name, value


def is_now(inode: Inode, since: float) -> bool:
    """Whether it was modified within a day after `since`."""
    return since <= inode.mtime < since + _DAY


def _when(inode: Inode, since: float) -> str:
    return "now" if is_now(inode, since) else f"{inode.mtime:.0f}"


def _hard_links(tree: dict[str, Inode]) -> dict[str, list[str]]:
    """Return the paths of each file that has several, by each of them."""
    groups: dict[int, list[str]] = {}
    for path, inode in sorted(tree.items()):
        groups.setdefault(id(inode), []).append(path)
    return {path: group for group in groups.values() if len(group) > 1 for path in group}


def _apply(tree: dict[str, Inode], layer: bytes) -> None:
    entries = _entries(layer)
    for path, _ in entries:  # whiteouts are about the layers below, wherever they stand in this one
        above, _, name = path.rpartition("/")
        if name == _OPAQUE:
            _remove(tree, above, itself=False)
        elif name.startswith(_WHITEOUT):
            _remove(tree, f"{above}/{name.removeprefix(_WHITEOUT)}".lstrip("/"))
    for path, what in entries:
        if path.rpartition("/")[2].startswith(_WHITEOUT):
            continue
        inode = tree[what] if isinstance(what, str) else what
        if inode.type != "directory" and path in tree:
            _remove(tree, path)
        tree[path] = inode


def _remove(tree: dict[str, Inode], path: str, itself: bool = True) -> None:
    for known in [known for known in tree if known.startswith(f"{path}/" if path else "") or (known == path)]:
        if itself or known != path:
            del tree[known]


@lru_cache(maxsize=64)  # the layers of a base image are in the archives of all that was built from it
def _entries(layer: bytes) -> list[tuple[str, Inode | str]]:
    """Return the entries of a layer: a path, and what it is, or of a hard link the path that it is linked to."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        return [(_path(member.name), _inode(tar, member)) for member in tar]


def _inode(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Inode | str:
    if member.islnk():
        return _path(member.linkname)
    content = f"{member.devmajor}:{member.devminor}" if member.isdev() and not member.isfifo() else member.linkname
    if member.isreg():
        file = tar.extractfile(member)
        assert file is not None
        content = hashlib.sha256(file.read()).hexdigest()[:12]
    xattrs = [(name[len(_XATTR) :], value) for name, value in member.pax_headers.items() if name.startswith(_XATTR)]
    kind = _KINDS[tarfile.REGTYPE if member.isreg() else member.type]
    mode = "" if kind == "symlink" else f"{member.mode & 0o7777:04o}"  # Docker 20.10 writes more bits
    return Inode(kind, mode, f"{member.uid}:{member.gid}", content, tuple(sorted(xattrs)), member.mtime)


def _path(name: str) -> str:
    path = name.removeprefix("./").strip("/")
    return "" if path == "." else path


def _content(tar: tarfile.TarFile, path: str) -> bytes:
    file = tar.extractfile(path)
    assert file is not None
    return file.read()
