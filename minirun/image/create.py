"""Create an image: fill its layer, then record it, whole or not at all."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minirun.archive.layer_content import LayerDigest, directory_digest
from minirun.archive.tree_walk import tree_size
from minirun.errors import FAILED, MinirunError, NotFoundError
from minirun.image import busybox, records
from minirun.image.document import Config, Document, Step, build
from minirun.image.layers import MAX_LAYERS, new_layer, sweep
from minirun.image.platforms import host_platform
from minirun.image.records import Image, Layer
from minirun.instance import Instance
from minirun.model import Process


@dataclass(frozen=True)
class NewImage:
    """What a new image gets besides its layer.

    created_by: the command that made the layer
    architecture: in Docker's name; "" is this machine's
    parent: the id of the image of the container that was committed, or ""
    created: seconds since the epoch, 0 for now
    owner: the process on the host with which it ends
    """

    config: Config
    created_by: str = ""
    comment: str = ""
    author: str = ""
    architecture: str = ""
    parent: str = ""
    created: float = 0
    owner: Process | None = None


def add_image(
    instance: Instance,
    fill: Callable[[Path], LayerDigest],
    new: NewImage,
    reference: str = "",
    base: Image | None = None,
    action: str = "",
) -> Image:
    """Create an image from the layers of `base` and a new one, and tag it with `reference` unless that is "".

    fill: fills the new layer's directory and returns the digest of its content
    action: the name of an event besides that of the tag
    The same content and configuration give the same id: if there is such an image, even a removed one, it is returned.
    NotFoundError if `base` was removed meanwhile.
    """
    sweep(instance)
    base_layers = base.layers if base else ()
    if len(base_layers) >= MAX_LAYERS:
        raise MinirunError(
            "max depth exceeded: an image has at most 125 layers", "export and import flatten them to one"
        )
    with new_layer(instance) as directory:
        digest = fill(directory)
        layer = Layer(digest.diff_id, directory.name, tree_size(directory), digest.tar_size)
        created = new.created or time.time()
        document = build(
            new.config,
            (*(existing.diff_id for existing in base_layers), layer.diff_id),
            (*(base.document.history if base else ()), Step(created, new.created_by, new.comment)),
            created,
            new.architecture or host_platform().architecture,
            new.author,
            new.comment,
        )
        return _record(instance, document, (*base_layers, layer), new, reference, base, action)


def build_busybox(instance: Instance) -> Image:
    """Create busybox:latest from the host's static busybox; the same busybox gives the same image id.

    MinirunError if the host has no static busybox.
    """

    def fill(directory: Path) -> LayerDigest:
        busybox.build(directory)
        return directory_digest(directory)

    try:
        created = int(Path("/bin/busybox").stat().st_mtime)
        new = NewImage({"Cmd": ["sh"]}, "minirun, from the host's static busybox", created=created)
        return add_image(instance, fill, new, busybox.BUSYBOX)
    except (ValueError, FileNotFoundError) as error:
        raise MinirunError(f"the busybox image cannot be built: {error}", code=FAILED) from error


def _record(
    instance: Instance,
    document: Document,
    layers: tuple[Layer, ...],
    new: NewImage,
    reference: str,
    base: Image | None,
    action: str,
) -> Image:
    store = instance.store
    with store.write():
        if base is not None and records.by_id(store, base.id) is None:
            raise NotFoundError(f"No such image: sha256:{base.id}")
        image = records.add(store, document, layers, new.parent)
        if new.owner is not None:
            store.set_owner("image", image.id, new.owner)
        if reference:
            records.tag(store, reference, image.id)
            store.add_event("image", "tag", f"sha256:{image.id}", {"name": reference})
        if action:
            store.add_event("image", action, f"sha256:{image.id}", {"name": f"sha256:{image.id}"})
    return image
