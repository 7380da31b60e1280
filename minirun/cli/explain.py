"""minirun explain: what a command would do, shown without doing it to this host."""

import sys

from minirun.cli.opening import open_instance
from minirun.cli.verb import UsageError, Verb, value
from minirun.cli.verbs import VERBS, canonical, split
from minirun.diagnostics.explain.dry_run import dry_run
from minirun.diagnostics.explain.render import FORMS
from minirun.errors import FAILED


class Explain(Verb):
    usage = "COMMAND [ARG...]"
    least = 1
    interspersed = False
    completes = "-"
    form = value("format", "f", "How to show it (text|json|script)", "text")

    def run(self) -> int:
        if self.form not in FORMS:
            raise UsageError(f"invalid argument {self.form!r} for --format: one of {', '.join(FORMS)}", code=FAILED)
        _, called, _ = split(self.words)
        if canonical(called) not in VERBS or canonical(called) == "explain":
            raise UsageError(
                f"unknown command: minirun {called}", "\nRun 'minirun --help' for more information", FAILED
            )
        return dry_run(open_instance(), _run_command, self.words, self.form, _is_detached(self.words))


def _run_command(words: list[str]) -> int:
    """Run a command line as if it were typed."""
    from minirun.__main__ import main

    sys.argv[1:] = words
    main()
    return 0


def _is_detached(words: list[str]) -> bool:
    """Whether the command leaves a program behind instead of waiting for its end."""
    _, called, rest = split(words)
    if canonical(called) != "run":
        return True
    from minirun.cli.run import Run

    verb = Run(called)
    return bool(verb.read(rest) and verb.detach)
