"""minirun completion, and what the scripts that it prints ask: words in, candidates out, by click's ShellComplete."""

import sys
from pathlib import Path
from typing import Annotated

import click
import typer
from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    _resolve_context,
    _resolve_incomplete,
    add_completion_class,
)

from minirun.cli.completion.values import words
from minirun.cli.session import commands
from minirun.errors import MinirunError

SHELLS = ("bash", "zsh", "fish")
COMPLETE_VAR = "_MINIRUN_COMPLETE"  # `complete_bash` and so on, as typer has it
_UNFINISHED = (":", "=", ",")
_PLACES = {"file": "files", "dir": "directories"}


app = commands()


@app.command("completion")
def completion(shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", autocompletion=words(*SHELLS))]) -> None:
    """Print the script that completes commands in a shell.

    For this shell: source <(minirun completion bash). For new shells, save the output where the shell looks:
    /usr/local/share/bash-completion/completions/minirun, a file _minirun in a directory of zsh's $fpath, or
    ~/.config/fish/completions/minirun.fish.
    """
    if shell not in SHELLS:
        raise MinirunError(f"no completion for {shell}", "there is one for " + ", ".join(SHELLS))
    print(script(shell), end="")


def script(shell: str) -> str:
    """What a shell has to read to complete minirun's words."""
    return (Path(__file__).parent / f"minirun.{shell}").read_text()


def register() -> None:
    """Make the three shells known to click."""
    for shell in SHELLS:
        add_completion_class(MinirunComplete, shell)


class MinirunComplete(ShellComplete):
    """The shells' scripts pass the words as arguments, split as the shell means them, up to the cursor.

    The answer is a candidate a line, with a tab and a line of help, then a colon and what else the shell is to do:
    `files` or `directories` to offer those too, `nospace` where more has to be typed behind a candidate.
    """

    name = "minirun"
    source_template = ""

    def source(self) -> str:
        """The script of bash; `minirun completion` prints the others."""
        return script("bash")

    def get_completion_args(self) -> tuple[list[str], str]:
        """(the words before, the word at the cursor)."""
        *before, typed = sys.argv[1:] or [""]
        return before, typed

    def complete(self) -> str:
        """The answer. An error is no answer: a half typed line is none, and a prompt is no place for one."""
        try:
            before, typed = self.get_completion_args()
            return "\n".join(self._lines(before, typed))
        except Exception:  # noqa: BLE001
            return ":"

    def _lines(self, before: list[str], typed: str) -> list[str]:
        prefix = typed[: typed.index("=") + 1] if typed.startswith("-") and "=" in typed else ""
        items = self.get_completions(before, typed)
        places = dict.fromkeys(_PLACES[item.type] for item in items if item.type in _PLACES)
        names = dict.fromkeys(prefix + item.value for item in items if item.type == "plain")
        helps = {prefix + item.value: item.help for item in items if item.help}
        unfinished = bool(names) and all(name.endswith(_UNFINISHED) for name in names)
        directive = " ".join([*places, *(["nospace"] if unfinished else [])])
        return [*(f"{name}\t{helps[name]}" if name in helps else name for name in names), f":{directive}"]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """As click's, but nothing for an option behind `--` and for the value of an option that has none."""
        ctx = _resolve_context(self.cli, self.ctx_args, self.prog_name, args)
        has_value = incomplete.startswith("-") and "=" in incomplete
        found, typed = _resolve_incomplete(ctx, args, incomplete)
        if isinstance(found, click.Command) and "--" in args:
            return []
        if has_value and not isinstance(found, click.Option):
            return []
        return found.shell_complete(ctx, typed)
