"""Volumes: their names, and --driver and --opt of `volume create`."""

import re
from collections.abc import Iterable

from minirun.options import option_error

_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}\Z")
_KEYS = ("type", "o", "device")
_NEEDS = {"device": ("type",), "type": ("device",), "o": ("device", "type")}
_BIND = ("bind", "rbind", "ro", "rw")
_NOT_OF_VOLUMES = ("move", "remount", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable")


def check_volume_name(name: str) -> str:
    """Check the name of a volume and return it."""
    if len(name) == 1 and name.isalnum():
        raise option_error("volume name is too short, names should be at least two alphanumeric characters")
    if not _VOLUME_NAME.match(name):
        raise option_error(
            f'"{name}" includes invalid characters for a local volume name,'
            ' only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed',
            "If you intended to pass a host directory, use absolute path",
        )
    return name


def check_driver(name: str) -> None:
    """Check the name of a volume driver: local is the only one, "" stands for it."""
    if name not in ("", "local"):
        raise option_error(
            f'error looking up volume plugin {name}: plugin "{name}" not found', "local is the only driver"
        )


def parse_volume_options(texts: Iterable[str]) -> dict[str, str]:
    """Parse every `KEY=VALUE` of --opt, as Docker's local driver takes them.

    type=none, o=bind[,ro] and device=DIRECTORY make a volume of a directory on the host; any other type is a file
    system that is mounted from the device, with `o` as mount(8) has -o.
    """
    options: dict[str, str] = {}
    for text in texts:
        key, _, value = text.partition("=")
        if key == "size":
            raise option_error("create: quota size requested but no quota support", "type=tmpfs takes o=size=10m")
        if key not in _KEYS:
            raise option_error(f'create: invalid option: "{key}"', "type, o and device")
        options[key] = value
    for key in options:
        for other in _NEEDS[key]:
            if not options.get(other):
                raise option_error(f'create: missing required option: "{other}"', "type, device and, as a rule, o")
    words = options["o"].split(",") if options.get("o") else []
    if {"bind", "rbind"} & set(words):
        return _checked_bind(options, words)
    if options.get("type") in ("none", "bind"):
        raise option_error("create: type=none needs o=bind", "--opt type=none --opt o=bind --opt device=/DIRECTORY")
    unknown = [word for word in words if word in _NOT_OF_VOLUMES]
    if unknown:
        raise option_error(f'create: invalid mount option: "{unknown[0]}"', "what `mount -o` takes for a file system")
    return options


def _checked_bind(options: dict[str, str], words: list[str]) -> dict[str, str]:
    if options["type"] not in ("none", "bind"):
        raise option_error(f"create: type={options['type']} cannot have o=bind", "type=none binds a directory")
    unknown = [word for word in words if word not in _BIND]
    if unknown:
        raise option_error(f'create: invalid mount option: "{unknown[0]}"', "bind, ro and rw")
    if not options["device"].startswith("/"):
        raise option_error("create: device must be an absolute path", "the directory that the volume stands for")
    return options
