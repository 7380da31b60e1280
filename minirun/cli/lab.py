"""minirun lab: everything in namespaces of an ordinary user, without root."""

from typing import Annotated

from typer import Argument, Option

from minirun.cli.completion.values import DIRECTORY
from minirun.cli.parameters import NONE
from minirun.cli.session import commands, session
from minirun.errors import FAILED, MinirunError
from minirun.lab.enter import run_lab

app = commands()


@app.command("lab", flags_end=True)
def lab(
    words: Annotated[list[str], Argument(metavar="[COMMAND] [ARG...]")] = NONE,
    state: Annotated[
        str,
        Option(
            "--state",
            metavar="DIR",
            help="Keep images, containers, networks and volumes in DIR, for the next lab (default: in memory)",
            click_type=DIRECTORY,
        ),
    ] = "",
) -> int:
    """Run a command, or a shell, in a lab: there an ordinary user is root, and the host stays as it is."""
    session().fail_with(FAILED)
    if session().root:
        raise MinirunError("--root is not for lab: it has a state root of its own", "minirun lab --state DIR", FAILED)
    return run_lab(list(words), state)
