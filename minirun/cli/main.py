"""One command line from its words to an exit code; the one place that turns errors into a line."""

import os
import sys
from contextlib import suppress
from functools import cache
from traceback import print_exception, walk_tb

import click
from typer.main import get_command

from minirun.cli.app import app, load_command
from minirun.cli.commands import COMMANDS
from minirun.cli.completion.shells import COMPLETE_VAR, register
from minirun.cli.help import usage_line
from minirun.cli.output.lost import CODE, OutputError, discard_output
from minirun.cli.pflag import FlagError, PflagGroup, UsageError
from minirun.cli.refused import REFUSED
from minirun.cli.session import Session, print_operations
from minirun.errors import FAILED, MinirunError, describe
from minirun.instance import state_root
from minirun.store.faults import database_error

_DEBUG = "MINIRUN_DEBUG"
_BROKEN_PIPE = 141  # 128 + SIGPIPE


def run(words: list[str]) -> int:
    """Run one command line, the words after `minirun`. Returns the exit code."""
    if COMPLETE_VAR in os.environ:
        return _complete()
    session = Session(debug=bool(os.environ.get(_DEBUG)))
    try:
        code = _run(words, session)
    finally:
        lost = _print_last_operations(session)
    return lost or code


def prepare() -> None:
    """Build every command and the overview of all, for processes that are forked from this one."""
    from minirun.cli.help_page import help_for_pipe

    for name in COMMANDS:
        load_command(name).prepare()
    root = _root()
    root.prepare()
    help_for_pipe(root, click.Context(root, info_name="minirun"))


@cache
def _root() -> PflagGroup:
    root = get_command(app)
    assert isinstance(root, PflagGroup), "the application is made with it"
    root.refused = REFUSED[""]
    return root


def _complete() -> int:
    """A shell asks what the words may go on with."""
    register()
    return int(_root().main(prog_name="minirun", standalone_mode=False) or 0)


def _run(words: list[str], session: Session) -> int:
    try:
        code = _invoke(words, session)
        sys.stdout.flush()
    except OutputError as error:
        discard_output()
        return _complain(str(error), "", CODE)
    except MinirunError as error:
        return _complain(error.message, error.hint, _code_of(error, session))
    except click.ClickException as error:
        return _complain(error.format_message(), "See 'minirun --help'.", FAILED)
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        discard_output()
        return _BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - it becomes a line, with --debug a traceback, too
        return _complain_of_unexpected(error, session)
    return code


def _complain_of_unexpected(error: Exception, session: Session) -> int:
    if session.debug:
        with suppress(OSError):
            print_exception(error)
    if isinstance(error, OSError):
        return _complain(describe(error), "", session.failure)
    if hasattr(error, "sqlite_errorname") or _is_of_store(error):
        reported = database_error(error, state_root(session.root))
        return _complain(reported.message, reported.hint, session.failure)
    return _complain(f"{type(error).__name__}: {describe(error)}", "minirun -D shows where", session.failure)


def _print_last_operations(session: Session) -> int:
    """Those of --explain. Returns 0, or the exit code when they cannot be printed."""
    try:
        print_operations(session, last=True)
    except OSError as error:
        return _complain(str(OutputError(error)), "", CODE)
    return 0


def _invoke(words: list[str], session: Session) -> int:
    """As click's main() does, but errors and exit codes are left to the caller. A UsageError gets the usage line."""
    command = _root()
    try:
        with command.make_context("minirun", list(words), obj=session) as ctx:
            return command.invoke(ctx) or 0
    except UsageError as error:
        raise _with_usage(error) from None
    except click.exceptions.Exit as done:
        return done.exit_code


def _with_usage(error: UsageError) -> UsageError:
    """Tell how the command is used."""
    if (ctx := error.ctx) is not None:
        help_line = f"Run '{ctx.command_path} --help' for more information"
        error.hint = f"\n{usage_line(ctx.command, ctx)}\n\n{help_line}"
    return error


def _code_of(error: MinirunError, session: Session) -> int:
    """What cannot be read is 125 for every command; other failures are 125 only for run, as Docker has it."""
    if error.code in (1, FAILED) and not isinstance(error, FlagError | UsageError):
        return session.failure
    return error.code


def _is_of_store(error: Exception) -> bool:
    """Whether reading a record failed: minirun wrote it, so the file is damaged."""
    return any("/minirun/store/" in frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__))


def _complain(message: str, hint: str, code: int) -> int:
    with suppress(OutputError, BrokenPipeError):
        sys.stdout.flush()
    with suppress(OSError):  # then the exit code has to do
        print(f"minirun: {message}", file=sys.stderr)
        if hint:
            print(hint, file=sys.stderr)
    return code
