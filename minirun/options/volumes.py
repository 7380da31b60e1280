"""Volumes: their names, and --driver and --opt of `volume create`."""

import re
from collections.abc import Iterable

from minirun.options import option_error

_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}\Z")
_WORDS = ("bind", "rbind", "ro", "rw")


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
    """Parse every `KEY=VALUE` of --opt. Of what Docker's local driver mounts, minirun supports bind mounts.

    type=none, o=bind[,ro] and device=DIRECTORY make a volume of a directory on the host.
    """
    options: dict[str, str] = {}
    for text in texts:
        key, _, value = text.partition("=")
        if key not in ("type", "o", "device"):
            raise option_error(f'create: invalid option: "{key}"', "type, o and device")
        options[key] = value
    if not options:
        return {}
    words = options.get("o", "").split(",")
    if options.get("type", "none") not in ("none", "bind", "") or not {"bind", "rbind"} & set(words):
        raise option_error(
            f"create: minirun does not mount a file system of type {options.get('type', '') or 'none'} as a volume",
            "a directory on the host: --opt type=none --opt o=bind --opt device=/DIRECTORY; or run --tmpfs",
        )
    unknown = [word for word in words if word not in _WORDS]
    if unknown:
        raise option_error(f'create: invalid mount option: "{unknown[0]}"', "bind, ro and rw")
    if not options.get("device", "").startswith("/"):
        raise option_error("create: missing device in volume options: device must be an absolute path")
    return options
