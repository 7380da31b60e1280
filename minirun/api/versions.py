"""The versions of the API, and one table of what older ones have in another shape: the routes' functions know only the
newest.

https://docs.docker.com/reference/api/engine/version-history/
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import msgspec

from minirun.api.http import ApiError, Query, Response

Version = tuple[int, int]

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


@dataclass(frozen=True)
class Difference:
    """What versions before `since` have in another shape, of one route.

    query: changes the query of such a client to what the newest version means by it
    answer: turns the newest version's answer into that of such a client
    """

    since: Version
    method: str
    path: str
    query: Callable[[Query], None] = lambda query: None
    answer: Callable[[Any], Any] | None = None


def _also_named_volumes(query: Query) -> None:
    query.put("filters", json.dumps({**query.filters(), "all": ["true"]}))


_CONTAINERS_OWN: dict[str, Any] = {
    **dict.fromkeys(("Hostname", "Domainname", "Image"), ""),
    **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"), False),
}  # fields of a configuration that an image never had a value for
_NO_CONTAINER = {
    "Container": "",
    "ContainerConfig": {
        **_CONTAINERS_OWN,
        **dict.fromkeys(("User", "WorkingDir"), ""),
        **dict.fromkeys(("Env", "Cmd", "Volumes", "Entrypoint", "OnBuild", "Labels")),
    },
}


def _with_virtual_size(image: dict[str, Any]) -> dict[str, Any]:
    return {**image, "VirtualSize": image["Size"]}


def _with_virtual_sizes(usage: dict[str, Any]) -> dict[str, Any]:
    images = usage.get("Images")
    return {**usage, "Images": [_with_virtual_size(one) for one in images]} if images else usage


def _with_a_name(image: dict[str, Any]) -> dict[str, Any]:
    if image["RepoTags"] or image["RepoDigests"]:
        return image
    return {**image, "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]}


DIFFERENCES = (
    Difference((1, 43), "GET", "/images/json", answer=lambda images: [_with_a_name(one) for one in images]),
    Difference((1, 44), "GET", "/images/json", answer=lambda images: [_with_virtual_size(one) for one in images]),
    Difference((1, 44), "GET", "/images/{name:*}/json", answer=_with_virtual_size),
    Difference((1, 45), "GET", "/images/{name:*}/json", answer=lambda image: {**image, **_NO_CONTAINER}),
    Difference(
        (1, 50),
        "GET",
        "/images/{name:*}/json",
        answer=lambda image: {**image, "Config": {**_CONTAINERS_OWN, **image["Config"]}},
    ),
    Difference((1, 42), "POST", "/volumes/prune", query=_also_named_volumes),
    Difference((1, 44), "GET", "/system/df", answer=_with_virtual_sizes),
    Difference((1, 42), "GET", "/system/df", answer=lambda usage: {**usage, "BuilderSize": 0}),
)


def differences(version: Version, method: str, path: str) -> list[Difference]:
    """The differences of a version at one route; none for the newest version."""
    return [one for one in DIFFERENCES if version < one.since and (one.method, one.path) == (method, path)]


def older(response: Response, found: list[Difference]) -> Response:
    """An answer in the shape of an older version. Only whole ones differ."""
    changes = [one.answer for one in found if one.answer]
    if not changes or not isinstance(response.body, bytes) or response.status >= HTTPStatus.BAD_REQUEST:
        return response
    value = msgspec.json.decode(response.body)
    for change in changes:
        value = change(value)
    return replace(response, body=msgspec.json.encode(value) + b"\n")
