"""The command line: from what was typed to a verb, and one place that turns errors into a line and an exit code.

Only the module of the verb that was typed is imported.
"""

import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from minirun.cli.verb import UsageError, Verb
from minirun.cli.verbs import FAMILIES, VERBS, canonical, split
from minirun.errors import FAILED, MinirunError, describe

_DEBUG = "MINIRUN_DEBUG"


@dataclass
class Session:
    """What a verb gets: the state root that was asked for, and for `run` the monitor in waiting."""

    root: Path | None = None
    launch: tuple[int, int] | None = None
    failure: int = 1
    explain: str = ""  # text, json or script
    verb: str = ""

    def fail_with(self, code: int) -> None:
        self.failure = code


_SESSION = Session()


def session() -> Session:
    return _SESSION


def call(words: list[str], launch: tuple[int, int] | None = None) -> int:
    """Run one command line; the result is the exit code."""
    _SESSION.launch = launch
    try:
        return _answer(words)
    finally:
        tell_operations(last=True)


def tell_operations(last: bool = False) -> None:
    """With --explain: what was done since the last time."""
    if _SESSION.explain:
        from minirun.diagnostics.explain.render import tell

        sys.stdout.flush()
        tell(_SESSION.explain, last, _SESSION.verb)


def _answer(words: list[str]) -> int:
    try:
        code = _call(words)
        sys.stdout.flush()
    except MinirunError as error:
        return _complain(error.message, error.hint, _code_of(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)  # so that the flush at exit does not complain again
        return 141
    except OSError as error:
        return _complain(describe(error), "", _failure())
    except Exception as error:  # whatever it is, the user gets a line; the traceback is for us
        if os.environ.get(_DEBUG):
            raise
        if hasattr(error, "sqlite_errorname") or _is_of_records(error):
            return _complain_of_database(error)
        return _complain(f"{type(error).__name__}: {describe(error)}", f"{_DEBUG}=1 shows where", _failure())
    return code or 0


def _call(words: list[str]) -> int | None:
    before, called, rest = split(words)
    if _read_global(before):
        return None
    if not called:
        _help()
        return None
    name = canonical(called)
    if called in FAMILIES or (called.split()[0] in FAMILIES and name not in VERBS):
        return _family(called)
    if name not in VERBS:
        raise MinirunError(f"unknown command: minirun {called}", "\nRun 'minirun --help' for more information")
    verb = load_verb(name)(called)
    _SESSION.verb = name
    try:
        wanted = verb.read(rest)
    except UsageError as error:
        from minirun.cli.usage import usage_line

        hint = f"\n{usage_line(type(verb), called)}\n\nRun 'minirun {called} --help' for more information"
        raise UsageError(error.message, hint, error.code) from None
    if not wanted:
        from minirun.cli.usage import of_verb

        print(of_verb(type(verb), name, called))
        return None
    return verb.run()


def load_verb(name: str) -> type[Verb]:
    module, _, attribute = VERBS[name][0].partition(":")
    found: type[Verb] = getattr(importlib.import_module(f"minirun.cli.{module}"), attribute)
    return found


def _read_global(words: list[str]) -> bool:
    """minirun's own flags, before the verb. True when one of them was all that was wanted."""
    at = 0
    while at < len(words):
        name, equals, text = words[at].partition("=")
        at += 1
        if name == "--root":
            if not equals:
                text, at = (words[at] if at < len(words) else ""), at + 1
            if not text:
                raise UsageError("flag needs an argument: --root", code=FAILED)
            _SESSION.root = Path(text)
        elif name == "--explain":
            from minirun.diagnostics.explain.render import FORMS

            if (text or "text") not in FORMS:
                raise UsageError(f"invalid argument {text!r} for --explain: one of {', '.join(FORMS)}", code=FAILED)
            _SESSION.explain = text or "text"
        elif name in ("-v", "--version"):
            from minirun import __version__

            print(f"minirun version {__version__}")
            return True
        elif name in ("-h", "--help"):
            return _help()
        else:
            raise UsageError(f"unknown flag: {name}", "See 'minirun --help'.", FAILED)
    return False


def _help() -> bool:
    from minirun.cli.usage import of_all

    print(of_all())
    return True


def _family(called: str) -> int | None:
    from minirun.cli.usage import of_family

    family, _, word = called.partition(" ")
    if word and word not in ("-h", "--help"):
        raise MinirunError(
            f"unknown command: minirun {called}",
            f"\nUsage:  minirun {family} COMMAND\n\nRun 'minirun {family} --help' for more information",
        )
    print(of_family(family))
    return None


def warn(text: str) -> None:
    print(text, file=sys.stderr)


def warn_of(error: MinirunError) -> None:
    """One of several failures, of which each is told."""
    warn(f"minirun: {error.message}" + (f"\n{error.hint}" if error.hint else ""))


def _code_of(error: MinirunError) -> int:
    """What cannot be read is 125 for every verb; other failures of ours are 125 only for run, as Docker has it."""
    if error.code in (1, FAILED) and not isinstance(error, UsageError):
        return _failure()
    return error.code


def _failure() -> int:
    return _SESSION.failure


def _is_of_records(error: Exception) -> bool:
    """What minirun itself wrote there is read back: whatever is wrong then, is wrong with the file."""
    from traceback import walk_tb

    return any("/minirun/store/" in frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__))


def _complain_of_database(error: Exception) -> int:
    from minirun.instance import state_root
    from minirun.store.faults import database_error

    told = database_error(error, state_root(_SESSION.root))
    return _complain(told.message, told.hint, _failure())


def _complain(message: str, hint: str, code: int) -> int:
    sys.stdout.flush()
    print(f"minirun: {message}", file=sys.stderr)
    if hint:
        print(hint, file=sys.stderr)
    return code
