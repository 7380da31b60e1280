"""What -v, --mount and --tmpfs have in common: targets, propagation, the options of a tmpfs."""

import os

from minirun.options import option_error
from minirun.options.values import parse_bytes

PROPAGATION = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
CONSISTENCY = ("consistent", "cached", "delegated")  # accepted without effect, as in Docker on Linux
_DEFAULTS = ("noexec", "nosuid", "nodev")
_OPPOSITES = {"exec": "noexec", "suid": "nosuid", "dev": "nodev", "rw": "ro"}
# mount(8): what is the default anyway; when access times are kept; the flags of the file system itself.
_WITHOUT_EFFECT = ("defaults", "async", "diratime", "norelatime", "nostrictatime", "private", "rprivate")
_ACCESS_TIMES = {"atime": "", "relatime": "", "noatime": "noatime", "strictatime": "strictatime"}
_OWN_FLAGS = ("sync", "dirsync", "nodiratime")
_VALUES = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol")  # tmpfs(5)


def parse_target(path: str) -> str:
    """Check where to mount: an absolute path other than /. Return it normalized."""
    if not path.startswith("/"):
        raise option_error(f"invalid mount path: '{path}' mount path must be absolute")
    clean = os.path.normpath(path).replace("//", "/", 1)
    if clean == "/" or "\0" in path:
        raise option_error(f"invalid specification: destination can't be '{clean}'")
    return clean


def parse_tmpfs_options(text: str) -> str:
    """Parse the options of a tmpfs. Return them with Docker's defaults as one comma-separated list (tmpfs(5)).

    Later options override earlier ones. init/volumes.py splits the list into mount flags and data.
    """
    flags, values, access_times = dict.fromkeys(_DEFAULTS), {}, ""
    for word in text.split(",") if text else ():
        name, equals, value = word.partition("=")
        if equals and value and name in _VALUES:
            values[name] = parse_tmpfs_size(value) if name == "size" and not value.endswith("%") else value
        elif word == "dev":
            raise option_error(
                f"invalid tmpfs option {word!r}: minirun mounts everything with nodev", "use --device for a device"
            )
        elif word in _OPPOSITES:
            flags.pop(_OPPOSITES[word], None)
        elif word in _OPPOSITES.values() or word in _OWN_FLAGS:
            flags[word] = None
        elif word in _ACCESS_TIMES:
            access_times = _ACCESS_TIMES[word]
        elif word in _WITHOUT_EFFECT:
            pass
        else:
            raise option_error(f'invalid tmpfs option ["{word}"]', "such as size=64m, mode=1777, exec")
    words = [*flags, *([access_times] if access_times else [])]
    return ",".join([*words, *(f"{name}={value}" for name, value in values.items())])


def parse_tmpfs_size(text: str) -> str:
    """Parse the size of a tmpfs. Return bytes as text: the kernel knows fewer units than Docker."""
    return str(parse_bytes(text, "the size of a tmpfs"))
