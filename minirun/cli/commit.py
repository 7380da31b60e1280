"""minirun commit: an image from what a container has changed."""

from collections.abc import Iterator
from contextlib import contextmanager

from minirun.cli.opening import open_instance
from minirun.cli.tag import check_reference
from minirun.cli.verb import Verb, many, switch, value
from minirun.engine.commit import commit
from minirun.engine.lifecycle import tell
from minirun.engine.stop import freeze, thaw
from minirun.instance import Instance
from minirun.model import Container, Status
from minirun.store.lookup import find_container


class Commit(Verb):
    usage = "CONTAINER [REPOSITORY[:TAG]]"
    least = 1
    most = 2
    completes = "containers"
    author = value("author", "a", 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")')
    changes = many("change", "c", "Apply Dockerfile instruction to the created image")
    message = value("message", "m", "Commit message")
    pause = switch("pause", "p", "Pause container during commit", True)

    def run(self) -> None:
        name, *target = self.words
        reference = check_reference(target[0]) if target else ""
        instance = open_instance()
        container = find_container(instance.store, name)
        with _held_still(instance, container, self.pause):
            image = commit(instance, container, reference, self.changes, self.author, self.message)
        with instance.store.write():
            tell(instance.store, container.id, "commit", imageID=f"sha256:{image.id}", imageRef=reference)
        print(f"sha256:{image.id}")


@contextmanager
def _held_still(instance: Instance, container: Container, wanted: bool) -> Iterator[None]:
    """Killed in between, it leaves a container that is paused, and on record as such."""
    if not wanted or container.paused or container.status is not Status.RUNNING:
        yield
        return
    freeze(instance, container)
    try:
        yield
    finally:
        thaw(instance, container)
