"""minirun rename."""

from minirun import parse
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb
from minirun.lookup import find_container
from minirun.renaming import rename


class Rename(Verb):
    usage = "CONTAINER NEW_NAME"
    least = most = 2
    completes = "containers -"

    def run(self) -> None:
        container, new_name = self.words
        parse.check_name(new_name)
        instance = open_instance()
        rename(instance, find_container(instance.store, container), new_name)
