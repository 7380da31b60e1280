"""What belongs to a swarm, and plugins: the answers of a Docker that has neither."""

from http import HTTPStatus
from typing import NoReturn

from minirun.api.http import ApiError, Response, answer
from minirun.api.request import Request

# Docker's words, which clients look for.
_NO_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and'
    " try again."
)


def swarm(request: Request) -> NoReturn:
    """Whatever only a swarm manager answers."""
    raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, _NO_MANAGER)


def join_swarm(request: Request) -> NoReturn:
    """POST /swarm/init, /swarm/join."""
    raise ApiError(HTTPStatus.NOT_IMPLEMENTED, "minirun runs containers of one host: there is no swarm")


def leave_swarm(request: Request) -> NoReturn:
    """POST /swarm/leave."""
    raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "This node is not part of a swarm")


def no_plugins(request: Request) -> Response:
    """GET /plugins."""
    return answer([])


def plugin(request: Request) -> NoReturn:
    """What is asked of one plugin."""
    name = request.parameters.get("rest", "").partition("/")[0]
    raise ApiError(HTTPStatus.NOT_FOUND, f'plugin "{name}" not found')


def new_plugin(request: Request) -> NoReturn:
    """GET /plugins/privileges, POST /plugins/pull, /plugins/create."""
    raise ApiError(HTTPStatus.NOT_IMPLEMENTED, "plugins are not supported: network drivers are Python packages")
