"""RUN --mount: the file systems and secrets that one command sees.

https://docs.docker.com/reference/dockerfile/#run---mount
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from minirun.errors import MinirunError
from minirun.image.dockerfile.source import suggestion
from minirun.options.values import parse_bytes

_TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
_SHARING = ("shared", "private", "locked")
_WITH_OWNER = ("cache", "secret", "ssh")
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
_KEYS = ("type", "from", "source", "src", "target", "dst", "destination", "readonly", "ro", "readwrite", "rw",
         "required", "size", "id", "sharing", "mode", "uid", "gid", "env")  # fmt: skip


@dataclass(frozen=True)
class RunMount:
    """One --mount of RUN, with its variables expanded. Empty fields were not given."""

    type: str = "bind"
    origin: str = ""  # from=: a stage or an image
    source: str = ""
    target: str = ""
    is_read_only: bool | None = None
    size: int = 0  # bytes of a tmpfs, 0 without limit
    id: str = ""
    sharing: str = ""
    is_required: bool = False
    env: str | None = None  # the variable that holds a secret
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


def check_unexpanded(text: str) -> None:
    """Check what can be checked before variables are known: commas and quotes, and that `from` has no variable."""
    for field in _fields(text):
        key, _, value = field.partition("=")
        if key.lower() == "from" and "$" in value[:-1]:
            raise MinirunError(f"'{key}' doesn't support variable expansion, define alias stage instead")


def origin_of(text: str) -> str:
    """Return the stage or image that a --mount is from, "" if it names none."""
    origins = [field.partition("=")[2] for field in _fields(text) if field.partition("=")[0].lower() == "from"]
    return origins[-1] if origins else ""


def parse_run_mount(text: str, expand: Callable[[str], str]) -> RunMount:
    """Parse the value of --mount; `expand` expands the variables of one value. MinirunError when it is wrong."""
    mount = RunMount()
    for field in _fields(text):
        key, equals, value = field.partition("=")
        key = key.lower()
        if not equals and key not in ("readonly", "ro", "readwrite", "rw", "required"):
            raise MinirunError(f"invalid field '{field}' must be a key=value pair")
        mount = replace(mount, **_parsed(mount, key, expand(value) if equals else "true", field))
    _check(mount)
    if mount.is_read_only is None:
        mount = replace(mount, is_read_only=mount.type not in ("cache", "tmpfs"))
    return mount


def _fields(text: str) -> list[str]:
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise MinirunError(f"failed to parse csv mounts: {error}") from None
    return rows[0] if rows else []


def _parsed(mount: RunMount, key: str, value: str, field: str) -> dict[str, Any]:
    """Return the fields of the mount that a key and its value set."""
    match key:
        case "type":
            return {"type": _choice("mount type", value, _TYPES)}
        case "from":
            return {"origin": value}
        case "source" | "src":
            return {"source": value}
        case "target" | "dst" | "destination":
            return {"target": value}
        case "readonly" | "ro":
            return {"is_read_only": _boolean(key, value)}
        case "readwrite" | "rw":
            return {"is_read_only": not _boolean(key, value)}
        case "required" if mount.type in ("secret", "ssh"):
            return {"is_required": _boolean(key, value)}
        case "size" if mount.type == "tmpfs":
            return {"size": _size(key, value)}
        case "required" | "size":
            raise MinirunError(f"unexpected key '{key}' for mount type '{mount.type}'")
        case "id" | "env":
            return {key: value}
        case "sharing":
            return {"sharing": _choice("sharing value", value, _SHARING)}
        case "mode" | "uid" | "gid":
            return {key: _number(key, value, 8 if key == "mode" else 10)}
    raise MinirunError(f"unexpected key '{key}' in '{field}'{suggestion(key, _KEYS)}")


def _check(mount: RunMount) -> None:
    """Check what the keys mean together."""
    if mount.type not in _WITH_OWNER:
        for key in ("mode", "uid", "gid"):
            if getattr(mount, key) is not None:
                raise MinirunError(f'{key} not allowed for "{mount.type}" type mounts')
    if mount.type == "secret":
        if mount.origin:
            raise MinirunError("secret mount should not have a from")
        if mount.sharing:
            raise MinirunError("secret mount should not define sharing")
        if not (mount.source or mount.target or mount.id):
            raise MinirunError("invalid secret mount. one of source, target required")
        if mount.source and mount.id:
            raise MinirunError("both source and id can't be set")
    if mount.sharing and mount.type != "cache":
        raise MinirunError(f"invalid cache sharing set for {mount.type} mount")


def _choice(what: str, value: str, choices: tuple[str, ...]) -> str:
    if value.lower() not in choices:
        raise MinirunError(f'unsupported {what} "{value}"{suggestion(value, choices)}', ", ".join(choices))
    return value.lower()


def _boolean(key: str, value: str) -> bool:
    if value not in _TRUE + _FALSE:
        raise MinirunError(f"invalid value for {key}: {value}")
    return value in _TRUE


def _size(key: str, value: str) -> int:
    try:
        return parse_bytes(value)
    except MinirunError:
        raise MinirunError(f"invalid value for {key}: {value}", "such as 64m") from None


def _number(key: str, value: str, base: int) -> int:
    digits = "01234567" if base == 8 else "0123456789"
    if not value or set(value) - set(digits) or len(value) > 20 or int(value, base) >= 1 << 32:
        raise MinirunError(f"invalid value {value} for {key}")
    return int(value, base)
