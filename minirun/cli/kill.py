"""minirun kill."""

from minirun.cli.each import for_each_container
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, value
from minirun.engine.stop import send, settle
from minirun.errors import MinirunError
from minirun.model import Container
from minirun.options.values import parse_signal


class Kill(Verb):
    usage = "CONTAINER [CONTAINER...]"
    least = 1
    completes = "running"
    signal = value("signal", "s", "Signal to send to the container", "SIGKILL")

    def run(self) -> int:
        number = parse_signal(self.signal)
        instance = open_instance()

        def act(container: Container) -> None:
            try:
                send(instance, container, number)
            except MinirunError as error:
                raise MinirunError(f"cannot kill container: {container.name}: {error.message}") from None
            if number == 9:
                settle(instance, container)

        return for_each_container(instance, self.words, act)
