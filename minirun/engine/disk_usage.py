"""How much room images, containers and volumes take, and who uses them."""

from collections import Counter
from dataclasses import dataclass

from minirun.archive.tree_walk import tree_size
from minirun.image import records
from minirun.instance import Instance
from minirun.model import ACTIVE, Container
from minirun.volume.records import Volume, users, volumes
from minirun.volume.volumes import data_path


@dataclass(frozen=True)
class ImageUse:
    id: str
    reference: str  # "" for one without
    created: float
    size: int
    shared: int  # bytes of its layers that others have, too
    containers: int

    @property
    def unique(self) -> int:
        return self.size - self.shared


@dataclass(frozen=True)
class ContainerUse:
    container: Container
    size: int  # of what it has written

    @property
    def is_active(self) -> bool:
        return self.container.status in ACTIVE


@dataclass(frozen=True)
class VolumeUse:
    name: str
    links: int  # containers that have it
    size: int


def image_uses(instance: Instance) -> list[ImageUse]:
    """A layer that several images have is measured once."""
    found, tags = records.all_images(instance.store), records.tags(instance.store)
    used = Counter(one.spec.image_id for one in instance.store.containers())
    owners = Counter(name for image in found for name, _ in image.layers)
    sizes = {name: tree_size(instance.root / "layers" / name) for name, count in owners.items() if count > 1}
    return [
        ImageUse(
            image.id,
            next(iter(tags.get(image.id, [])), ""),
            image.created,
            image.size,
            sum(sizes.get(name, 0) for name, _ in image.layers),
            used[image.id],
        )
        for image in found
    ]


def container_uses(instance: Instance) -> list[ContainerUse]:
    return [
        ContainerUse(one, tree_size(instance.container_dir(one.id) / "upper")) for one in instance.store.containers()
    ]


def volume_uses(instance: Instance) -> list[VolumeUse]:
    """A volume that stands for a directory of the host's has nothing of its own."""
    held = users(instance.store)
    return [
        VolumeUse(one.name, len(held.get(one.name, [])), tree_size(data_path(instance, Volume(one.name))))
        for one in volumes(instance.store)
    ]
