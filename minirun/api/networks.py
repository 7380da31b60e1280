"""Networks: list, inspect, create, connect, disconnect, remove, prune."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import msgspec

from minirun.api.bodies import Body, EndpointSettings
from minirun.api.container_create import attachment_of
from minirun.api.containers import checked_filters
from minirun.api.http import ApiError, Response, answer
from minirun.api.request import Request, failing_with, message_of
from minirun.cli.network.members import connect_to, disconnect_from
from minirun.cli.network.networks import KEYS, chosen, prune_unused, refuse_predefined
from minirun.cli.prune import KEYS as PRUNE_KEYS
from minirun.cli.prune import choice_of
from minirun.engine.inspect import network_named
from minirun.errors import MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.model import DEFAULT_NETWORK, RESERVED_NETWORKS, NetworkCreateRequest
from minirun.network.networks import create_network, default_network, remove_network
from minirun.options.pools import PoolOptions, parse_pools
from minirun.options.values import check_name
from minirun.store.lookup import find_network

_NO_SWARM = "there is no swarm: minirun's networks are local"


class AddressPool(Body, frozen=True):
    """A subnet and what of it is used."""

    subnet: str | None = None
    ip_range: str | None = msgspec.field(name="IPRange", default=None)
    gateway: str | None = None
    auxiliary_addresses: dict[str, str] | None = None


class Ipam(Body, frozen=True):
    """The address pools of a network."""

    driver: str | None = None
    config: list[AddressPool] | None = None
    options: dict[str, str] | None = None


class ConfigReference(Body, frozen=True):
    """The configuration-only network that one is made from."""

    network: str | None = None


class NetworkCreate(Body, frozen=True):
    """CheckDuplicate, which old clients send, is unknown: two networks never have one name."""

    name: str | None = None
    driver: str | None = None
    scope: str | None = None
    internal: bool | None = None
    attachable: bool | None = None
    ingress: bool | None = None
    config_only: bool | None = None
    config_from: ConfigReference | None = None
    ipam: Ipam | None = msgspec.field(name="IPAM", default=None)
    enable_ipv4: bool | None = msgspec.field(name="EnableIPv4", default=None)
    enable_ipv6: bool | None = msgspec.field(name="EnableIPv6", default=None)
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class NetworkConnect(Body, frozen=True):
    """A container, and its settings in the network."""

    container: str = ""
    endpoint_config: EndpointSettings | None = None


class NetworkDisconnect(Body, frozen=True):
    """A container; with force, it may have been removed."""

    container: str = ""
    force: bool | None = None


@contextmanager
def _forbidding() -> Iterator[None]:
    """What cannot be done to a network is forbidden: Docker's status, where other objects have a conflict."""
    try:
        yield
    except NotFoundError:
        raise
    except MinirunError as error:
        raise ApiError(HTTPStatus.FORBIDDEN, message_of(error)) from error


def list_all(request: Request) -> Response:
    """GET /networks."""
    filters = checked_filters(request, KEYS)
    with failing_with(HTTPStatus.BAD_REQUEST):
        rows = chosen(request.instance, filters)
    described = [network_named(request.instance, row["ID"]) for row in rows]
    return answer([{**_shown(one), "Containers": {}} for one in described if one])  # members are for inspect alone


def _shown(described: dict[str, Any]) -> dict[str, Any]:
    """As `network inspect` has it, but for the options of the address manager, of which a request can have none."""
    return {**described, "IPAM": {**described["IPAM"], "Options": None}}


def inspect_one(request: Request) -> Response:
    """GET /networks/{name}. `verbose` is about the services of a swarm."""
    name = request.parameters["name"]
    if name == DEFAULT_NETWORK:
        default_network(request.instance)
    with failing_with(HTTPStatus.BAD_REQUEST):
        described = network_named(request.instance, name)
    if described is None or request.query.text("scope", "local") not in ("", "local"):
        raise ApiError(HTTPStatus.NOT_FOUND, f"network {name} not found")
    return answer(_shown(described))


