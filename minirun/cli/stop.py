"""minirun stop."""

from minirun.cli.each import for_each_container
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, number, value
from minirun.signals import parse_signal
from minirun.stopping import stop

DEFAULT_PATIENCE = 10


class Ending(Verb):
    """What stop and restart are told."""

    usage = "CONTAINER [CONTAINER...]"
    least = 1
    completes = "running"
    signal = value("signal", "s", "Signal to send to the container")
    patience = number(
        "timeout", "t", "Seconds to wait before killing the container, -1: for ever", DEFAULT_PATIENCE, "time"
    )

    @property
    def wanted_signal(self) -> int | None:
        return parse_signal(self.signal) if self.signal else None

    @property
    def limit(self) -> float | None:
        """Seconds until SIGKILL; None: for ever."""
        return None if self.patience < 0 else float(self.patience)


class Stop(Ending):
    def run(self) -> int:
        number, limit = self.wanted_signal, self.limit
        instance = open_instance()
        return for_each_container(instance, self.words, lambda container: stop(instance, container, number, limit))
