"""Calling a list of CNI plugins: ADD and CHECK in their order, DEL in reverse."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minirun.errors import FAILED, MinirunError
from minirun.kernel.programs import program_path, program_run
from minirun.kernel.seam import shell

VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0")
_TIMEOUT = 60.0  # seconds for one plugin: a DHCP plugin waits for its server
_UNKNOWN_CONTAINER = 3  # an error code of the specification; for DEL it means success

Config = dict[str, Any]


def parse(path: str, text: bytes) -> Config:
    """Parse a configuration: a list of plugins, or a single plugin, which becomes a list of one.

    MinirunError when it is invalid or its version is not supported; `path` is for the message.
    """
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MinirunError(f"{path} is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise MinirunError(f"{path} is not a CNI configuration: not a JSON object")
    if "plugins" not in config:
        config = {**{key: config.get(key) for key in ("cniVersion", "name")}, "plugins": [config]}
    if config.get("cniVersion") not in VERSIONS:
        raise MinirunError(
            f"{path}: cniVersion {config.get('cniVersion')!r} is not supported", f"use one of {', '.join(VERSIONS)}"
        )
    if not isinstance(config.get("name"), str) or not config["name"]:
        raise MinirunError(f"{path}: it has no name")
    plugins = config["plugins"]
    if not isinstance(plugins, list) or not plugins or not all(_is_plugin(plugin) for plugin in plugins):
        raise MinirunError(f"{path}: each plugin must be an object with a type, the name of a program")
    return config


@dataclass(frozen=True)
class Call:
    """What every plugin of a list is called with for one endpoint."""

    config: Config
    directories: tuple[str, ...]
    env: Mapping[str, str]

    def add(self) -> Config:
        """Call ADD and return the last plugin's result. When one fails, DEL is called for it and those before it."""
        result: Config | None = None
        for number, plugin in enumerate(self.config["plugins"]):
            try:
                result = self._result(self._run("ADD", plugin, result), plugin)
            except MinirunError:
                self._delete(self.config["plugins"][: number + 1], result)
                raise
        return result or {}

    def check(self, result: Config) -> str:
        """Call CHECK with the result of ADD. Return the first plugin's error, "" for none."""
        if self.config["cniVersion"] < "0.4.0" or self.config.get("disableCheck"):
            return ""
        try:
            for plugin in self.config["plugins"]:
                self._run("CHECK", plugin, result)
        except MinirunError as error:
            return error.message
        return ""

    def delete(self, result: Config | None) -> None:
        """Call DEL of every plugin. MinirunError afterwards with the first error."""
        problems = self._delete(self.config["plugins"], result)
        if problems:
            raise problems[0]

    def _delete(self, plugins: list[Config], result: Config | None) -> list[MinirunError]:
        problems = []
        for plugin in reversed(plugins):
            try:
                self._run("DEL", plugin, result)
            except MinirunError as error:
                problems.append(error)
        return problems

    def _run(self, command: str, plugin: Config, previous: Config | None) -> str:
        config = {**plugin, "name": self.config["name"], "cniVersion": self.config["cniVersion"]}
        if previous is not None:
            config["prevResult"] = previous
        path = program_path(plugin["type"], self.directories)
        if path is None:
            raise MinirunError(f"CNI plugin {plugin['type']} is missing in {':'.join(self.directories)}", code=FAILED)
        env = {**self.env, "CNI_COMMAND": command}
        return _plugin_run(path, [f"{key}={value}" for key, value in env.items()], json.dumps(config), env)

    def _result(self, text: str, plugin: Config) -> Config:
        try:
            result = json.loads(text or "{}")
        except ValueError:
            result = None
        if not isinstance(result, dict):
            raise MinirunError(f"CNI plugin {plugin['type']} returned invalid JSON: {text[:200]!r}", code=FAILED)
        return result


@shell("{words} {path} <<< {config}")
def _plugin_run(path: str, words: list[str], config: str, env: Mapping[str, str]) -> str:
    """Run a plugin with its configuration on stdin. Return its stdout; MinirunError with its own message."""
    done = program_run(path, [], config.encode(), env, _TIMEOUT)
    if done.code == 0:
        return done.out
    name, command = path.rpartition("/")[2], env["CNI_COMMAND"]
    if done.code is None:
        raise MinirunError(f"CNI plugin {name} did not complete {command} within {_TIMEOUT:g} s", code=FAILED)
    number, message = _error_of(done.out)
    if command == "DEL" and number == _UNKNOWN_CONTAINER:
        return ""
    message = message or " ".join(done.err.split())[:300] or f"exit code {done.code}"
    raise MinirunError(f"CNI plugin {name} failed at {command}: {message}", code=FAILED)


def _error_of(text: str) -> tuple[int, str]:
    try:
        error = json.loads(text)
        return int(error.get("code", 0)), ": ".join(str(error[key]) for key in ("msg", "details") if error.get(key))
    except (ValueError, AttributeError, TypeError):
        return 0, ""


def _is_plugin(plugin: object) -> bool:
    kind = plugin.get("type") if isinstance(plugin, dict) else None
    return isinstance(kind, str) and bool(kind) and "/" not in kind and kind not in (".", "..")
