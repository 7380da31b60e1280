"""A list of CNI plugins, called one after the other: ADD and CHECK in their order, DEL backwards."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from minirun.errors import FAILED, MinirunError
from minirun.kernel.programs import program_path
from minirun.kernel.seam import shell

VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0")
_PATIENCE = 60.0  # seconds for one plugin: one of DHCP waits for the server
_GONE = 3  # "unknown container": of what is gone there is nothing to delete

Config = dict[str, Any]


def parse(path: str, text: bytes) -> Config:
    """A list as it is, a single plugin as a list of one."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MinirunError(f"{path} is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise MinirunError(f"{path} is no CNI configuration: it is not an object")
    if "plugins" not in config:
        config = {**{key: config.get(key) for key in ("cniVersion", "name")}, "plugins": [config]}
    if config.get("cniVersion") not in VERSIONS:
        raise MinirunError(
            f"{path}: cniVersion {config.get('cniVersion')!r} is not spoken", f"one of {', '.join(VERSIONS)}"
        )
    if not isinstance(config.get("name"), str) or not config["name"]:
        raise MinirunError(f"{path}: it has no name")
    plugins = config["plugins"]
    if not isinstance(plugins, list) or not plugins or not all(_is_plugin(one) for one in plugins):
        raise MinirunError(f"{path}: each plugin is an object with a type, which is the name of a program")
    return config


@dataclass(frozen=True)
class Call:
    """What is said to every plugin of a list about one endpoint."""

    config: Config
    directories: tuple[str, ...]
    env: Mapping[str, str]

    def add(self) -> Config:
        """The last one's result. When one fails, those before it take back what they did."""
        result: Config | None = None
        for number, plugin in enumerate(self.config["plugins"]):
            try:
                result = self._result(self._run("ADD", plugin, result), plugin)
            except MinirunError:
                self._delete(self.config["plugins"][: number + 1], result)
                raise
        return result or {}

    def check(self, result: Config) -> str:
        if self.config["cniVersion"] < "0.4.0" or self.config.get("disableCheck"):
            return ""
        try:
            for plugin in self.config["plugins"]:
                self._run("CHECK", plugin, result)
        except MinirunError as error:
            return error.message
        return ""

    def delete(self, result: Config | None) -> None:
        """All are called, whatever the first one says: MinirunError says it afterwards."""
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
        told = {**plugin, "name": self.config["name"], "cniVersion": self.config["cniVersion"]}
        if previous is not None:
            told["prevResult"] = previous
        path = program_path(plugin["type"], self.directories)
        if path is None:
            raise MinirunError(f"CNI plugin {plugin['type']} is gone from {':'.join(self.directories)}", code=FAILED)
        env = {**self.env, "CNI_COMMAND": command}
        return _plugin_run(path, [f"{key}={value}" for key, value in env.items()], json.dumps(told), env)

    def _result(self, text: str, plugin: Config) -> Config:
        try:
            found = json.loads(text or "{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise MinirunError(f"CNI plugin {plugin['type']} answered what is not JSON: {text[:200]!r}", code=FAILED)
        return found


@shell("{words} {path} <<< {told}")
def _plugin_run(path: str, words: list[str], told: str, env: Mapping[str, str]) -> str:
    """What it prints; MinirunError with its own words when it fails."""
    from minirun.kernel.programs import program_run

    done = program_run(path, [], told.encode(), env, _PATIENCE)
    if done.code == 0:
        return done.out
    name, command = path.rpartition("/")[2], env["CNI_COMMAND"]
    if done.code is None:
        raise MinirunError(f"CNI plugin {name} did not end its {command} within {_PATIENCE:g} s", code=FAILED)
    number, said = _error_of(done.out)
    if command == "DEL" and number == _GONE:
        return ""
    said = said or " ".join(done.err.split())[:300] or f"it ended with {done.code}"
    raise MinirunError(f"CNI plugin {name} failed at {command}: {said}", code=FAILED)


def _error_of(text: str) -> tuple[int, str]:
    try:
        found = json.loads(text)
        return int(found.get("code", 0)), ": ".join(_words(found.get("msg"), found.get("details")))
    except (ValueError, AttributeError, TypeError):
        return 0, ""


def _words(*texts: object) -> Iterable[str]:
    return (str(text) for text in texts if text)


def _is_plugin(one: object) -> bool:
    kind = one.get("type") if isinstance(one, dict) else None
    return isinstance(kind, str) and bool(kind) and "/" not in kind and kind not in (".", "..")
