"""--opt of `volume create`: of what Docker's local driver can mount, the binds."""

from collections.abc import Iterable

from minirun.options import bad

_WORDS = ("bind", "rbind", "ro", "rw")


def parse_options(texts: Iterable[str]) -> dict[str, str]:
    """type=none, o=bind[,ro], device=DIRECTORY: the volume is a directory of the host's."""
    found: dict[str, str] = {}
    for text in texts:
        key, _, value = text.partition("=")
        if key not in ("type", "o", "device"):
            raise bad(f'create: invalid option: "{key}"', "type, o and device")
        found[key] = value
    if not found:
        return {}
    words = found.get("o", "").split(",")
    if found.get("type", "none") not in ("none", "bind", "") or not {"bind", "rbind"} & set(words):
        raise bad(
            f"create: minirun mounts no file system of type {found.get('type', '') or 'none'} as a volume",
            "a directory of the host's: --opt type=none --opt o=bind --opt device=/DIRECTORY; or run --tmpfs",
        )
    unknown = [word for word in words if word not in _WORDS]
    if unknown:
        raise bad(f'create: invalid mount option: "{unknown[0]}"', "bind, ro and rw")
    if not found.get("device", "").startswith("/"):
        raise bad("create: missing device in volume options: device must be an absolute path")
    return found
