"""minirun explain: what a command would do, shown without doing it to this host."""

from minirun.cli.opening import open_instance
from minirun.cli.verb import UsageError, Verb, value
from minirun.cli.verbs import VERBS, canonical, split
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
        instance = open_instance()
        from minirun.diagnostics.explain.dry_run import rehearse

        return rehearse(instance, self.words, self.form)
