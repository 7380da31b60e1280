"""rmi and image prune: remove the references, then the record, then the layers that no other image has.

The order of the checks and the messages are those of Docker's engine (moby daemon/images/image_delete.go).
"""

from dataclasses import dataclass, field

from minirun.errors import ConflictError
from minirun.image import records
from minirun.image.layers import images_of, remove_partial, sweep, users
from minirun.image.records import Image
from minirun.image.reference import parse_reference
from minirun.image.resolve import find_image, is_id_of
from minirun.instance import Instance
from minirun.model import ACTIVE, Container
from minirun.store import Store


@dataclass(frozen=True)
class Removed:
    """What was done, in order: ("Untagged", reference), ("Deleted", sha256:...); and the bytes that were freed."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


def remove_image(instance: Instance, reference: str, force: bool, prune: bool) -> Removed:
    """Remove an image, or one reference to it. `prune`: also its parents without references and containers.

    ConflictError if a container or another image needs it, and `force` does not override that.
    """
    with instance.store.write():
        image = find_image(instance, reference)
        removal = _Removal(instance.store, force, prune)
        removal.by_id(image) if is_id_of(image, reference) else removal.by_name(image, reference)
    sweep(instance)
    return removal.done


def prune_images(instance: Instance, images: list[Image]) -> Removed:
    """Remove those of the images that exist and have no containers when their turn comes, and partial downloads."""
    store = instance.store
    with store.write():
        removal = _Removal(store, force=False, prune=True)
        for image in images:
            if records.is_there(store, image.id) and image.id not in users(store):
                removal.delete(image, quiet=True)
    sweep(instance)
    if freed := remove_partial(instance):
        removal.done.sizes.append(freed)
    return removal.done


class _Removal:
    """A removal, within one transaction."""

    def __init__(self, store: Store, force: bool, prune: bool) -> None:
        self.store = store
        self.force = force
        self.prune = prune
        self.done = Removed()
        self._containers = store.containers()
        self._sizes = records.bytes_on_disk(store)

    def by_name(self, image: Image, reference: str) -> None:
        """Remove one reference, and the image with its last one."""
        user = next(iter(self._users(image)), None)
        if user is not None and not self.force and len(self._tags(image)) == 1:
            raise ConflictError(
                f'conflict: unable to remove repository reference "{reference}" (must force) - container'
                f" {user.short_id} is using its referenced image {image.id[:12]}"
            )
        name = parse_reference(reference).tagged()
        self._untag(image, name.familiar)
        repository = name.familiar_repository
        if not any(parse_reference(tag).familiar_repository == repository for tag in self._tags(image)):
            for digest in self._digests(image):  # what a registry calls it goes with the last tag of its name
                if digest.partition("@")[0] == repository:
                    self._untag(image, digest)
        if not self._tags(image) and not self._digests(image):
            self.delete(image, quiet=True)

    def by_id(self, image: Image) -> None:
        """Remove the image with all its references."""
        self.delete(image, max_tags=1)

    def delete(self, image: Image, quiet: bool = False, max_tags: int | None = None) -> None:
        """Remove the image. `quiet`: if it cannot be removed, leave it without an error."""
        conflict = self._conflict_of(image, max_tags)
        if conflict is not None:
            if quiet:
                return
            raise conflict
        for reference in (*self._tags(image), *self._digests(image)):
            self._untag(image, reference)
        if self._users(image):
            records.set_removed(self.store, image.id)  # stopped containers need its layers
        else:
            records.delete(self.store, image.id)
        self.done.lines.append(("Deleted", f"sha256:{image.id}"))
        self.store.add_event("image", "delete", f"sha256:{image.id}", {"name": f"sha256:{image.id}"})
        self._count_layers(image)
        parent = records.by_id(self.store, image.parent) if self.prune else None
        if parent and not parent.is_removed and not self._tags(parent) and not self._users(parent):
            self.delete(parent, quiet=True)

    def _conflict_of(self, image: Image, max_tags: int | None) -> ConflictError | None:
        if records.children(self.store, image.id):
            return self._conflict(image, "cannot be forced", "image has dependent child images")
        users = self._users(image)
        running = next((container for container in users if container.status in ACTIVE), None)
        if running is not None:
            why = f"image is being used by running container {running.short_id}"
            return self._conflict(image, "cannot be forced", why)
        if self.force:
            return None
        if max_tags is not None and len(self._tags(image)) > max_tags:
            return self._conflict(image, "must be forced", "image is referenced in multiple repositories")
        if users:
            return self._conflict(
                image, "must be forced", f"image is being used by stopped container {users[0].short_id}"
            )
        return None

    def _conflict(self, image: Image, force: str, why: str) -> ConflictError:
        return ConflictError(f"conflict: unable to delete {image.id[:12]} ({force}) - {why}")

    def _untag(self, image: Image, reference: str) -> None:
        repository, at, digest = reference.partition("@")
        if at:
            records.delete_digest(self.store, repository, digest)
        else:
            records.untag(self.store, reference)
        self.done.lines.append(("Untagged", reference))
        self.store.add_event("image", "untag", f"sha256:{image.id}", {"name": f"sha256:{image.id}"})

    def _count_layers(self, image: Image) -> None:
        """Tell of the layers that no image has any more."""
        kept = records.layers_in_use(self.store)
        for layer in dict.fromkeys(reversed(image.layers)):  # an image may have one twice
            if layer.directory not in kept:
                self.done.lines.append(("Deleted", f"sha256:{layer.diff_id}"))
                self.done.sizes.append(self._sizes.get(layer.diff_id, layer.size))

    def _tags(self, image: Image) -> list[str]:
        return records.tags(self.store).get(image.id, [])

    def _digests(self, image: Image) -> list[str]:
        return records.digests(self.store).get(image.id, [])

    def _users(self, image: Image) -> list[Container]:
        return [container for container in self._containers if image.id in images_of(container.spec)]
