"""minirun stop."""

from minirun.cli.each import for_each_container
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, number, value
from minirun.engine.stop import patience_of, stop
from minirun.model import Container
from minirun.options.values import parse_signal


class Ending(Verb):
    """What stop and restart are told."""

    usage = "CONTAINER [CONTAINER...]"
    least = 1
    completes = "running"
    signal = value("signal", "s", "Signal to send to the container")
    patience = number(
        "timeout", "t", "Seconds to wait before killing the container, -1: for ever (default 10)", also="time"
    )

    @property
    def wanted_signal(self) -> int | None:
        return parse_signal(self.signal) if self.signal else None

    def limit(self, container: Container) -> float | None:
        """Seconds until SIGKILL; None: for ever."""
        return patience_of(container, self.patience if "timeout" in self.given else None)


class Stop(Ending):
    def run(self) -> int:
        number = self.wanted_signal
        instance = open_instance()
        return for_each_container(
            instance, self.words, lambda container: stop(instance, container, number, self.limit(container))
        )
