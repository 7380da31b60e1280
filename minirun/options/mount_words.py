"""What -v, --mount and `volume create` have in common: names, places, modes."""

import os
import re

from minirun.options import bad

_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}\Z")
PROPAGATION = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
CONSISTENCY = ("consistent", "cached", "delegated")  # what they allow, a mount on Linux has no use for


def check_volume_name(name: str) -> str:
    if len(name) == 1 and name.isalnum():
        raise bad("volume name is too short, names should be at least two alphanumeric characters")
    if not _VOLUME_NAME.match(name):
        raise bad(
            f'"{name}" includes invalid characters for a local volume name,'
            ' only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed',
            "If you intended to pass a host directory, use absolute path",
        )
    return name


def check_driver(name: str) -> None:
    if name not in ("", "local"):
        raise bad(f'error looking up volume plugin {name}: plugin "{name}" not found', "the driver is local")


def target_of(path: str) -> str:
    if not path.startswith("/"):
        raise bad(f"invalid mount path: '{path}' mount path must be absolute")
    clean = os.path.normpath(path).replace("//", "/", 1)
    if clean == "/" or "\0" in path:
        raise bad(f"invalid specification: destination can't be '{clean}'")
    return clean
