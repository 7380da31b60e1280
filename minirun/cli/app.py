"""The command line: which module has which verb, and one place that turns errors into a line and an exit code.

Only the module of the verb that was typed is imported; `--help` alone imports them all.
"""

import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer._click.core import Command  # typer carries click inside; the pin in pyproject.toml covers it
from typer._click.exceptions import NoSuchOption, UsageError

from minirun.errors import FAILED, MinirunError, describe

if TYPE_CHECKING:
    pass

VERBS = {
    "run": "Create and run a new container from an image",
    "start": "Start one or more stopped containers",
    "restart": "Restart one or more containers",
    "attach": "Attach local standard input, output, and error streams to a running container",
    "wait": "Block until one or more containers stop, then print their exit codes",
    "pause": "Pause all processes within one or more containers",
    "unpause": "Unpause all processes within one or more containers",
    "rename": "Rename a container",
    "ps": "List containers",
    "logs": "Fetch the logs of a container",
    "exec": "Execute a command in a running container",
    "stop": "Stop one or more running containers",
    "kill": "Kill one or more running containers",
    "rm": "Remove one or more containers",
    "inspect": "Return low-level information on containers and networks",
    "port": "List port mappings of a container",
    "images": "List images",
    "network": "Manage networks",
    "version": "Show the version information",
}
_NO_COMMAND = " is not a minirun command."
_DEBUG = "MINIRUN_DEBUG"


@dataclass
class Session:
    """What a verb gets: the state root that was asked for, and for `run` the monitor in waiting."""

    root: Path | None = None
    launch: tuple[int, int] | None = None
    failure: int = 1

    def fail_with(self, code: int) -> None:
        self.failure = code


_SESSION = Session()


def session() -> Session:
    return _SESSION


def call(words: list[str], launch: tuple[int, int] | None = None) -> int:
    """Run one command line; the result is the exit code."""
    _SESSION.launch = launch
    words = words or ["--help"]
    try:
        result = _command(words).main(words, prog_name="minirun", standalone_mode=False)
        sys.stdout.flush()
    except MinirunError as error:
        return _complain(error.message, error.hint, _code_of(error))
    except NoSuchOption as error:
        return _complain(f"unknown flag: {error.option_name}", _see_help(error), FAILED)
    except UsageError as error:
        if error.message.startswith("No such command"):
            return _complain(
                error.message.replace("No such command ", "").rstrip(".") + _NO_COMMAND, _see_help(error), 1
            )
        return _complain(error.format_message(), _see_help(error), FAILED)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)  # so that the flush at exit does not complain again
        return 141
    except OSError as error:
        return _complain(describe(error), "", _failure())
    except Exception as error:  # whatever it is, the user gets a line; the traceback is for us
        if os.environ.get(_DEBUG):
            raise
        return _complain(f"{type(error).__name__}: {describe(error)}", f"{_DEBUG}=1 shows where", _failure())
    return result if isinstance(result, int) else 0


def _command(words: list[str]) -> Command:
    verb = next((word for word in words if word in VERBS), None)
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_minirun)
    for name in [verb] if verb and words[0] not in ("--help", "-h") else VERBS:
        module = importlib.import_module(f"minirun.cli.{'execute' if name == 'exec' else name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name, help=VERBS[name])
        else:
            settings = getattr(module, "SETTINGS", None)
            app.command(name, help=VERBS[name], context_settings=settings)(module.command)
    return typer.main.get_command(app)


def _minirun(
    root: Annotated[
        Path | None, typer.Option("--root", help="State root (default: $MINIRUN_ROOT or /var/lib/minirun)")
    ] = None,
) -> None:
    """A small Docker-compatible container runtime whose heart is networking."""
    _SESSION.root = root


def exit_with(code: int) -> NoReturn:
    raise typer.Exit(code)


def warn(text: str) -> None:
    print(text, file=sys.stderr)


def _code_of(error: MinirunError) -> int:
    return _failure() if error.code == 1 else error.code


def _failure() -> int:
    return _SESSION.failure


def _complain(message: str, hint: str, code: int) -> int:
    sys.stdout.flush()
    print(f"minirun: {message}", file=sys.stderr)
    if hint:
        print(hint, file=sys.stderr)
    return code


def _see_help(error: UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "minirun"
    return f"See '{path} --help'."
