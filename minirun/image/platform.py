"""What kind of machine this is, in Docker's words: linux/amd64."""

import os

from minirun.errors import FAILED, MinirunError

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def architecture() -> str:
    machine = os.uname().machine
    return _MACHINES.get(machine, machine)


def architecture_of(platform: str) -> str:
    """Of OS[/ARCHITECTURE[/VARIANT]], or the architecture alone."""
    words = platform.lower().split("/")
    if words[0] not in ("linux", *_MACHINES.values(), *_MACHINES) or len(words) > 3 or not all(words):
        raise MinirunError(f"operating system is not supported: {platform}", "linux, or such as linux/amd64", FAILED)
    wanted = words[1] if words[0] == "linux" and len(words) > 1 else words[0]
    return architecture() if wanted == "linux" else _MACHINES.get(wanted, wanted)
