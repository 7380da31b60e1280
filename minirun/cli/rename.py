"""minirun rename."""

from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb
from minirun.engine.lifecycle import rename
from minirun.options import parse
from minirun.store.lookup import find_container


class Rename(Verb):
    usage = "CONTAINER NEW_NAME"
    least = most = 2
    completes = "containers -"

    def run(self) -> None:
        container, new_name = self.words
        parse.check_name(new_name)
        instance = open_instance()
        rename(instance, find_container(instance.store, container), new_name)
