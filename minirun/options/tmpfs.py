"""The options of a tmpfs, as mount(8) spells them: what Docker lets through, on top of its defaults."""

from minirun.options import bad

_DEFAULTS = ("noexec", "nosuid", "nodev")
_OPPOSITES = {"exec": "noexec", "suid": "nosuid", "dev": "nodev", "rw": "ro"}
_VALUES = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol")  # tmpfs(5)


def options_of(text: str) -> str:
    """Defaults and `text` as one list, later words over earlier ones; what it means is split in init/volumes.py."""
    flags, values = dict.fromkeys(_DEFAULTS), {}
    for word in text.split(",") if text else ():
        name, equals, value = word.partition("=")
        if equals and value and name in _VALUES:
            values[name] = sized(value) if name == "size" and not value.endswith("%") else value
        elif word == "dev":
            raise bad(
                f"invalid tmpfs option {word!r}: in minirun's mounts no device can be opened", "--device gives one"
            )
        elif word in _OPPOSITES:
            flags.pop(_OPPOSITES[word], None)
        elif word in _OPPOSITES.values():
            flags[word] = None
        else:
            raise bad(f'invalid tmpfs option ["{word}"]', "such as size=64m, mode=1777, exec")
    return ",".join([*flags, *(f"{name}={value}" for name, value in values.items())])


def sized(text: str) -> str:
    """Bytes: the kernel knows fewer spellings than Docker."""
    from minirun.options.limits import parse_bytes

    return str(parse_bytes(text, "the size of a tmpfs"))
