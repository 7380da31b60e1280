"""The variables that a Dockerfile can use: ARG before the first FROM, platforms, proxies.

https://docs.docker.com/reference/dockerfile/#arg
"""

from collections.abc import Mapping

from minirun.image.dockerfile.syntax import Dockerfile
from minirun.image.dockerfile.words import Syntax, expand
from minirun.image.platforms import Platform

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")


def predefined(target: Platform, build: Platform, build_args: Mapping[str, str]) -> dict[str, str]:
    """Return the platform variables, such as TARGETARCH; --build-arg changes them."""
    variables: dict[str, str] = {}
    for prefix, platform in (("BUILD", build), ("TARGET", target)):
        variables |= {
            f"{prefix}PLATFORM": str(platform),
            f"{prefix}OS": platform.system,
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
