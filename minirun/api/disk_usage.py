"""GET /system/df: the disk space of images, containers, volumes and the build cache."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from minirun.api import containers
from minirun.api.http import ApiError, Response, answer
from minirun.api.request import Request
from minirun.engine.builtin_networks import NEVER
from minirun.engine.disk_usage import ContainerUse, ImageUse, VolumeUse, container_uses, image_uses, volume_uses
from minirun.engine.disk_usage import image_bytes as bytes_of_images
from minirun.image import records
from minirun.image.build.cache import CacheUse, uses
from minirun.instance import Instance
from minirun.options.values import timestamp
from minirun.volume.inspect import describe_volume
from minirun.volume.records import Volume, find_volume

_KINDS = ("container", "image", "volume", "build-cache")


def disk_usage(request: Request) -> Response:
    """GET /system/df. `type`, any number of times: only these kinds."""
    wanted = request.query.all("type") or list(_KINDS)
    if unknown := [kind for kind in wanted if kind not in _KINDS]:
        raise ApiError(HTTPStatus.BAD_REQUEST, f"unknown object type: {unknown[0]}")
    instance = request.instance
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "image": lambda: {
            "LayersSize": bytes_of_images(instance)[0],
            "Images": [_image(instance, use) for use in image_uses(instance)],
        },
        "container": lambda: {"Containers": [_container(instance, use) for use in container_uses(instance)]},
        "volume": lambda: {"Volumes": [_volume(instance, use) for use in volume_uses(instance)]},
        "build-cache": lambda: {"BuildCache": [_cached(use) for use in uses(instance)]},
    }
    nothing = {"LayersSize": 0, "Images": None, "Containers": None, "Volumes": None, "BuildCache": None}
    found = [measures[kind]() for kind in _KINDS if kind in wanted]
    return answer(nothing | {key: value for part in found for key, value in part.items()})


def _image(instance: Instance, use: ImageUse) -> dict[str, Any]:
    image = records.by_id(instance.store, use.id)
    return {
        "Containers": use.containers,
        "Created": int(use.created),
        "Id": f"sha256:{use.id}",
        "Labels": image and image.config.get("Labels"),
        "ParentId": f"sha256:{image.parent}" if image and image.parent else "",
        "RepoDigests": records.digests(instance.store).get(use.id, []),
        "RepoTags": records.tags(instance.store).get(use.id, []),
        "SharedSize": use.shared,
        "Size": use.size,
    }


def _container(instance: Instance, use: ContainerUse) -> dict[str, Any]:
    return containers.summary(instance, use.container, sizes=True)


def _volume(instance: Instance, use: VolumeUse) -> dict[str, Any]:
    described = describe_volume(instance, find_volume(instance.store, use.name) or Volume(use.name))
    return {**described, "UsageData": {"RefCount": use.links, "Size": use.size}}


def _cached(use: CacheUse) -> dict[str, Any]:
    return {
        "ID": use.id,
        "Type": use.kind,
        "Description": use.description,
        "InUse": use.is_used,
        "Shared": use.is_part,
        "Size": use.size,
        "CreatedAt": timestamp(int(use.created * 1e9)),
        "LastUsedAt": timestamp(int(use.used * 1e9)) if use.used else NEVER,
        "UsageCount": 1,
    }
