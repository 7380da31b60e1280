"""What a command starts with: its session, a typer application to be declared in, and the opened state root."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import typer

from minirun.cli.pflag import PflagCommand
from minirun.diagnostics.explain import render
from minirun.engine.reconcile import reconcile
from minirun.errors import MinirunError
from minirun.instance import Instance, state_root
from minirun.kernel.credentials import is_root

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Session:
    """One command line: its global options, and the exit code of failures that have none of their own."""

    root: Path | None = None
    explain: str = ""  # a form of diagnostics/explain/render.py
    failure: int = 1
    debug: bool = False  # an unexpected error is raised

    def fail_with(self, code: int) -> None:
        """From here on a failure ends with `code`."""
        self.failure = code


def session() -> Session:
    """The running command's."""
    found: Session = click.get_current_context().ensure_object(Session)
    return found


class Commands(typer.Typer):
    """The commands of one module: `@app.command("stop")`."""

    def command(self, name: str | None = None, **kwargs: Any) -> Callable[[F], F]:
        """As typer's, with Docker's way of reading flags. `flags_end=True`: they end at the first argument."""
        if kwargs.pop("flags_end", False):
            kwargs["context_settings"] = {"allow_interspersed_args": False}
        return super().command(name, cls=PflagCommand, **kwargs)


def commands() -> Commands:
    """A typer application for a module's commands."""
    return Commands(add_completion=False)


def open_instance(repairs: bool = True, revives: bool | None = None) -> Instance:
    """Open the state root and finish what an earlier command left half done. MinirunError unless called by root.

    With `repairs`, damaged rules and interfaces are repaired first, and with `revives` (None: as `repairs`) lost
    containers start again in the background; a command that shows how things are leaves them so.
    """
    require_root()
    instance = Instance(session().root)
    reconcile(instance, repairs, repairs if revives is None else revives)
    return instance


def require_root() -> None:
    """MinirunError unless called by root."""
    if not is_root():
        raise MinirunError(
            "minirun must be run as root: it makes namespaces, mounts and nftables rules",
            "try sudo, or minirun lab: there you are root, and this host stays as it is",
            session().failure,
        )


def warn(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr)


def warn_of(error: MinirunError) -> None:
    """Report one of several failures and go on."""
    warn(f"minirun: {error.message}" + (f"\n{error.hint}" if error.hint else ""))


def print_operations(current: Session, last: bool = False) -> None:
    """With --explain: the kernel operations since the last call."""
    if current.explain:
        sys.stdout.flush()
        render.print_operations(current.explain, str(state_root(current.root)), last)
