"""Help in Docker's sections, rendered by rich: wrapped to the terminal, plain and unwrapped in a pipe."""

import io
import shutil
import sys
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from minirun.cli.help import paragraphs, short_help, usage_line

_UNWRAPPED = 1 << 16  # columns: lines of a pipe are for grep
_for_pipe: dict[str, str] = {}  # by the command's path


def help_text(command: click.Command, ctx: click.Context) -> str:
    """The whole text of `minirun COMMAND --help`."""
    if sys.stdout.isatty():
        return _rendered(command, ctx, shutil.get_terminal_size().columns, at_terminal=True)
    return help_for_pipe(command, ctx)


def help_for_pipe(command: click.Command, ctx: click.Context) -> str:
    """The text for a pipe, which is always the same. It is rendered once: the fork server prepares `minirun --help`."""
    if ctx.command_path not in _for_pipe:
        _for_pipe[ctx.command_path] = _rendered(command, ctx, _UNWRAPPED, at_terminal=False)
    return _for_pipe[ctx.command_path]


def _rendered(command: click.Command, ctx: click.Context, width: int, at_terminal: bool) -> str:
    out = io.StringIO()
    # Both sizes: with only one of them rich takes a TERM=dumb for 80 columns.
    shape: dict[str, Any] = {"width": width, "height": 25, "force_terminal": at_terminal}
    console = Console(file=out, highlight=False, emoji=False, markup=False, **shape)
    console.print(usage_line(command, ctx))
    console.print()
    console.print(paragraphs(command.help or ""))
    spellings = getattr(command, "spellings", ())
    if len(spellings) > 1:
        _print_heading(console, "Aliases")
        console.print(Padding(", ".join(f"minirun {spelling}" for spelling in spellings), (0, 0, 0, 2)))
    if isinstance(command, click.Group):
        for title, rows in _command_sections(command, ctx):
            _print_section(console, title, rows)
    title = "Global Options" if ctx.parent is None else "Options"
    _print_section(console, title, _option_rows(command, ctx))
    if isinstance(command, click.Group):
        console.print(f"\nRun '{ctx.command_path} COMMAND --help' for more information on a command.")
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _command_sections(group: click.Group, ctx: click.Context) -> list[tuple[str, list[tuple[str, str]]]]:
    """By the commands' rich_help_panel: the common ones in their order, the others sorted."""
    sections: dict[str, list[tuple[str, str]]] = {"Common Commands": [], "Management Commands": [], "Commands": []}
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is not None and not command.hidden:
            panel = getattr(command, "rich_help_panel", None) if ctx.parent is None else None
            sections[panel or "Commands"].append((name, short_help(command)))
    return [(title, rows if title.startswith("Common") else sorted(rows)) for title, rows in sections.items()]


def _option_rows(command: click.Command, ctx: click.Context) -> list[tuple[str, str]]:
    options = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
    rows = {}
    for option in options:
        short = next((f"{name}, " for name in option.opts if not name.startswith("--")), "    ")
        long = next(name for name in option.opts if name.startswith("--"))
        rows[long] = (f"{short}{long}{_value_name(option)}", f"{option.help}{_default(option)}")
    return [rows[name] for name in sorted(rows)]


def _value_name(option: click.Option) -> str:
    if option.is_flag:
        return ""
    name = option.metavar or ("list" if option.multiple else "int" if option.type.name == "int" else "string")
    return name if name.startswith("[") else f" {name}"


def _default(option: click.Option) -> str:
    default = option.default
    if not isinstance(default, bool | int | str) or default in ("", False, 0):
        return ""
    return f' (default "{default}")' if isinstance(default, str) else f" (default {str(default).lower()})"


def _print_heading(console: Console, title: str) -> None:
    console.print(Text(f"\n{title}:", style="bold"))


def _print_section(console: Console, title: str, rows: list[tuple[str, str]]) -> None:
    if not rows:
        return
    _print_heading(console, title)
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(no_wrap=True, style="cyan")
    table.add_column()
    for left, right in rows:
        table.add_row(left, right)
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