def create(request: Request) -> Response:
    """POST /networks/create."""
    body = request.body.json(NetworkCreate)
    if body.name in (*RESERVED_NETWORKS, DEFAULT_NETWORK):
        raise ApiError(HTTPStatus.FORBIDDEN, f"operation is not permitted on predefined {body.name} network")
    with failing_with(HTTPStatus.BAD_REQUEST):
        network = create_network(request.instance, _creation(body))
    return answer({"Id": network.id, "Warning": ""}, HTTPStatus.CREATED)


def _creation(body: NetworkCreate) -> NetworkCreateRequest:
    """What `network create` is asked for. MinirunError for what cannot be."""
    check_name(body.name or "", "network")
    ipam = body.ipam or Ipam()
    if body.enable_ipv4 is False:
        raise MinirunError("EnableIPv4: false is not supported: every network has IPv4; EnableIPv6 adds IPv6")
    if ipam.driver not in (None, "", "default"):
        raise NotFoundError(f"could not find the IPAM driver {ipam.driver}: minirun or the network driver allocates")
    if ipam.options:
        raise MinirunError(f"IPAM.Options are not supported: {', '.join(ipam.options)}")
    if body.ingress or body.scope not in (None, "", "local"):
        raise MinirunError(_NO_SWARM)
    pools = ipam.config or []
    texts = PoolOptions(
        subnets=tuple(pool.subnet for pool in pools if pool.subnet),
        ranges=tuple(pool.ip_range for pool in pools if pool.ip_range),
        gateways=tuple(pool.gateway for pool in pools if pool.gateway),
        aux=tuple(f"{key}={text}" for pool in pools for key, text in (pool.auxiliary_addresses or {}).items()),
    )
    pool4, pool6 = parse_pools(texts, bool(body.enable_ipv6))
    return NetworkCreateRequest(
        name=body.name or "",
        driver=body.driver or "bridge",
        ipv4=pool4,
        ipv6=pool6,
        internal=bool(body.internal),
        attachable=bool(body.attachable),
        labels=tuple((body.labels or {}).items()),
        options=tuple((body.options or {}).items()),
        config_only=bool(body.config_only),
        config_from=(body.config_from and body.config_from.network) or "",
    )


def connect(request: Request) -> Response:
    """POST /networks/{name}/connect."""
    body, name = request.body.json(NetworkConnect), request.parameters["name"]
    with failing_with(HTTPStatus.BAD_REQUEST):
        wanted = attachment_of(name, body.endpoint_config or EndpointSettings())
    with _forbidding():
        connect_to(request.instance, _plain_name(request.instance, name), body.container.removeprefix("/"), wanted)
    return Response()


def disconnect(request: Request) -> Response:
    """POST /networks/{name}/disconnect."""
    body, name = request.body.json(NetworkDisconnect), request.parameters["name"]
    with _forbidding():
        network = _plain_name(request.instance, name)
        disconnect_from(request.instance, network, body.container.removeprefix("/"), bool(body.force))
    return Response()


def _plain_name(instance: Instance, reference: str) -> str:
    """The name of host or none for an id of theirs. Other references stay as they are."""
    described = network_named(instance, reference)
    return str(described["Name"]) if described and described["Name"] in RESERVED_NETWORKS else reference


def delete(request: Request) -> None:
    """DELETE /networks/{name}."""
    name = request.parameters["name"]
    with _forbidding():
        refuse_predefined(request.instance, name)
        remove_network(request.instance, find_network(request.instance.store, name))


def prune(request: Request) -> Response:
    """POST /networks/prune."""
    with failing_with(HTTPStatus.BAD_REQUEST):
        choice = choice_of(checked_filters(request, PRUNE_KEYS))
    removed: list[Any] | None = prune_unused(request.instance, choice)[0] or None
    return answer({"NetworksDeleted": removed})
