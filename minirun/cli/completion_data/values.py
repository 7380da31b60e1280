"""What may follow a flag, by the flag's name."""

import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from minirun.cli.completion_data.records import Records

FILES, DIRECTORIES = "files", "directories"


@dataclass(frozen=True)
class Question:
    """What is known where a word is asked for."""

    records: Records
    typed: str  # of the word itself; of a value the part behind `--flag=`
    filterable: tuple[str, ...] = ()  # keys of the verb's --filter


Values = Callable[[Question], Iterable[str]]


def values_of(flag: str, asked: Question) -> list[str]:
    return list(_VALUES[flag](asked)) if flag in _VALUES else []


def place_of(flag: str, typed: str) -> str:
    """FILES or DIRECTORIES where a path is wanted, else ""."""
    if flag in ("volume", "mount") and not typed.startswith(("/", ".", "~")):
        return ""
    return _PATHS.get(flag, "")


def _words(*words: str) -> Values:
    return lambda _: words


def _shared(*words: str) -> Values:
    """A namespace mode: one of `words`, or another container's."""
    return lambda asked: [*words, *_of_containers(asked, "container:")]


def _of_containers(asked: Question, prefix: str) -> list[str]:
    """The prefix alone until it is typed: there may be many containers."""
    if not asked.typed.startswith(prefix):
        return [prefix]
    return [prefix + name for name in asked.records.containers("running")]


def _networks(asked: Question) -> list[str]:
    return [*dict.fromkeys(["bridge", *asked.records.networks()]), "host", "none", *_of_containers(asked, "container:")]


def _signals(_: Question) -> list[str]:
    return sorted(one.name for one in signal.Signals)


def _capabilities(_: Question) -> list[str]:
    from minirun.kernel.capabilities import NAMES

    return ["ALL", *(f"CAP_{name.upper()}" for name in NAMES)]


def _ulimits(_: Question) -> list[str]:
    from minirun.kernel.rlimits import RESOURCES

    return [f"{name}=" for name in sorted(RESOURCES)]


def _filters(asked: Question) -> list[str]:
    key, equals, _ = asked.typed.partition("=")
    if not equals:
        return [f"{name}=" for name in asked.filterable]
    found = _FILTER_VALUES.get(key)
    return [f"{key}={text}" for text in found(asked)] if found else []


_STATUSES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
_NAMES: Values = lambda asked: asked.records.containers()  # noqa: E731
_FILTER_VALUES: dict[str, Values] = {
    "status": _words(*_STATUSES),
    "health": _words("starting", "healthy", "unhealthy", "none"),
    "type": _words("container", "image", "network", "volume"),
    "driver": _words("bridge", "local"),
    "dangling": _words("true", "false"),
    "network": lambda asked: asked.records.networks(),
    "volume": lambda asked: asked.records.volumes(),
    "ancestor": lambda asked: asked.records.images(),
    "image": lambda asked: asked.records.images(),
    **dict.fromkeys(("name", "container", "before", "since"), _NAMES),
}
_VALUES: dict[str, Values] = {
    "network": _networks,
    "volumes-from": _NAMES,
    "link": lambda asked: [f"{name}:" for name in asked.records.containers("running")],
    "pid": _shared("host"),
    "ipc": _shared("host", "none", "private", "shareable"),
    "uts": _words("host"),
    "cgroupns": _words("host", "private"),
    "restart": _words("no", "on-failure", "on-failure:", "always", "unless-stopped"),
    "signal": _signals,
    "stop-signal": _signals,
    "format": _words("json", "table"),
    "log-driver": _words("json-file", "local", "none"),
    "log-opt": _words("max-size=", "max-file="),
    "pull": _words("always", "missing", "never"),
    "cap-add": _capabilities,
    "cap-drop": _capabilities,
    "security-opt": _words(
        "no-new-privileges", "seccomp=", "seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"
    ),
    "ulimit": _ulimits,
    "type": _words("container", "image", "network", "volume"),
    "driver": _words("bridge"),
    "env": lambda _: sorted(os.environ),
    "volume": lambda asked: [f"{name}:" for name in asked.records.volumes()],
    "mount": _words("type=bind,", "type=volume,", "type=tmpfs,"),
    "filter": _filters,
    "tail": _words("all"),
}
_PATHS = {
    **dict.fromkeys(("env-file", "label-file", "cidfile", "device", "output", "input", "volume"), FILES),
    "root": DIRECTORIES,
}
