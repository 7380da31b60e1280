"""Every route: method, path, function. `{name}` is one part of the path, `{name:*}` may have slashes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus

from minirun.api import system
from minirun.api.http import ApiError, decoded
from minirun.api.request import Handler

_PART = re.compile(r"\{(\w+)(:\*)?\}")


@dataclass(frozen=True)
class Route:
    """A method and a path, and the function that answers."""

    method: str
    path: str
    call: Handler

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The path as a regular expression."""
        text = _PART.sub(lambda part: f"(?P<{part[1]}>{'.+' if part[2] else '[^/]+'})", self.path)
        return re.compile(text + r"/?\Z", re.DOTALL)


ROUTES = (
    Route("GET", "/_ping", system.ping),
    Route("HEAD", "/_ping", system.ping),
    Route("GET", "/version", system.version),
)


def find_route(routes: Iterable[Route], method: str, path: str) -> tuple[Route, Mapping[str, str]]:
    """The route of a request, and the parts of the path that it names. ApiError when there is none."""
    is_known = False
    for route in routes:
        if match := route.pattern.match(path):
            if route.method == method:
                return route, {name: decoded(text) for name, text in match.groupdict().items()}
            is_known = True
    if is_known:
        raise ApiError(HTTPStatus.METHOD_NOT_ALLOWED, "method not allowed")
    raise ApiError(HTTPStatus.NOT_FOUND, "page not found")
