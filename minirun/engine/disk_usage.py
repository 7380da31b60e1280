"""The disk space of images, containers and volumes, and who uses them."""

from collections import Counter
from dataclasses import dataclass

from minirun.archive.tree_walk import tree_size
from minirun.image import records
from minirun.image.layers import images_of, partial_size
from minirun.instance import Instance
from minirun.model import ACTIVE, Container
from minirun.volume.records import users, volumes
from minirun.volume.volumes import data_path


@dataclass(frozen=True)
class ImageUse:
    """An image's sizes in bytes (`shared`: layers that others have too), and how many containers use it."""

    id: str
    reference: str  # "" for none
    created: float
    size: int
    shared: int
    containers: int

    @property
    def unique(self) -> int:
        """Bytes that no other image has."""
        return self.size - self.shared


@dataclass(frozen=True)
class ContainerUse:
    """A container, and the bytes that it has written."""

    container: Container
    size: int

    @property
    def is_active(self) -> bool:
        """Whether it runs."""
        return self.container.status in ACTIVE


@dataclass(frozen=True)
class VolumeUse:
    """A volume: how many containers use it, and its size in bytes."""

    name: str
    links: int
    size: int


def image_uses(instance: Instance) -> list[ImageUse]:
    """Return the use of all images."""
    images, tags = records.all_images(instance.store), records.tags(instance.store)
    used = Counter(container.spec.image_id for container in instance.store.containers())
    owners = Counter(layer.diff_id for image in images for layer in image.layers)
    return [
        ImageUse(
            image.id,
            next(iter(tags.get(image.id, [])), ""),
            image.created,
            image.size,
            sum(layer.size for layer in image.layers if owners[layer.diff_id] > 1),
            used[image.id],
        )
        for image in images
    ]


def image_bytes(instance: Instance) -> tuple[int, int]:
    """Return the bytes of all images, each layer counted once, and how many of them no container needs.

    Compressed layers and downloads that have not ended are among them; what only the build cache has is not.
    """
    sizes = records.bytes_on_disk(instance.store)
    used = {image_id for container in instance.store.containers() for image_id in images_of(container.spec)}
    images = records.all_images(instance.store, removed=True)
    needed = {layer.diff_id for image in images if image.id in used for layer in image.layers}
    seen = {layer.diff_id for image in images if not image.is_removed for layer in image.layers}
    whole = sum(sizes[diff_id] for diff_id in needed | seen) + partial_size(instance)
    return whole, whole - sum(sizes[diff_id] for diff_id in needed)


def container_uses(instance: Instance) -> list[ContainerUse]:
    """Measure all containers' writable layers."""
    return [
        ContainerUse(container, tree_size(instance.container_dir(container.id) / "upper"))
        for container in instance.store.containers()
    ]


def volume_uses(instance: Instance) -> list[VolumeUse]:
    """Measure all volumes. One that stands for a directory or a file system of the host has nothing of its own."""
    used_by = users(instance.store)
    return [
        VolumeUse(
            volume.name,
            len(used_by.get(volume.name, [])),
            0 if volume.options else tree_size(data_path(instance, volume)),
        )
        for volume in volumes(instance.store)
    ]
