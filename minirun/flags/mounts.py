"""-v, --mount, --tmpfs, --volumes-from: what is to be mounted, in the words of `docker run`."""

import csv
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from minirun.flags import bad, invalid
from minirun.flags.tmpfs import options_of, sized
from minirun.model import Mount

VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}\Z")
_PROPAGATION = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_CONSISTENCY = ("consistent", "cached", "delegated")  # what they allow, a mount on Linux has no use for
_RECURSION = {"enabled": "", "disabled": "nonrecursive", "writable": "writable", "readonly": ""}
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")


def parse_mounts(volumes: Iterable[str], mounts: Iterable[str], tmpfs: Iterable[str]) -> tuple[Mount, ...]:
    """All of them; two at one place are an error, but for one without a name, which gives way."""
    found = [*(parse_volume(text) for text in volumes), *(parse_mount(text) for text in mounts)]
    found += {one.target: one for one in map(parse_tmpfs, tmpfs)}.values()  # of two, the last
    named = [one for one in found if one.source or one.kind == "tmpfs" or one.must_exist]
    targets: set[str] = set()
    for one in named:
        if one.target in targets:
            raise bad(f"Duplicate mount point: {one.target}")
        targets.add(one.target)
    nameless = {one.target: one for one in found if one not in named and one.target not in targets}
    return (*named, *nameless.values())


def check_volume_name(name: str) -> str:
    if len(name) == 1 and name.isalnum():
        raise bad("volume name is too short, names should be at least two alphanumeric characters")
    if not VOLUME_NAME.match(name):
        raise bad(
            f'"{name}" includes invalid characters for a local volume name,'
            ' only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed',
            "If you intended to pass a host directory, use absolute path",
        )
    return name


def check_driver(name: str) -> None:
    if name not in ("", "local"):
        raise bad(f'error looking up volume plugin {name}: plugin "{name}" not found', "the driver is local")


def parse_volumes_from(text: str) -> str:
    """CONTAINER[:ro|rw]."""
    name, _, mode = text.partition(":")
    if not name:
        raise bad(f"invalid volumes-from specification: {text}", "CONTAINER or CONTAINER:ro")
    for word in mode.split(",") if mode else ():
        if word not in ("ro", "rw", "z", "Z"):
            raise bad(f"invalid mode: {mode} in --volumes-from {text}", "ro or rw")
        _check_label(word)
    return text


# --- -v


def parse_volume(text: str) -> Mount:
    """[SOURCE:]TARGET[:MODE,...]. A colon in a path cannot be said this way, but with --mount."""
    parts = text.split(":")
    if len(parts) > 3 or not all(parts) or "\0" in text:
        raise bad(f"invalid volume specification: '{text}'", "[SOURCE:]TARGET[:ro]; paths with a colon need --mount")
    if len(parts) == 1:
        return Mount("volume", "", _target(text))
    source, target = parts[0], _target(parts[1])
    if source.startswith("."):
        source = os.path.abspath(source)
    if source.startswith("/"):
        mount = Mount("bind", os.path.normpath(source), target)
    else:
        mount = Mount("volume", check_volume_name(source), target)
    return _with_modes(mount, parts[2], text) if len(parts) == 3 else mount


def _with_modes(mount: Mount, modes: str, text: str) -> Mount:
    seen: set[str] = set()
    for word in modes.split(","):
        kind = _mode_kind(word)
        if kind in seen or kind == {"bind": "nocopy", "volume": "propagation"}[mount.kind] or not kind:
            raise bad(f"invalid mode: {modes} in -v {text}", "such as ro, rw, nocopy (volumes), rslave (binds)")
        seen.add(kind)
        _check_label(word)
        if kind == "access":
            mount = replace(mount, read_only=word == "ro")
        elif kind == "nocopy":
            mount = replace(mount, no_copy=True)
        elif kind == "propagation":
            mount = replace(mount, propagation=word)
    return mount


def _mode_kind(word: str) -> str:
    if word in _PROPAGATION:
        return "propagation"
    if word in _CONSISTENCY:
        return "consistency"
    return {"ro": "access", "rw": "access", "z": "label", "Z": "label", "nocopy": "nocopy"}.get(word, "")


def _check_label(word: str) -> None:
    """Where SELinux is off, as on Debian and Ubuntu, there is nothing to label: Docker, too, does nothing then."""
    if word in ("z", "Z") and os.path.exists("/sys/fs/selinux/enforce"):
        raise bad(f"the mode {word} asks for an SELinux label: minirun gives none")


def _target(path: str) -> str:
    if not path.startswith("/"):
        raise bad(f"invalid mount path: '{path}' mount path must be absolute")
    clean = os.path.normpath(path).replace("//", "/", 1)
    if clean == "/" or "\0" in path:
        raise bad(f"invalid specification: destination can't be '{clean}'")
    return clean


# --- --tmpfs


def parse_tmpfs(text: str) -> Mount:
    """TARGET[:OPTIONS], options as mount(8) takes them; Docker's defaults are noexec,nosuid,nodev."""
    target, _, options = text.partition(":")
    return Mount("tmpfs", "", _target(target), options=options_of(options))


