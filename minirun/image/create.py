"""Create an image: fill its layer, then record it, whole or not at all."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minirun.archive.layer_content import directory_digest
from minirun.archive.tree_walk import tree_size
from minirun.errors import FAILED, MinirunError, NotFoundError
from minirun.image import busybox, records
from minirun.image.layers import MAX_LAYERS, new_layer, set_removed, sweep
from minirun.image.records import Details, Image
from minirun.instance import Instance

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_BUSYBOX: Details = {"config": {"Cmd": ["sh"]}}


def add_image(
    instance: Instance,
    fill: Callable[[Path], str],
    details: Details,
    note: dict[str, Any],
    reference: str = "",
    base: Image | None = None,
    created: float = 0,
    action: str = "",
) -> Image:
    """Create an image from the layers of `base` and a new one, and tag it with `reference` unless that is "".

    `fill` fills the new layer's directory and returns the digest of its content. `note` goes into the layer's history
    entry, `action` is the name of an event besides that of the tag. The same content and details give the same id: if
    there is such an image, even a removed one, it is returned. NotFoundError if `base` was removed meanwhile.
    """
    sweep(instance)
    base_layers = base.layers if base else ()
    if len(base_layers) >= MAX_LAYERS:
        raise MinirunError(
            "max depth exceeded: an image has at most 125 layers", "export and import flatten them to one"
        )
    with new_layer(instance) as directory:
        digest = fill(directory)
        size = tree_size(directory)
        created = created or time.time()
        history = [*(base.details.get("history", []) if base else []), {"created": created, "size": size, **note}]
        all_details: Details = {"architecture": architecture(), **details, "history": history}
        layers = (*base_layers, (directory.name, digest))
        image = Image(_identity(all_details, layers), all_details, layers, created, size + (base.size if base else 0))
        return _record(instance, image, reference, base, action)


def build_busybox(instance: Instance) -> Image:
    """Create busybox:latest from the host's static busybox; the same busybox gives the same image id.

    MinirunError if the host has no static busybox.
    """

    def fill(directory: Path) -> str:
        busybox.build(directory)
        return directory_digest(directory)

    try:
        program = Path("/bin/busybox").stat().st_mtime
        note = {"created_by": "minirun, from the host's static busybox"}
        return add_image(instance, fill, _BUSYBOX, note, busybox.BUSYBOX, created=int(program))
    except (ValueError, FileNotFoundError) as error:
        raise MinirunError(f"the busybox image cannot be built: {error}", code=FAILED) from error


def architecture() -> str:
    """Return this machine's architecture in Docker's name, such as amd64."""
    machine = os.uname().machine
    return _MACHINES.get(machine, machine)


def architecture_of(platform: str) -> str:
    """Return the architecture of --platform: OS[/ARCHITECTURE[/VARIANT]], or the architecture alone."""
    words = platform.lower().split("/")
    if words[0] not in ("linux", *_MACHINES.values(), *_MACHINES) or len(words) > 3 or not all(words):
        raise MinirunError(f"operating system is not supported: {platform}", "such as linux or linux/amd64", FAILED)
    name = words[1] if words[0] == "linux" and len(words) > 1 else words[0]
    return architecture() if name == "linux" else _MACHINES.get(name, name)


def _identity(details: Details, layers: tuple[tuple[str, str], ...]) -> str:
    content = {**details, "layers": [digest for _, digest in layers]}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _record(instance: Instance, image: Image, reference: str, base: Image | None, action: str) -> Image:
    store = instance.store
    with store.write():
        if base is not None and records.by_id(store, base.id) is None:
            raise NotFoundError(f"No such image: sha256:{base.id}")
        existing = records.by_id(store, image.id)
        if existing is None:
            records.add(store, image)
        elif existing.details.get("removed"):
            set_removed(store, existing, False)
        if reference:
            records.tag(store, reference, image.id)
            store.add_event("image", "tag", f"sha256:{image.id}", {"name": reference})
        if action:
            store.add_event("image", action, f"sha256:{image.id}", {"name": f"sha256:{image.id}"})
    return existing or image
