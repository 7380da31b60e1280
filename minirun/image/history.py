"""image history: the steps that an image was made by, and the images on this host that they led to."""

from collections.abc import Iterator
from dataclasses import dataclass

from minirun.image import records
from minirun.image.document import Step
from minirun.image.records import Image
from minirun.instance import Instance


@dataclass(frozen=True)
class Entry:
    """One step of an image's history.

    image: the id of the image that it led to, "" if that is not on this host
    size: the bytes that it has added
    """

    image: str
    step: Step
    size: int


def entries(instance: Instance, image: Image) -> Iterator[Entry]:
    """Yield the steps, the newest first; the ids below follow from the parents, as far as they still exist."""
    current: Image | None = image
    for step, size in reversed(list(zip(image.document.history, image.step_sizes, strict=True))):
        yield Entry(current.id if current else "", step, size)
        current = records.by_id(instance.store, current.parent) if current else None
