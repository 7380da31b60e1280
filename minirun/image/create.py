"""A new image: its layer is filled, then it is put on record, whole or not at all."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minirun.archive.layer_content import directory_digest
from minirun.archive.tree_walk import tree_size
from minirun.errors import FAILED, MinirunError, NotFoundError
from minirun.image import busybox, records
from minirun.image.layers import MOST, new_layer, set_removed, sweep
from minirun.image.platform import architecture
from minirun.image.records import Details, Image
from minirun.instance import Instance

_BUSYBOX: Details = {"config": {"Cmd": ["sh"]}}


def add_image(
    instance: Instance,
    fill: Callable[[Path], str],
    details: Details,
    note: dict[str, Any],
    reference: str = "",
    base: Image | None = None,
    created: float = 0,
    action: str = "create",
) -> Image:
    """`fill` puts the files into the new layer, on top of those of `base`, and returns the digest of its archive.
    `note` is what the history says of it."""
    sweep(instance)
    below = base.layers if base else ()
    if len(below) >= MOST:
        raise MinirunError("max depth exceeded: an image has 125 layers at most", "export and import make one of them")
    with new_layer(instance) as directory:
        digest = fill(directory)
        size = tree_size(directory)
        created = created or time.time()
        history = [*(base.details.get("history", []) if base else []), {"created": created, "size": size, **note}]
        whole: Details = {"architecture": architecture(), **details, "history": history}
        layers = (*below, (directory.name, digest))
        image = Image(_identity(whole, layers), whole, layers, created, size + (base.size if base else 0))
        return _record(instance, image, reference, base, action)


def build_busybox(instance: Instance) -> Image:
    """The same busybox gives the same image: one that is removed, or still there without its name, comes back."""

    def fill(directory: Path) -> str:
        busybox.build(directory)
        return directory_digest(directory)

    try:
        program = Path("/bin/busybox").stat().st_mtime
        note = {"created_by": "minirun, from the host's static busybox"}
        return add_image(instance, fill, _BUSYBOX, note, busybox.BUSYBOX, created=int(program))
    except (ValueError, FileNotFoundError) as error:
        raise MinirunError(f"the busybox image cannot be built: {error}", code=FAILED) from error


def _identity(details: Details, layers: tuple[tuple[str, str], ...]) -> str:
    said = {**details, "layers": [digest for _, digest in layers]}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _record(instance: Instance, image: Image, reference: str, base: Image | None, action: str) -> Image:
    store = instance.store
    with store.write():
        if base is not None and records.by_id(store, base.id) is None:
            raise NotFoundError(f"No such image: sha256:{base.id}")
        known = records.by_id(store, image.id)
        if known is None:
            records.add(store, image)
        elif known.details.get("removed"):
            set_removed(store, known, False)
        if reference:
            records.tag(store, reference, image.id)
        name = {"name": reference} if reference else {}
        store.add_event("image", action, image.id, name)
    return known or image
