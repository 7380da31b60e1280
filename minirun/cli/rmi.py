"""minirun rmi."""

from minirun.cli.app import warn_of
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, switch
from minirun.errors import MinirunError, NotFoundError
from minirun.image.remove import remove_image


class Rmi(Verb):
    usage = "IMAGE [IMAGE...]"
    least = 1
    completes = "images"
    force = switch("force", "f", "Force removal of the image")
    no_prune = switch("no-prune", "", "Do not delete untagged parents")

    def run(self) -> int:
        """With -f a missing one is told, and no failure."""
        instance = open_instance()
        code = 0
        for reference in self.words:
            try:
                removed = remove_image(instance, reference, self.force, not self.no_prune)
            except MinirunError as error:
                warn_of(error)
                code = code if self.force and isinstance(error, NotFoundError) else 1
                continue
            for what, name in removed.lines:
                print(f"{what}: {name}")
        return code
