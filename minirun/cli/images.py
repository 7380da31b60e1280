"""minirun images."""

from minirun.cli.opening import open_instance
from minirun.cli.table import ago, print_table, size
from minirun.cli.verb import Verb
from minirun.image.store import images


class Images(Verb):
    most = 0

    def run(self) -> None:
        rows = [(image.name, "latest", ago(image.created), size(image.size)) for image in images(open_instance())]
        print_table(("REPOSITORY", "TAG", "CREATED", "SIZE"), rows)
