"""minirun completion."""

from typing import Annotated

import typer

from minirun.cli.completion.shells import SHELLS, script
from minirun.cli.completion.values import words
from minirun.cli.session import commands
from minirun.errors import MinirunError

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
