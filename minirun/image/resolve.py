"""Find the image that a user's reference means. busybox is built on first use, from the host's static busybox."""

from minirun.errors import FAILED, MinirunError, NotFoundError
from minirun.image import records
from minirun.image.busybox import BUSYBOX
from minirun.image.create import build_busybox
from minirun.image.records import Image
from minirun.image.reference import Reference, parse_reference
from minirun.instance import Instance
from minirun.model import Spec

_HEXADECIMAL = frozenset("0123456789abcdef")


class AmbiguousError(MinirunError):
    """The reference is the start of several ids."""


def lower_of(instance: Instance, spec: Spec) -> str:
    """Return the layers below a container's own for overlayfs: topmost first, relative to the state root.

    NotFoundError if the container's image was removed.
    """
    image = records.by_id(instance.store, spec.image_id) if spec.image_id else image_to_run(instance, spec.image)
    if image is None:
        raise NotFoundError(f"the image {spec.image} of this container is gone", code=FAILED)
    return image.lower


def image_to_run(instance: Instance, reference: str) -> Image:
    """Return the image on this host that `reference` means, and build busybox. NotFoundError for others."""
    image = local_image(instance, reference)
    if image is None:
        raise NotFoundError(f"Unable to find image '{_complete(reference)}' locally", code=FAILED)
    return image


def local_image(instance: Instance, reference: str) -> Image | None:
    """Return the image on this host that `reference` means, and build busybox if it does not exist; else None."""
    exact = reference if ":" in reference else reference + ":latest"
    image = records.tagged(instance.store, exact) or look_up(instance, reference)
    return build_busybox(instance) if image is None and _complete(reference) == BUSYBOX else image


def find_image(instance: Instance, reference: str) -> Image:
    """Return the image that a reference or the start of an id means. NotFoundError if there is none."""
    image = look_up(instance, reference)
    if image is None:
        raise NotFoundError(f"No such image: {_complete(reference)}")
    return image


def look_up(instance: Instance, reference: str) -> Image | None:
    """Return the image with a reference, else the one whose id starts with it (sha256: may precede), else None.

    AmbiguousError if several ids do.
    """
    digits = reference.removeprefix("sha256:")
    is_id = bool(digits) and _HEXADECIMAL.issuperset(digits)
    if not (is_id and (len(digits) == 64 or digits != reference)):
        name = parse_reference(reference)
        if name.digest:
            return records.by_digest(instance.store, name.familiar_repository, name.digest)
        image = records.tagged(instance.store, name.tagged().familiar)
        if image is not None:
            return image
    matching = records.by_prefix(instance.store, digits) if is_id else []
    if len(matching) > 1:
        raise AmbiguousError(f"multiple IDs found with provided prefix: {reference}", "use more of the id, or a name")
    return matching[0] if matching else None


def tags_of(instance: Instance, repository: Reference) -> list[Reference]:
    """Return all tags of a repository on this host, sorted."""
    tags = [parse_reference(tag) for tags in records.tags(instance.store).values() for tag in tags]
    return sorted((tag for tag in tags if tag.repository == repository.repository), key=lambda tag: tag.tag)


def is_made_from(instance: Instance, image_id: str, reference: str) -> bool:
    """Return whether an image is the one that `reference` means, or descends from it by commits."""
    try:
        ancestor = look_up(instance, reference)
    except MinirunError:
        return False
    while ancestor is not None and image_id not in ("", ancestor.id):
        image = records.by_id(instance.store, image_id)
        image_id = image.parent if image else ""
    return ancestor is not None and bool(image_id)


def is_id_of(image: Image, reference: str) -> bool:
    """Return whether a user's reference is the image's id or the start of it."""
    return image.id.startswith(reference.removeprefix("sha256:"))


def _complete(reference: str) -> str:
    if _HEXADECIMAL.issuperset(digits := reference.removeprefix("sha256:")) and digits != reference:
        return reference
    is_id = len(digits) == 64 and _HEXADECIMAL.issuperset(digits)
    return reference if is_id else parse_reference(reference).tagged().familiar
