"""The variables that a Dockerfile can use: ARG before the first FROM, platforms, proxies.

https://docs.docker.com/reference/dockerfile/#arg
"""

from collections.abc import Mapping
from dataclasses import dataclass

from minirun.errors import MinirunError
from minirun.image.dockerfile.syntax import Dockerfile
from minirun.image.dockerfile.words import Syntax, expand

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_KNOWN = ("386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x")


@dataclass(frozen=True)
class Platform:
    """An operating system and an architecture, in the names that images use, such as linux/arm64."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


def parse_platform(text: str, default: Platform) -> Platform:
    """Parse OS, ARCHITECTURE, or OS/ARCHITECTURE[/VARIANT]; what it leaves out is that of `default`."""
    first, *rest = text.lower().split("/")
    if len(rest) > 2 or not all((first, *rest)):
        raise MinirunError(f"failed to parse platform {text}", "such as linux/amd64")
    if not rest:
        architecture, variant = _architecture(first, "")
        if architecture in _KNOWN:
            return Platform(default.os, architecture, variant)
        if first not in ("linux", "windows", "darwin", "freebsd"):
            raise MinirunError(f"failed to parse platform {text}: unknown operating system or architecture")
        return Platform(first, default.architecture, default.variant)
    return Platform(first, *_architecture(rest[0], rest[1] if len(rest) == 2 else ""))


def predefined(target: Platform, build: Platform, build_args: Mapping[str, str]) -> dict[str, str]:
    """Return the platform variables, such as TARGETARCH; --build-arg changes them."""
    variables: dict[str, str] = {}
    for prefix, platform in (("BUILD", build), ("TARGET", target)):
        variables |= {
            f"{prefix}PLATFORM": str(platform),
            f"{prefix}OS": platform.os,
            f"{prefix}ARCH": platform.architecture,
            f"{prefix}VARIANT": platform.variant,
        }
    return {name: build_args.get(name, value) for name, value in variables.items()}


def global_variables(
    dockerfile: Dockerfile, platform_variables: Mapping[str, str], build_args: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables that FROM can use: ARG before the first FROM, and those of the platforms."""
    syntax = Syntax(escape=dockerfile.script.escape)
    variables = dict(platform_variables)
    for arg in dockerfile.arguments:
        with dockerfile.script.source.blames(arg.lines):
            for name, default in arg.declarations:
                if name in build_args:
                    variables[name] = build_args[name]
                elif default is not None:
                    variables[name] = expand(default, variables, syntax)
    return variables


def proxies(build_args: Mapping[str, str]) -> dict[str, str]:
    """Return the build arguments that every RUN sees without ARG, and that neither cache nor history ever holds."""
    return {name: value for name, value in build_args.items() if name.lower() in _PROXIES}


def _architecture(name: str, variant: str) -> tuple[str, str]:
    name, implied = _ARCHITECTURES.get(name, (name, ""))
    if name == "arm64" and variant in ("8", "v8"):
        return name, ""
    if name == "arm" and not (variant or implied):
        implied = "v7"
    return name, variant or implied
