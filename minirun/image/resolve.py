"""From what a user calls an image to its record. busybox is built on first use, from the host's own static busybox."""

from minirun.errors import FAILED, MinirunError, NotFoundError
from minirun.image import records
from minirun.image.busybox import BUSYBOX
from minirun.image.create import build_busybox
from minirun.image.records import Image
from minirun.image.reference import parse
from minirun.instance import Instance
from minirun.model import Spec

_HEXADECIMAL = frozenset("0123456789abcdef")


class AmbiguousError(MinirunError):
    """The start of more than one id."""


def lower_of(instance: Instance, spec: Spec) -> str:
    """A container's layers below its own, the topmost first, relative to the state root."""
    found = records.by_id(instance.store, spec.image_id) if spec.image_id else image_to_run(instance, spec.image)
    if found is None:
        raise NotFoundError(f"the image {spec.image} of this container is gone", code=FAILED)
    return found.lower


def image_to_run(instance: Instance, reference: str) -> Image:
    """The one that is meant; busybox is built where it is not there yet."""
    exact = reference if ":" in reference else reference + ":latest"
    found = records.tagged(instance.store, exact) or look_up(instance, reference)
    if found is None and _whole(reference) == BUSYBOX:
        return build_busybox(instance)
    if found is None:
        raise NotFoundError(
            f"Unable to find image '{_whole(reference)}' locally",
            "minirun images shows what there is; pulling from a registry is not supported",
            FAILED,
        )
    return found


def find_image(instance: Instance, reference: str) -> Image:
    found = look_up(instance, reference)
    if found is None:
        raise NotFoundError(f"No such image: {_whole(reference)}")
    return found


def look_up(instance: Instance, reference: str) -> Image | None:
    """By reference, else by id or the start of one, with or without sha256: before it."""
    digits = reference.removeprefix("sha256:")
    is_id = bool(digits) and _HEXADECIMAL.issuperset(digits)
    if not (is_id and (len(digits) == 64 or digits != reference)):
        found = records.tagged(instance.store, _whole(reference))
        if found is not None:
            return found
    matching = records.by_prefix(instance.store, digits) if is_id else []
    if len(matching) > 1:
        raise AmbiguousError(f"multiple IDs found with provided prefix: {reference}", "give more of the id, or a name")
    return matching[0] if matching else None


def is_made_from(instance: Instance, image_id: str, reference: str) -> bool:
    """Whether an image is the one that is meant, or was committed from it by way of others."""
    try:
        wanted = look_up(instance, reference)
    except MinirunError:
        return False
    while wanted is not None and image_id not in ("", wanted.id):
        found = records.by_id(instance.store, image_id)
        image_id = found.details.get("parent", "") if found else ""
    return wanted is not None and bool(image_id)


def is_id_of(image: Image, reference: str) -> bool:
    """Whether a user called it by its id."""
    return image.id.startswith(reference.removeprefix("sha256:"))


def _whole(reference: str) -> str:
    if _HEXADECIMAL.issuperset(digits := reference.removeprefix("sha256:")) and digits != reference:
        return reference
    return reference if len(digits) == 64 and _HEXADECIMAL.issuperset(digits) else parse(reference)
