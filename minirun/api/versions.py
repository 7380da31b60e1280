"""The versions of the API, and what older ones have in another shape."""

import re
from http import HTTPStatus

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
