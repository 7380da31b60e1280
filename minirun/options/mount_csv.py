"""--mount: KEY=VALUE,... as one line of CSV, so that quotes allow a comma in a value."""

import os
import re
from collections.abc import Callable
from dataclasses import replace

from minirun.model import Mount
from minirun.options import invalid_argument, option_error
from minirun.options.mount_values import CONSISTENCY, PROPAGATION, parse_target, parse_tmpfs_options, parse_tmpfs_size
from minirun.options.values import csv_fields
from minirun.options.volumes import check_driver, check_volume_name, parse_volume_options

_RECURSION = {"enabled": "", "disabled": "nonrecursive", "writable": "writable", "readonly": ""}
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")


def parse_mount(text: str) -> Mount:
    """Parse the argument of --mount. https://docs.docker.com/reference/cli/docker/container/run/#mount"""
    mount = Mount("volume", "", "", must_exist=True)
    for key, value in _fields(text):
        owner = key.partition("-")[0]
        setter = _SETTERS.get(key)
        if setter is None:
            raise invalid_argument(text, "mount", f"unexpected key '{key}' in '{key}={value or ''}'")
        if value is None and key not in _SWITCHES:
            raise invalid_argument(text, "mount", f"invalid field '{key}' must be a key=value pair")
        if owner in ("bind", "volume", "tmpfs", "image") and owner != _kind_of(text):
            raise invalid_argument(text, "mount", f"cannot mix '{owner}-*' options with mount type '{_kind_of(text)}'")
        mount = setter(mount, _switch(text, key, value) if key in _SWITCHES else value or "")
    return _checked(mount, text)


def _fields(text: str) -> list[tuple[str, str | None]]:
    pairs = (field.partition("=") for field in csv_fields(text, "mount"))
    return [(key.strip().lower(), value if equals else None) for key, equals, value in pairs]


def _kind_of(text: str) -> str:
    return next((value.lower() for key, value in _fields(text) if key == "type" and value), "volume")


def _switch(text: str, key: str, value: str | None) -> str:
    if value is None or value.lower() in _TRUE:
        return "1"
    if value.lower() not in _FALSE:
        raise invalid_argument(text, "mount", f"invalid value for {key}: {value}")
    return ""


def _checked(mount: Mount, text: str) -> Mount:
    if not mount.target:
        raise invalid_argument(text, "mount", "target is required")
    prefix = f'invalid mount config for type "{mount.kind}": '
    if mount.kind == "bind":
        if not mount.source:
            raise option_error(f"{prefix}field Source must not be empty")
        source = os.path.abspath(mount.source) if mount.source.startswith(".") else mount.source
        if not source.startswith("/") or "\0" in source:
            raise option_error(f"{prefix}invalid mount path: '{source}' mount path must be absolute")
        return replace(mount, source=os.path.normpath(source))
    if mount.kind == "image":
        if not mount.source:
            raise option_error(f"{prefix}field Source must not be empty")
        return replace(mount, read_only=True)  # an image never changes
    if mount.kind == "tmpfs":
        if mount.source:
            raise option_error(f"{prefix}field Source must not be specified")
        read_only = "ro" if mount.read_only else ""
        return replace(
            mount, options=parse_tmpfs_options(",".join(filter(None, (mount.options, read_only)))), read_only=False
        )
    parse_volume_options(f"{key}={value}" for key, value in mount.volume_options)
    if mount.source:
        check_volume_name(mount.source)
    elif mount.subpath:
        raise option_error(f"{prefix}must not set Subpath when using anonymous volumes")
    return mount


def _set_kind(mount: Mount, value: str) -> Mount:
    kind = value.lower()
    if kind not in ("bind", "volume", "tmpfs", "image"):
        raise option_error(f"mount type {value} is not supported", "bind, volume, tmpfs or image")
    return replace(mount, kind=kind)


def _set_propagation(mount: Mount, value: str) -> Mount:
    if value.lower() not in PROPAGATION:
        raise option_error(f"invalid propagation mode: {value}", "one of " + ", ".join(PROPAGATION))
    return replace(mount, propagation=value.lower())


def _set_recursion(mount: Mount, value: str) -> Mount:
    if value not in _RECURSION:
        raise option_error(f"invalid value for bind-recursive: {value}", "one of " + ", ".join(_RECURSION))
    return replace(mount, options=_RECURSION[value])


def _set_subpath(mount: Mount, value: str) -> Mount:
    if value.startswith("/") or ".." in value.split("/") or "\0" in value:
        raise option_error("invalid mount config: subpath must be a relative path within the volume or image")
    return replace(mount, subpath=os.path.normpath(value))


def _set_driver(mount: Mount, value: str) -> Mount:
    check_driver(value)
    return mount


def _set_consistency(mount: Mount, value: str) -> Mount:
    if value not in (*CONSISTENCY, "default"):
        raise option_error(f"invalid consistency: {value}", "one of " + ", ".join(CONSISTENCY))
    return mount


def _add_label(mount: Mount, value: str) -> Mount:
    name, _, text = value.partition("=")
    return replace(mount, volume_labels=(*mount.volume_labels, (name, text)))


def _add_volume_option(mount: Mount, value: str) -> Mount:
    name, _, text = value.partition("=")
    return replace(mount, volume_options=(*mount.volume_options, (name, text)))


def _add_option(name: str, read: Callable[[str], str]) -> Callable[[Mount, str], Mount]:
    return lambda mount, value: replace(mount, options=",".join(filter(None, (mount.options, f"{name}={read(value)}"))))


def _mode(value: str) -> str:
    if not re.fullmatch("[0-7]{1,5}", value):
        raise option_error(f"invalid value for tmpfs-mode: {value}", "an octal number such as 1770")
    return value


def _set_target(mount: Mount, value: str) -> Mount:
    return replace(mount, target=parse_target(value))


def _set_source(mount: Mount, value: str) -> Mount:
    return replace(mount, source=value)


def _set_read_only(mount: Mount, value: str) -> Mount:
    return replace(mount, read_only=bool(value))


_SWITCHES = ("readonly", "ro", "volume-nocopy", "bind-nonrecursive")
_SETTERS: dict[str, Callable[[Mount, str], Mount]] = {
    "type": _set_kind,
    "source": _set_source,
    "src": _set_source,
    "target": _set_target,
    "dst": _set_target,
    "destination": _set_target,
    "readonly": _set_read_only,
    "ro": _set_read_only,
    "consistency": _set_consistency,
    "bind-propagation": _set_propagation,
    "bind-recursive": _set_recursion,
    "bind-nonrecursive": lambda mount, value: replace(mount, options="nonrecursive" if value else ""),
    "volume-nocopy": lambda mount, value: replace(mount, no_copy=bool(value)),
    "volume-subpath": _set_subpath,
    "image-subpath": _set_subpath,
    "volume-driver": _set_driver,
    "volume-label": _add_label,
    "volume-opt": _add_volume_option,
    "tmpfs-size": _add_option("size", parse_tmpfs_size),
    "tmpfs-mode": _add_option("mode", _mode),
}
