"""Every route: method, path, function. `{name}` is one part of the path, `{name:*}` may have slashes."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus

from minirun.api import (
    archives,
    build,
    buildkit,
    container_create,
    container_streams,
    containers,
    disk_usage,
    events,
    execs,
    images,
    native,
    networks,
    registry,
    stats,
    system,
    unavailable,
    volumes,
)
from minirun.api.bodies import Body
from minirun.api.http import ApiError, decoded
from minirun.api.json_bodies import decode
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


def _every_method(call: Handler, *roots: str) -> Iterable[Route]:
    """Routes to a function from all paths below some."""
    for root in roots:
        for method in ("GET", "POST", "DELETE"):
            yield Route(method, f"/{root}/{{rest:*}}", call)
            yield Route(method, f"/{root}", call)


ROUTES = (
    Route("GET", "/_ping", system.ping),
    Route("HEAD", "/_ping", system.ping),
    Route("GET", "/version", system.version),
    Route("GET", "/info", system.info),
    Route("GET", "/events", events.events),
    Route("GET", "/system/df", disk_usage.disk_usage),
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
    Route("DELETE", "/containers/{name:*}", containers.delete),
    Route("GET", "/containers/{name}/archive", archives.get),
    Route("HEAD", "/containers/{name}/archive", archives.head),
    Route("PUT", "/containers/{name}/archive", archives.put),
    # exec
    Route("POST", "/containers/{name}/exec", execs.create),
    Route("POST", "/exec/{id}/start", execs.start),
    Route("POST", "/exec/{id}/resize", execs.resize),
    Route("GET", "/exec/{id}/json", execs.inspect),
    # images and builds
    Route("GET", "/images/json", images.list_all),
    Route("POST", "/images/create", images.create),
    Route("GET", "/images/search", registry.search),
    Route("POST", "/images/prune", images.prune),
    Route("POST", "/images/load", images.load),
    Route("GET", "/images/get", images.save),
    Route("GET", "/images/{name:*}/json", images.inspect),
    Route("GET", "/images/{name:*}/history", images.history),
    Route("GET", "/images/{name:*}/get", images.save_one),
    Route("POST", "/images/{name:*}/push", registry.push),
    Route("POST", "/images/{name:*}/tag", images.tag),
    Route("DELETE", "/images/{name:*}", images.delete),
    Route("POST", "/commit", images.commit),
    Route("POST", "/build", build.build),
    Route("POST", "/build/prune", build.prune),
    Route("POST", "/grpc", buildkit.refuse),
    Route("GET", "/distribution/{name:*}/json", registry.distribution),
    Route("POST", "/auth", registry.login),
    # networks
    Route("GET", "/networks", networks.list_all),
    Route("POST", "/networks/create", networks.create),
    Route("POST", "/networks/prune", networks.prune),
    Route("GET", "/networks/{name}", networks.inspect_one),
    Route("DELETE", "/networks/{name}", networks.delete),
    Route("POST", "/networks/{name}/connect", networks.connect),
    Route("POST", "/networks/{name}/disconnect", networks.disconnect),
    # volumes
    Route("GET", "/volumes", volumes.list_all),
    Route("POST", "/volumes/create", volumes.create),
    Route("POST", "/volumes/prune", volumes.prune),
    Route("GET", "/volumes/{name}", volumes.inspect_one),
    Route("PUT", "/volumes/{name}", volumes.update),
    Route("DELETE", "/volumes/{name}", volumes.delete),
    # minirun's own
    Route("GET", "/minirun/map", native.show_map),
    Route("GET", "/minirun/trace", native.trace),
    Route("GET", "/minirun/doctor", native.doctor),
    Route("POST", "/minirun/doctor", native.repair),
    Route("GET", "/minirun/containers/{name}/rules", native.rules),
    Route("POST", "/minirun/containers/{name}/ports", native.change_ports),
    # what a Docker that is no swarm manager has not
    Route("POST", "/swarm/init", unavailable.join_swarm),
    Route("POST", "/swarm/join", unavailable.join_swarm),
    Route("POST", "/swarm/leave", unavailable.leave_swarm),
    *_every_method(unavailable.swarm, "swarm", "nodes", "services", "tasks", "secrets", "configs"),
    Route("GET", "/plugins", unavailable.no_plugins),
    Route("GET", "/plugins/privileges", unavailable.new_plugin),
    Route("POST", "/plugins/pull", unavailable.new_plugin),
    Route("POST", "/plugins/create", unavailable.new_plugin),
    *_every_method(unavailable.plugin, "plugins"),
)


def prepare() -> None:
    """Do once what each worker would have to do for its first request."""
    for route in ROUTES:
        _ = route.pattern
    for kind in Body.__subclasses__():
        with suppress(ValueError):  # one with a field that has to be there
            decode(b"{}", kind)


def find_route(routes: Iterable[Route], method: str, path: str) -> tuple[Route, Mapping[str, str]]:
    """The route of a request, and the parts of the path that it names.

    ApiError when there is none; 404, as in Docker, also for a path that other methods have.
    """
    for route in routes:
        if route.method == method and (match := route.pattern.match(path)):
            return route, {name: decoded(text) for name, text in match.groupdict().items()}
    raise ApiError(HTTPStatus.NOT_FOUND, "page not found")
