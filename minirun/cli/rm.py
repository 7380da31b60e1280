"""minirun rm."""

from minirun.cli.each import for_each_container
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, switch
from minirun.engine.remove import remove


class Rm(Verb):
    usage = "CONTAINER [CONTAINER...]"
    least = 1
    completes = "removable"
    force = switch("force", "f", "Kill a running container; a missing one is fine")
    volumes = switch("volumes", "v", "Remove anonymous volumes associated with the container")

    def run(self) -> int:
        instance = open_instance()
        return for_each_container(
            instance,
            self.words,
            lambda container: remove(instance, container, self.force, self.volumes),
            missing_is_fine=self.force,
        )
