"""Completers: what may follow an option, or be an argument. Typer calls them with the context and the typed part."""

import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from minirun.cli.completion.records import Records
from minirun.instance import state_root
from minirun.kernel.credentials import NAMES, RESOURCES

Completer = Callable[[click.Context, str], list[str]]


class PathWord(click.ParamType):  # type: ignore[type-arg]
    """A word that may be a path: the shell offers files ("file") or directories ("dir") by itself."""

    name = "string"

    def __init__(
        self, kind: str, complete: Completer | None = None, is_path: Callable[[str], bool] | None = None
    ) -> None:
        self.kind = kind
        self.complete = complete
        self.is_path = is_path or (lambda _: True)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """What the completer finds, and paths."""
        found = self.complete(ctx, incomplete) if self.complete else []
        items = [CompletionItem(text) for text in found if text.startswith(incomplete)]
        return [*items, *([CompletionItem(incomplete, type=self.kind)] if self.is_path(incomplete) else [])]


def words(*texts: str) -> Completer:
    """These, whatever is on record."""

    def complete(ctx: click.Context, incomplete: str) -> list[str]:
        return list(texts)

    return complete


def containers(kind: str = "containers", ending: str = "") -> Completer:
    """Names of containers: all, or those that are running, paused or stopped."""

    def complete(ctx: click.Context, incomplete: str) -> list[str]:
        return _not_given(ctx, [name + ending for name in _records(ctx).containers(kind)])

    return complete


def removable(ctx: click.Context, incomplete: str) -> list[str]:
    """For rm: a running container only with --force."""
    return containers("containers" if ctx.params.get("force") else "stopped")(ctx, incomplete)


def images(ctx: click.Context, incomplete: str) -> list[str]:
    """Tags of images."""
    return _not_given(ctx, _records(ctx).images())


def networks(ctx: click.Context, incomplete: str) -> list[str]:
    """Networks on record."""
    return _not_given(ctx, _records(ctx).networks())


def faults(ctx: click.Context, incomplete: str) -> list[str]:
    """Faults on record."""
    return _not_given(ctx, _records(ctx).faults())


def volumes(ctx: click.Context, incomplete: str) -> list[str]:
    """Volumes on record."""
    return _not_given(ctx, _records(ctx).volumes())


def objects(ctx: click.Context, incomplete: str) -> list[str]:
    """For inspect: everything, or what the group is of."""
    kinds: dict[str, Completer] = {
        "container": containers(),
        "network": networks,
        "image": images,
        "volume": volumes,
    }
    group = ctx.parent.info_name if ctx.parent else ""
    chosen = [kinds[group]] if group in kinds else kinds.values()
    return [name for complete in chosen for name in complete(ctx, incomplete)]


def network_modes(ctx: click.Context, incomplete: str) -> list[str]:
    """For --network: networks, the other modes, and other containers' namespaces."""
    names = [*dict.fromkeys(["bridge", *_records(ctx).networks()]), "host", "none"]
    return [*names, *_of_containers(ctx, incomplete)]


def namespaces(*modes: str) -> Completer:
    """For --pid and --ipc: one of `modes`, or another container's."""

    def complete(ctx: click.Context, incomplete: str) -> list[str]:
        return [*modes, *_of_containers(ctx, incomplete)]

    return complete


def _of_containers(ctx: click.Context, incomplete: str) -> list[str]:
    """The prefix alone until it is typed: there may be many containers."""
    prefix = "container:"
    if not incomplete.startswith(prefix):
        return [prefix]
    return [prefix + name for name in _records(ctx).containers("running")]


def signals(ctx: click.Context, incomplete: str) -> list[str]:
    """SIGTERM and the others."""
    return sorted(number.name for number in signal.Signals)


def capabilities(ctx: click.Context, incomplete: str) -> list[str]:
    """ALL and CAP_..."""
    return ["ALL", *(f"CAP_{name.upper()}" for name in NAMES)]


def ulimits(ctx: click.Context, incomplete: str) -> list[str]:
    """Names of resources, with =."""
    return [f"{name}=" for name in sorted(RESOURCES)]


def environment(ctx: click.Context, incomplete: str) -> list[str]:
    """Names of the caller's variables."""
    return sorted(os.environ)


def filters(keys: Iterable[str]) -> Completer:
    """For --filter: the keys, then what is known of their values."""

    def complete(ctx: click.Context, incomplete: str) -> list[str]:
        key, equals, _ = incomplete.partition("=")
        if not equals:
            return [f"{name}=" for name in keys]
        values = _FILTER_VALUES[key](ctx, "") if key in _FILTER_VALUES else []
        return [f"{key}={text}" for text in values]

    return complete


_FILTER_VALUES: dict[str, Completer] = {
    "status": words("created", "running", "paused", "restarting", "removing", "exited", "dead"),
    "health": words("starting", "healthy", "unhealthy", "none"),
    "type": words("container", "image", "network", "volume"),
    "driver": words("bridge", "local"),
    "dangling": words("true", "false"),
    "network": networks,
    "volume": volumes,
    "ancestor": images,
    "image": images,
    **dict.fromkeys(("name", "container", "before", "since"), containers()),
}


def _records(ctx: click.Context) -> Records:
    root = ctx.find_root().params.get("root")
    return Records(state_root(Path(root) if root else None))


def _not_given(ctx: click.Context, names: list[str]) -> list[str]:
    """Without those that are arguments already."""
    given: set[str] = set()
    for param in ctx.command.params:
        value = ctx.params.get(str(param.name)) if isinstance(param, click.Argument) else None
        given |= {value} if isinstance(value, str) else set(value or ())
    return [name for name in names if name not in given]


def _named_volumes(ctx: click.Context, incomplete: str) -> list[str]:
    return [f"{name}:" for name in _records(ctx).volumes()]


def _copied(ctx: click.Context, incomplete: str) -> list[str]:
    return containers(ending=":")(ctx, incomplete) if ":" not in incomplete else []


FILE, DIRECTORY = PathWord("file"), PathWord("dir")
VOLUME = PathWord("file", _named_volumes, lambda typed: typed.startswith(("/", ".", "~")))
COPIED = PathWord("file", _copied, lambda typed: ":" not in typed)
