"""The versions of the API, and what older ones have in another shape."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from minirun.api.http import ApiError

NEWEST, OLDEST = "1.51", "1.24"
_PREFIX = re.compile(r"/v([0-9]{1,4})\.([0-9]{1,4})(/.*)\Z", re.DOTALL)


def path_and_version(path: str) -> tuple[str, tuple[int, int]]:
    """A path without its version, and the version: the newest if it has none. ApiError for one that is not served."""
    newest, oldest = parse_version(NEWEST), parse_version(OLDEST)
    match = _PREFIX.match(path)
    if match is None:
        return path, newest
    version = int(match[1]), int(match[2])
    text = f"{version[0]}.{version[1]}"
    if version > newest:
        reason = f"client version {text} is too new. Maximum supported API version is {NEWEST}"
        raise ApiError(HTTPStatus.BAD_REQUEST, reason)
    if version < oldest:
        reason = f"client version {text} is too old. Minimum supported API version is {OLDEST}"
        raise ApiError(HTTPStatus.BAD_REQUEST, f"{reason}, please upgrade your client to a newer version")
    return match[3], version


def parse_version(text: str) -> tuple[int, int]:
    """1.51 -> (1, 51)."""
    major, minor = text.split(".")
    return int(major), int(minor)


Described = dict[str, Any]


@dataclass(frozen=True)
class Older:
    """What versions before `version` have otherwise in an object of one kind."""

    kind: str
    version: tuple[int, int]
    change: Callable[[Described], Described]


def _without_names(image: Described) -> Described:
    if image["RepoTags"] or image["RepoDigests"]:
        return image
    return image | {"RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]}


_CONTAINER_CONFIG: Described = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}
# What a container has, and an image never had a value for.
_CONTAINERS_OWN = {name: value for name, value in _CONTAINER_CONFIG.items() if value is False} | {
    "Hostname": "",
    "Domainname": "",
    "Image": "",
}
# https://docs.docker.com/reference/api/engine/version-history/
OLDER = (
    Older("image summary", (1, 43), _without_names),
    Older("image summary", (1, 44), lambda image: image | {"VirtualSize": image["Size"]}),
    Older("image", (1, 44), lambda image: image | {"VirtualSize": image["Size"]}),
    Older("image", (1, 45), lambda image: image | {"Container": "", "ContainerConfig": _CONTAINER_CONFIG}),
    Older("image", (1, 50), lambda image: image | {"Config": _CONTAINERS_OWN | image["Config"]}),
)


def as_of(version: tuple[int, int], kind: str, described: Described) -> Described:
    """An object in the shape that a version of the API has for it."""
    for older in OLDER:
        if older.kind == kind and version < older.version:
            described = older.change(described)
    return described
