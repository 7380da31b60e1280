"""minirun unpause."""

from minirun.cli.each import for_each_container
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb
from minirun.engine.stop import thaw
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import Container


class Unpause(Verb):
    usage = "CONTAINER [CONTAINER...]"
    least = 1
    completes = "paused"

    def run(self) -> int:
        instance = open_instance()
        return for_each_container(instance, self.words, lambda container: _unpause(instance, container))


def _unpause(instance: Instance, container: Container) -> None:
    if not container.paused:
        raise MinirunError(f"Container {container.id} is not paused")
    thaw(instance, container)
