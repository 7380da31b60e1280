"""minirun pause."""

from minirun.cli.each import for_each_container
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb
from minirun.engine.stop import freeze


class Pause(Verb):
    usage = "CONTAINER [CONTAINER...]"
    least = 1
    completes = "running"

    def run(self) -> int:
        instance = open_instance()
        return for_each_container(instance, self.words, lambda container: freeze(instance, container))
