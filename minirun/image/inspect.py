"""image inspect: the record in Docker's structure and field names."""

from typing import Any

from minirun.image import records
from minirun.image.records import Image
from minirun.instance import Instance
from minirun.options.values import timestamp

_EMPTY: dict[str, Any] = {
    "User": "",
    "ExposedPorts": None,
    "Env": None,
    "Cmd": None,
    "Healthcheck": None,
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "Labels": None,
    "StopSignal": "",
}
_ALWAYS = ("User", "Env", "Cmd", "Volumes", "WorkingDir", "Entrypoint", "Labels")


def describe_image(instance: Instance, image: Image) -> dict[str, Any]:
    """Return what `image inspect` prints."""
    document, config = image.document, {**_EMPTY, **image.config}
    return {
        "Id": f"sha256:{image.id}",
        "RepoTags": records.tags(instance.store).get(image.id, []),
        "RepoDigests": records.digests(instance.store).get(image.id, []),
        "Parent": f"sha256:{image.parent}" if image.parent else "",
        "Comment": document.comment,
        "Created": timestamp(int(image.created * 1e9)),
        "DockerVersion": "",
        "Author": document.author,
        "Config": {name: value for name, value in config.items() if value or name in _ALWAYS},
        "Architecture": document.architecture,
        **({"Variant": document.variant} if document.variant else {}),
        "Os": document.os,
        "Size": image.size,
        "GraphDriver": {"Name": "overlay2", "Data": _overlay(instance, image)},
        "RootFS": {"Type": "layers", "Layers": [f"sha256:{layer.diff_id}" for layer in image.layers]},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
    }


def _overlay(instance: Instance, image: Image) -> dict[str, str]:
    """Return the paths of the topmost layer, and of those below it."""
    top, *below = (str(instance.root / path) for path in image.lower.split(":"))
    return {"UpperDir": top, **({"LowerDir": ":".join(below)} if below else {})}
