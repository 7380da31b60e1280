"""minirun diff."""

from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb
from minirun.engine.copy import tree_of
from minirun.engine.diff import changes
from minirun.errors import printable
from minirun.store.lookup import find_container


class Diff(Verb):
    usage = "CONTAINER"
    least = most = 1
    completes = "containers"

    def run(self) -> None:
        instance = open_instance()
        found = find_container(instance.store, self.words[0])
        for kind, path in changes(tree_of(instance, found)):
            print(printable(f"{kind} {path}"))