# --- --mount


def parse_mount(text: str) -> Mount:
    """KEY=VALUE,...: as one line of CSV, so that quotes allow a comma."""
    mount = Mount("volume", "", "", must_exist=True)
    for key, value in _fields(text):
        owner = key.partition("-")[0]
        setter = _SETTERS.get(key)
        if setter is None:
            raise invalid(text, "mount", f"unexpected key '{key}' in '{key}={value or ''}'")
        if value is None and key not in _SWITCHES:
            raise invalid(text, "mount", f"invalid field '{key}' must be a key=value pair")
        if owner in ("bind", "volume", "tmpfs") and owner != _kind_of(text):
            raise invalid(text, "mount", f"cannot mix '{owner}-*' options with mount type '{_kind_of(text)}'")
        mount = setter(mount, _switch(text, key, value) if key in _SWITCHES else value or "")
    return _checked(mount, text)


def _fields(text: str) -> list[tuple[str, str | None]]:
    try:
        (row,) = csv.reader([text], strict=True) if text else ([],)
    except (csv.Error, ValueError) as error:
        raise invalid(text, "mount", str(error) or "one line is wanted") from None
    pairs = (field.partition("=") for field in row)
    return [(key.strip().lower(), value if equals else None) for key, equals, value in pairs]


def _kind_of(text: str) -> str:
    return next((value.lower() for key, value in _fields(text) if key == "type" and value), "volume")


def _switch(text: str, key: str, value: str | None) -> str:
    if value is None or value.lower() in _TRUE:
        return "1"
    if value.lower() not in _FALSE:
        raise invalid(text, "mount", f"invalid value for {key}: {value}")
    return ""


def _checked(mount: Mount, text: str) -> Mount:
    if not mount.target:
        raise invalid(text, "mount", "target is required")
    wrong = f'invalid mount config for type "{mount.kind}": '
    if mount.kind == "bind":
        if not mount.source:
            raise bad(f"{wrong}field Source must not be empty")
        source = os.path.abspath(mount.source) if mount.source.startswith(".") else mount.source
        if not source.startswith("/") or "\0" in source:
            raise bad(f"{wrong}invalid mount path: '{source}' mount path must be absolute")
        return replace(mount, source=os.path.normpath(source))
    if mount.kind == "tmpfs":
        if mount.source:
            raise bad(f"{wrong}field Source must not be specified")
        read_only = "ro" if mount.read_only else ""
        return replace(mount, options=options_of(",".join(filter(None, (mount.options, read_only)))), read_only=False)
    if mount.source:
        check_volume_name(mount.source)
    elif mount.subpath:
        raise bad(f"{wrong}must not set Subpath when using anonymous volumes")
    return mount


def _set_kind(mount: Mount, value: str) -> Mount:
    kind = value.lower()
    if kind not in ("bind", "volume", "tmpfs"):
        raise bad(f"mount type {value}: minirun mounts bind, volume and tmpfs")
    return replace(mount, kind=kind)


def _set_propagation(mount: Mount, value: str) -> Mount:
    if value.lower() not in _PROPAGATION:
        raise bad(f"invalid propagation mode: {value}", "one of " + ", ".join(_PROPAGATION))
    return replace(mount, propagation=value.lower())


def _set_recursion(mount: Mount, value: str) -> Mount:
    if value not in _RECURSION:
        raise bad(f"invalid value for bind-recursive: {value}", "one of " + ", ".join(_RECURSION))
    return replace(mount, options=_RECURSION[value])


def _set_subpath(mount: Mount, value: str) -> Mount:
    if value.startswith("/") or ".." in value.split("/") or "\0" in value:
        raise bad('invalid mount config for type "volume": subpath must be a relative path within the volume')
    return replace(mount, subpath=os.path.normpath(value))


def _set_driver(mount: Mount, value: str) -> Mount:
    check_driver(value)
    return mount


def _set_consistency(mount: Mount, value: str) -> Mount:
    if value not in (*_CONSISTENCY, "default"):
        raise bad(f"invalid consistency: {value}", "one of " + ", ".join(_CONSISTENCY))
    return mount


def _refuse_details(mount: Mount, value: str) -> Mount:
    raise bad("volume-label and volume-opt are not taken here", "make the volume first, with minirun volume create")


def _add_option(name: str, read: Callable[[str], str]) -> Callable[[Mount, str], Mount]:
    return lambda mount, value: replace(mount, options=",".join(filter(None, (mount.options, f"{name}={read(value)}"))))


def _mode(value: str) -> str:
    if not re.fullmatch("[0-7]{1,5}", value):
        raise bad(f"invalid value for tmpfs-mode: {value}", "an octal number such as 1770")
    return value


def _set_target(mount: Mount, value: str) -> Mount:
    return replace(mount, target=_target(value))


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
    "volume-driver": _set_driver,
    "volume-label": _refuse_details,
    "volume-opt": _refuse_details,
    "tmpfs-size": _add_option("size", sized),
    "tmpfs-mode": _add_option("mode", _mode),
}
