"""import --change and commit --change: the Dockerfile instructions that configure an image.

https://docs.docker.com/reference/dockerfile/
"""

import json
import posixpath
from collections.abc import Callable, Iterable
from typing import Any

from minirun.errors import MinirunError
from minirun.image.dockerfile_words import expand, split
from minirun.image.records import Config
from minirun.options.ports import parse_expose
from minirun.options.values import find_duration, parse_signal

_SHELL = ["/bin/sh", "-c"]
_NOT_ALLOWED = ("ADD", "ARG", "COPY", "FROM", "MAINTAINER", "ONBUILD", "RUN", "SHELL")
_HEALTH_TIMES = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}


def apply(config: Config, changes: Iterable[str]) -> Config:
    """Apply Dockerfile instructions to a configuration and return the result; MinirunError for a wrong one."""
    draft = _Draft(config)
    for line in changes:
        draft.apply(line)
    return draft.config


class _Draft:
    def __init__(self, config: Config) -> None:
        self.config: Config = json.loads(json.dumps(config))
        self._has_command = False  # set by an instruction: then ENTRYPOINT does not clear it

    def apply(self, line: str) -> None:
        word, _, rest = line.strip().partition(" ")
        name, rest = word.upper(), rest.strip()
        handler = self._handlers().get(name)
        if name in _NOT_ALLOWED:
            raise MinirunError(f"{name} is not a valid change command", "one of " + ", ".join(sorted(self._handlers())))
        if handler is None:
            raise MinirunError(f"dockerfile parse error on line 1: unknown instruction: {word}")
        if not rest:
            raise MinirunError(f"dockerfile parse error on line 1: {name} requires at least one argument")
        handler(rest)

    def _handlers(self) -> dict[str, Callable[[str], None]]:
        return {
            "CMD": self._cmd,
            "ENTRYPOINT": self._entrypoint,
            "ENV": self._env,
            "EXPOSE": self._expose,
            "HEALTHCHECK": self._healthcheck,
            "LABEL": self._label,
            "STOPSIGNAL": self._stop_signal,
            "USER": self._user,
            "VOLUME": self._volume,
            "WORKDIR": self._workdir,
        }

    def _cmd(self, rest: str) -> None:
        self.config["Cmd"] = _command(rest)
        self._has_command = True

    def _entrypoint(self, rest: str) -> None:
        self.config["Entrypoint"] = _command(rest)
        if not self._has_command:
            self.config.pop("Cmd", None)

    def _env(self, rest: str) -> None:
        env = self._variables()
        for key, value in _pairs("ENV", rest, env):
            env[key] = value
        self.config["Env"] = [f"{key}={value}" for key, value in env.items()]

    def _label(self, rest: str) -> None:
        self.config["Labels"] = {**self.config.get("Labels", {}), **dict(_pairs("LABEL", rest, self._variables()))}

    def _expose(self, rest: str) -> None:
        words = [expand(word, self._variables()) for word in split(rest)]
        try:
            ports = parse_expose(words)
        except MinirunError:
            raise MinirunError(
                f"invalid containerPort: {rest}", "PORT or PORT-PORT, optionally with /tcp, /udp or /sctp"
            ) from None
        self.config["ExposedPorts"] = {**self.config.get("ExposedPorts", {}), **{port: {} for port in ports}}

    def _volume(self, rest: str) -> None:
        paths = [expand(word, self._variables()) for word in _exec_form(rest) or split(rest)]
        if not all(path.startswith("/") and posixpath.normpath(path).strip("/") for path in paths):
            raise MinirunError(f"invalid volume: {rest}", "absolute paths other than /")
        self.config["Volumes"] = {**self.config.get("Volumes", {}), **{path: {} for path in paths}}

    def _workdir(self, rest: str) -> None:
        """Set the working directory; a relative path continues the previous one."""
        path = posixpath.join("/", self.config.get("WorkingDir", ""), expand(rest, self._variables()))
        self.config["WorkingDir"] = "/" + posixpath.normpath(path).lstrip("/")

    def _user(self, rest: str) -> None:
        self.config["User"] = expand(rest, self._variables())

    def _stop_signal(self, rest: str) -> None:
        name = expand(rest, self._variables())
        parse_signal(name)
        self.config["StopSignal"] = name

    def _healthcheck(self, rest: str) -> None:
        options: dict[str, Any] = {}
        while rest.startswith("--"):
            flag, _, rest = rest.partition(" ")
            options |= _health_flag(flag)
            rest = rest.strip()
        kind, _, test = rest.partition(" ")
        if kind.upper() == "NONE" and not test.strip() and not options:
            self.config["Healthcheck"] = {"Test": ["NONE"]}
            return
        if kind.upper() != "CMD" or not test.strip():
            raise MinirunError(
                f'Unknown type "{kind.upper()}" in HEALTHCHECK (try CMD)', "[OPTIONS] CMD command, or NONE"
            )
        words = _exec_form(test.strip())
        self.config["Healthcheck"] = {"Test": ["CMD", *words] if words else ["CMD-SHELL", test.strip()], **options}

    def _variables(self) -> dict[str, str]:
        return {key: value for key, _, value in (text.partition("=") for text in self.config.get("Env", []))}


def _exec_form(text: str) -> list[str] | None:
    """Parse the exec form, such as ["a", "b"]. Return None for anything else: that is the shell form."""
    try:
        words = json.loads(text)
    except ValueError:
        return None
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None


def _command(text: str) -> list[str]:
    words = _exec_form(text)
    return [*_SHELL, text] if words is None else words


def _pairs(what: str, text: str, variables: dict[str, str]) -> list[tuple[str, str]]:
    """Parse name=value ..., or the old form of one name and its value, which is the rest of the line."""
    words = split(text)
    if "=" not in words[0]:
        name, _, value = text.partition(" ")
        if not value.strip():
            raise MinirunError(f"{what} must have two arguments")
        return [(expand(name, variables), expand(value.strip(), variables))]
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise MinirunError(f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value')
        name = expand(name, variables)
        if not name:
            raise MinirunError(f"{what} names can not be blank")
        pairs.append((name, expand(value, variables)))
    return pairs


def _health_flag(text: str) -> dict[str, int]:
    name, _, value = text.removeprefix("--").partition("=")
    if name == "retries":
        if not value.isascii() or not value.isdigit() or not 0 <= int(value[:9]) < 10**8:
            raise MinirunError(f"--retries must be a non-negative number: {value}")
        return {"Retries": int(value)}
    if name not in _HEALTH_TIMES:
        raise MinirunError(
            f"Unknown flag: {name}", "--interval, --timeout, --start-period, --start-interval, --retries"
        )
    seconds = find_duration(value)
    if seconds is None or 0 < seconds < 0.001:
        raise MinirunError(f'time: invalid duration "{value}"', "such as 30s or 1m30s, at least 1ms")
    return {_HEALTH_TIMES[name]: int(seconds * 1e9)}
