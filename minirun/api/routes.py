"""Every route: method, path, function. `{name}` is one part of the path, `{name:*}` may have slashes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus

from minirun.api import archives, container_create, container_streams, containers, execs, stats, system
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
    Route("GET", "/info", system.info),
    # containers
    Route("GET", "/containers/json", containers.list_all),
    Route("POST", "/containers/create", container_create.create),
    Route("POST", "/containers/prune", containers.prune),
    Route("GET", "/containers/{name}/json", containers.inspect_one),
    Route("GET", "/containers/{name}/top", containers.top),
    Route("GET", "/containers/{name}/logs", container_streams.logs),
    Route("GET", "/containers/{name}/changes", containers.diff),
    Route("GET", "/containers/{name}/export", archives.export),
    Route("GET", "/containers/{name}/stats", stats.stats),
    Route("POST", "/containers/{name}/resize", container_streams.resize),
    Route("POST", "/containers/{name}/start", containers.start),
    Route("POST", "/containers/{name}/stop", containers.stop_one),
    Route("POST", "/containers/{name}/restart", containers.restart),
    Route("POST", "/containers/{name}/kill", containers.kill),
    Route("POST", "/containers/{name}/update", containers.update),
    Route("POST", "/containers/{name}/rename", containers.rename),
    Route("POST", "/containers/{name}/pause", containers.pause),
    Route("POST", "/containers/{name}/unpause", containers.unpause),
    Route("POST", "/containers/{name}/attach", container_streams.attach),
    Route("GET", "/containers/{name}/attach/ws", container_streams.attach),
    Route("POST", "/containers/{name}/wait", container_streams.wait),
    Route("DELETE", "/containers/{name}", containers.delete),
    Route("GET", "/containers/{name}/archive", archives.get),
    Route("HEAD", "/containers/{name}/archive", archives.head),
    Route("PUT", "/containers/{name}/archive", archives.put),
    # exec
    Route("POST", "/containers/{name}/exec", execs.create),
    Route("POST", "/exec/{id}/start", execs.start),
    Route("POST", "/exec/{id}/resize", execs.resize),
    Route("GET", "/exec/{id}/json", execs.inspect),
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
