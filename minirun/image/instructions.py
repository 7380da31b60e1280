"""What a Dockerfile's instructions do to an image's configuration: `build`, import --change and commit --change.

https://docs.docker.com/reference/dockerfile/
"""

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from minirun.errors import MinirunError
from minirun.image.dockerfile import syntax
from minirun.image.dockerfile.expansion import Expander, expanded
from minirun.image.dockerfile.parser import parse_lines
from minirun.image.dockerfile.syntax import Instruction
from minirun.image.document import Config
from minirun.options.values import parse_signal

_SHELL = ("/bin/sh", "-c")
_CHANGES = (
    syntax.Cmd,
    syntax.Entrypoint,
    syntax.Env,
    syntax.Expose,
    syntax.Healthcheck,
    syntax.Label,
    syntax.Onbuild,
    syntax.Stopsignal,
    syntax.User,
    syntax.Volume,
    syntax.Workdir,
)
_PORT = re.compile(
    r"(?:(?:(?:\[?[0-9a-fA-F.:]+\]?)?:)?[0-9-]*:)?([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?\Z", re.I
)

AnyConfig = Mapping[str, Any]
"""An image's configuration in Docker's field names, with those that only `build` uses: Shell and OnBuild."""


def apply(config: Config, changes: Iterable[str]) -> Config:
    """Apply lines of a Dockerfile to a configuration and return the result; MinirunError for a wrong one."""
    result: AnyConfig = config
    has_command = False
    for instruction in parse_lines("\n".join(changes)):
        if not isinstance(instruction, _CHANGES):
            names = sorted(kind.__name__.upper() for kind in _CHANGES)
            raise MinirunError(f"{instruction.keyword} is not a valid change command", "one of " + ", ".join(names))
        result = configure(result, expanded(instruction, Expander(environment_of(result))), has_command)
        has_command |= isinstance(instruction, syntax.Cmd)
    return cast(Config, result)


def configure(config: AnyConfig, instruction: Instruction, has_command: bool = False) -> AnyConfig:
    """Return the configuration as an instruction, whose variables are expanded, changes it.

    `has_command`: an earlier instruction has set the command, so that ENTRYPOINT keeps it. Instructions that change
    files only (RUN, COPY, ADD) and those that have no part in a configuration change nothing.
    """
    result = dict(config)
    match instruction:
        case syntax.Cmd():
            result["Cmd"] = command_line(config, instruction)
        case syntax.Entrypoint():
            result["Entrypoint"] = command_line(config, instruction)
            if not has_command:
                result.pop("Cmd", None)
        case syntax.Env():
            changed = environment_of(config) | {pair.name: pair.value for pair in instruction.pairs}
            result["Env"] = [f"{name}={value}" for name, value in changed.items()]
        case syntax.Label():
            _add(result, "Labels", {pair.name: pair.value for pair in instruction.pairs})
        case syntax.Expose():
            _add(result, "ExposedPorts", {port: {} for port in exposed_ports(instruction)})
        case syntax.Volume():
            _add(result, "Volumes", {_volume(path): {} for path in instruction.paths})
        case syntax.Workdir():
            result["WorkingDir"] = workdir(config, instruction.argument)
        case syntax.User():
            result["User"] = instruction.argument
        case syntax.Stopsignal():
            parse_signal(instruction.argument)
            result["StopSignal"] = instruction.argument
        case syntax.Healthcheck():
            result["Healthcheck"] = {"Test": list(instruction.test), **dict(instruction.options)}
        case syntax.Shell():
            result["Shell"] = list(instruction.words)
        case syntax.Onbuild():
            result["OnBuild"] = [*result.get("OnBuild", []), instruction.argument]
    return result


def command_line(config: AnyConfig, command: syntax.Command) -> list[str]:
    """Return the words of a command; in the shell form they are the configuration's SHELL and one text."""
    if command.is_exec_form:
        return list(command.words)
    return [*(config.get("Shell") or _SHELL), " ".join(command.words)]


def environment_of(config: AnyConfig) -> dict[str, str]:
    """Return the configuration's environment."""
    return {name: value for name, _, value in (text.partition("=") for text in config.get("Env") or [])}


def workdir(config: AnyConfig, path: str) -> str:
    """Return the absolute path of a WORKDIR; a relative one continues the previous one."""
    joined = posixpath.join("/", config.get("WorkingDir") or "", path)
    return "/" + posixpath.normpath(joined).lstrip("/")


def exposed_ports(expose: syntax.Expose) -> list[str]:
    """Return one entry per port of EXPOSE, such as 80/tcp. An address and a host port before it are ignored."""
    ports: list[str] = []
    for text in expose.ports:
        match = _PORT.match(text)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if match is None or not 0 <= first <= last <= 65535:
            raise MinirunError(
                f"invalid containerPort: {text}", "PORT or PORT-PORT, optionally with /tcp, /udp or /sctp"
            )
        ports += [f"{port}/{(match[3] or 'tcp').lower()}" for port in range(first, last + 1)]
    return ports


def _volume(path: str) -> str:
    if not path.startswith("/") or not posixpath.normpath(path).strip("/"):
        raise MinirunError(f"invalid volume: {path}", "absolute paths other than /")
    return path


def _add(config: dict[str, Any], field: str, values: Mapping[str, Any]) -> None:
    config[field] = {**(config.get(field) or {}), **values}
