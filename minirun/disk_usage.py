"""How much room images, containers and volumes take, and who uses them."""

from dataclasses import dataclass

from minirun.image.store import images
from minirun.instance import Instance
from minirun.model import ACTIVE, Container
from minirun.sizes import tree_size


@dataclass(frozen=True)
class ImageUse:
    name: str
    tag: str
    created: float
    size: int
    containers: int
    id: str = ""
    shared: int = 0  # bytes of its layers that others have, too

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
    used = [one.spec.image.removesuffix(":latest") for one in instance.store.containers()]
    return [ImageUse(one.name, "latest", one.created, one.size, used.count(one.name)) for one in images(instance)]


def container_uses(instance: Instance) -> list[ContainerUse]:
    return [
        ContainerUse(one, tree_size(instance.container_dir(one.id) / "upper")) for one in instance.store.containers()
    ]


def volume_uses(instance: Instance) -> list[VolumeUse]:
    """A volume that stands for a directory of the host's has nothing of its own."""
    links = [
        name
        for one in instance.store.containers()
        for name in {mount.source for mount in one.spec.mounts if mount.kind == "volume"}
    ]
    return [
        VolumeUse(name, links.count(name), tree_size(instance.root / "volumes" / name / "_data"))
        for (name,) in instance.store.db.execute("select name from volumes order by name")
    ]
