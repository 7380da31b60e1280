"""minirun's typer application: Docker's groups, whose commands are imported when they are typed."""

import importlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from click.shell_completion import CompletionItem
from typer.main import get_group

from minirun import __version__
from minirun.cli.commands import ABSENT, COMMANDS, COMMON, GROUPS, canonical, members, spellings
from minirun.cli.completion.values import DIRECTORY
from minirun.cli.help import short_help, usage_line
from minirun.cli.pflag import FlagError, OptionalValue, PflagCommand, PflagGroup, UsageError
from minirun.cli.refused import REFUSED
from minirun.cli.session import Session
from minirun.diagnostics.explain.recorder import RECORDER
from minirun.diagnostics.explain.render import FORMS
from minirun.errors import FAILED, MinirunError


@cache
def load_command(name: str) -> PflagCommand:
    """Import the module that has a command of COMMANDS, and build the command."""
    where = COMMANDS[name]
    module = importlib.import_module(where if where.startswith("minirun.") else f"minirun.cli.{where}")
    command = get_group(module.app).commands[name.split()[-1]]
    assert isinstance(command, PflagCommand), f"{name} is made with minirun.cli.session.commands()"
    command.refused = REFUSED.get(name, {})
    command.spellings = spellings(name)
    command.rich_help_panel = "Common Commands" if name in COMMON else "Commands"
    return command


class LazyGroup(PflagGroup):
    """A group that knows its commands by name and loads the one that is typed."""

    @property
    def _prefix(self) -> str:
        return f"{self.name} " if self.name else ""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names that help and completion list."""
        return members(self.name or "")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command or group of that name, or None."""
        group = super().get_command(ctx, cmd_name)
        name = canonical(self._prefix + cmd_name)
        return group or (load_command(name) if name in COMMANDS and " " not in cmd_name else None)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """(name, command, the words behind it). MinirunError for a command that minirun does not have."""
        command = self.get_command(ctx, args[0])
        if command is None and not ctx.resilient_parsing:
            raise self._unknown(ctx, args[0])
        return (args[0] if command else None), command, args[1:]

    def _unknown(self, ctx: click.Context, name: str) -> MinirunError:
        if self._prefix + name in ABSENT:
            reason, instead = ABSENT[self._prefix + name]
            return MinirunError(f"{name} is not supported: {reason}", instead)
        usage = f"\n{usage_line(self, ctx)}\n" if ctx.parent else ""
        return MinirunError(
            f"unknown command: {ctx.command_path} {name}",
            f"{usage}\nRun '{ctx.command_path} --help' for more information",
        )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The group's commands, or its options. Nothing after a word that is no command."""
        if ctx.args or ctx._protected_args:
            return []
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx) if name.startswith(incomplete))
        return [CompletionItem(name, help=short_help(command)) for name, command in found if command is not None]


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,  # `minirun completion` prints the scripts
    invoke_without_command=True,
    subcommand_metavar="COMMAND",
)


def _check_form(ctx: click.Context, param: click.Parameter, form: str) -> str:
    if form and form not in FORMS and not ctx.resilient_parsing:
        raise FlagError(f"invalid argument {form!r} for --explain: one of {', '.join(FORMS)}")
    return form


def _check_root(ctx: click.Context, param: click.Parameter, root: str | None) -> str | None:
    if root == "" and not ctx.resilient_parsing:
        raise UsageError("flag needs an argument: --root", FAILED)
    return root


def _check_context(ctx: click.Context, param: click.Parameter, name: str) -> str:
    if name not in ("", "default") and not ctx.resilient_parsing:
        raise FlagError(f'context "{name}" not found: the only one is "default", this host')
    return name


def _print_version(ctx: click.Context, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        print(f"minirun version {__version__}")
        ctx.exit()


@app.callback()
def minirun(
    ctx: click.Context,
    explain: Annotated[
        str,
        typer.Option(
            "--explain",
            metavar="[=text|full|json|script]",
            help="Show each kernel operation of the command, on standard error",
            click_type=OptionalValue("text"),
            callback=_check_form,
        ),
    ] = "",
    context: Annotated[
        str,
        typer.Option(
            "--context",
            "-c",
            help='Name of the context: "default", this host, is the only one',
            callback=_check_context,
        ),
    ] = "",
    debug: Annotated[
        bool, typer.Option("--debug", "-D", help="Enable debug mode: an unexpected error prints where it happened")
    ] = False,
    root: Annotated[
        str | None,
        typer.Option(
            "--root",
            help="State root (default $MINIRUN_ROOT or /var/lib/minirun)",
            click_type=DIRECTORY,
            callback=_check_root,
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-v", help="Print version information and quit", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """A small Docker-compatible container runtime whose heart is networking."""
    session = ctx.ensure_object(Session)
    session.root = Path(root) if root else None
    session.explain = explain
    session.debug |= debug
    if explain:
        RECORDER.start()  # before any other process is forked: all write to one file
    _help_without_command(ctx)


def _help_without_command(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _group(name: str, text: str) -> None:
    group = typer.Typer(cls=LazyGroup, invoke_without_command=True, subcommand_metavar="COMMAND", help=text)
    callback: Callable[[Any], None] = _help_without_command
    group.callback()(callback)
    app.add_typer(group, name=name, rich_help_panel="Management Commands")


for _name, _text in GROUPS.items():
    _group(_name, _text)
