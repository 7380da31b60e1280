"""Platforms of images: OS/ARCHITECTURE[/VARIANT], and which of them a machine runs, best first.

https://github.com/containerd/platforms/blob/main/compare.go (platformVector) and database.go (normalizeArch);
https://github.com/opencontainers/image-spec/blob/main/image-index.md
"""

import os
import re
from dataclasses import dataclass
from typing import Any

from minirun.errors import MinirunError

_SYSTEMS = ("linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "solaris", "android", "wasip1")
# Other names: (architecture, variant).
_NAMES = {
    "i386": ("386", ""),
    "i686": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv6l": ("arm", "v6"),
    "armv8l": ("arm", "v8"),
}
_ARCHITECTURES = ("386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x", "wasm")
_ARM_VARIANTS = ("v8", "v7", "v6", "v5")
_DEFAULT_VARIANTS = {"arm": "v7"}
_BASE_VARIANTS = {("arm64", "v8"), ("amd64", "v1")}  # which are written without
_WORD = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Platform:
    """A platform with normalized names: Platform("linux", "arm", "v7")."""

    system: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.system, self.architecture, self.variant)))


def platform(system: str, architecture: str, variant: str = "") -> Platform:
    """Normalize the names of a platform as containerd does: linux, aarch64, v8 is linux/arm64."""
    name = architecture.lower()
    architecture, own_variant = _NAMES.get(name, (name, ""))
    variant = variant.lower() or own_variant or _DEFAULT_VARIANTS.get(architecture, "")
    variant = f"v{variant}" if variant.isdigit() else variant
    return Platform(
        system.lower() or "linux", architecture, "" if (architecture, variant) in _BASE_VARIANTS else variant
    )


def host_platform() -> Platform:
    """The platform of this machine."""
    return platform("linux", os.uname().machine)


def parse_platform(text: str, default: Platform | None = None) -> Platform:
    """Read --platform: OS, ARCHITECTURE, OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT. MinirunError if it is none.

    default: what it leaves out is that of this one, or of this machine
    """
    words = text.split("/")
    host = default or host_platform()
    if len(words) > 3 or not all(_WORD.fullmatch(word) for word in words):
        raise MinirunError(f'"{text}": invalid platform', "such as linux/amd64 or linux/arm/v7")
    if len(words) > 1:
        return platform(*words)
    if text.lower() in _SYSTEMS:
        return Platform(text.lower(), host.architecture, host.variant)
    if text.lower() in (*_ARCHITECTURES, *_NAMES):
        return platform(host.system, text)
    raise MinirunError(f'"{text}": unknown operating system or architecture', "such as linux/amd64 or linux/arm/v7")


def platform_of(data: Any) -> Platform | None:
    """Read the platform of an index entry or of an image configuration; None if it names none."""
    if not isinstance(data, dict):
        return None
    words = [data.get(key, "") for key in ("os", "architecture", "variant")]
    if not all(isinstance(word, str) for word in words) or not (words[0] and words[1]):
        return None
    return platform(*words)


def runnable(wanted: Platform) -> list[Platform]:
    """Return the platforms whose programs `wanted` runs, itself first: arm/v7 runs arm/v6, amd64 runs 386."""
    system, architecture, variant = wanted.system, wanted.architecture, wanted.variant
    found = [wanted]
    if architecture == "arm" and variant in _ARM_VARIANTS:
        found += [Platform(system, "arm", lower) for lower in _ARM_VARIANTS[_ARM_VARIANTS.index(variant) + 1 :]]
    elif architecture == "arm64":
        found += [Platform(system, "arm64")] if variant else []
        found += [Platform(system, "arm", lower) for lower in _ARM_VARIANTS]
    elif architecture == "amd64":
        level = int(variant[1:]) if re.fullmatch(r"v[2-9]", variant) else 1
        found += [Platform(system, "amd64", f"v{lower}") for lower in range(level - 1, 1, -1)]
        found += [Platform(system, "amd64")] if variant else []
        found += [Platform(system, "386")]
    return found


def runs(wanted: Platform, offered: Platform) -> bool:
    """Return whether an image for `offered` runs where one for `wanted` does."""
    return offered in runnable(wanted)
