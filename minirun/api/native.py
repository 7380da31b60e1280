"""What Docker's API doesn't have: /minirun/map, trace, doctor, rules, and ports of a running container. docs/api.md"""

from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from minirun.api.bodies import Body
from minirun.api.http import ApiError, Response, answer
from minirun.api.request import Request, failing_with
from minirun.cli.diagnose import as_dict as finding_as_dict
from minirun.cli.diagnose import checks_of, repair_findings
from minirun.diagnostics.topology import graphs, svg, tree
from minirun.diagnostics.topology.data import Topology
from minirun.diagnostics.topology.data import as_dict as topology_as_dict
from minirun.diagnostics.topology.survey import read_topology
from minirun.diagnostics.trace import report
from minirun.diagnostics.trace.endpoints import ANYBODY, Source, port_of_host, target_of
from minirun.diagnostics.trace.probe import await_packet, send_probe
from minirun.diagnostics.trace.reasons import diagnose
from minirun.engine import hot_update
from minirun.instance import Instance
from minirun.model import PortMapping
from minirun.network.firewall.listing import rules_of
from minirun.options.ports import parse_host_port, parse_port
from minirun.store.lookup import find_container

_TEXT = "text/plain; charset=utf-8"
_LONGEST_WAIT = 3600  # seconds
_Draw = Callable[[Topology], str]
_DRAWINGS: dict[str, tuple[str, _Draw]] = {
    "text": (_TEXT, lambda topology: tree.as_tree(topology, False)),
    "svg": ("image/svg+xml", svg.as_svg),
    "mermaid": (_TEXT, graphs.as_mermaid),
    "dot": ("text/vnd.graphviz", graphs.as_dot),
}


class PortChange(Body, frozen=True):
    """Ports as `docker run -p` has them; to remove, as the host has them. The host's are removed first."""

    add: list[str] | None = None
    remove: list[str] | None = None


def show_map(request: Request) -> Response:
    """GET /minirun/map. `format`: json, text, svg, mermaid or dot."""
    form = request.query.text("format", "json")
    if form not in ("json", *_DRAWINGS):
        raise ApiError(HTTPStatus.BAD_REQUEST, f"invalid format '{form}': json, {', '.join(_DRAWINGS)}")
    topology = read_topology(request.unrepaired)
    if form == "json":
        return answer(topology_as_dict(topology))
    kind, draw = _DRAWINGS[form]
    return Response(body=draw(topology).encode() + b"\n", content_type=kind)


def trace(request: Request) -> Response:
    """GET /minirun/trace: `to` a port of the host, or CONTAINER:PORT; `wait`: for somebody's packet."""
    query = request.query
    to, wait = query.text("to"), query.flag("wait")
    seconds = query.number("timeout", 30 if wait else 3) or 0
    if not to or not 1 <= seconds <= _LONGEST_WAIT:
        raise ApiError(
            HTTPStatus.BAD_REQUEST, "to=PORT or to=TARGET:PORT is needed, and timeout from 1 to 3600 seconds"
        )
    with failing_with(HTTPStatus.BAD_REQUEST):
        source = Source(request.unrepaired, ANYBODY if wait else query.text("from", "outside"))
        try:
            is_port = to.partition("/")[0].isdigit()
            target = port_of_host(request.unrepaired, to) if is_port else target_of(request.unrepaired, source, to)
            journey = (await_packet if wait else send_probe)(request.unrepaired, source, target, seconds)
            diagnosis = diagnose(request.unrepaired, journey)
        finally:
            source.close()
    if query.text("format", "json") == "text":
        return Response(body=report.as_text(journey, diagnosis, False).encode() + b"\n", content_type=_TEXT)
    return answer(report.as_dict(journey, diagnosis))


def doctor(request: Request) -> Response:
    """GET /minirun/doctor: problems of the host and its containers. `quick`: no packets are sent."""
    return answer(_findings(request.unrepaired, request.query.flag("quick")))


def repair(request: Request) -> Response:
    """POST /minirun/doctor: repair what minirun created, and look again."""
    instance, quick = request.unrepaired, request.query.flag("quick")
    repair_findings([finding for check in checks_of(quick) for finding in check(instance) if finding.repair])
    return answer(_findings(instance, quick))


def _findings(instance: Instance, quick: bool) -> list[dict[str, Any]]:
    return [finding_as_dict(finding) for check in checks_of(quick) for finding in check(instance)]


def rules(request: Request) -> Response:
    """GET /minirun/containers/{name}/rules: every rule, element and interface that exists for a container."""
    return answer([asdict(rule) for rule in rules_of(request.instance, request.container())])


def change_ports(request: Request) -> Response:
    """POST /minirun/containers/{name}/ports: publish and unpublish ports while the container runs."""
    body = request.body.json(PortChange)
    with failing_with(HTTPStatus.BAD_REQUEST):
        removed = [parse_host_port(text) for text in body.remove or []]
        added = [parse_port(text) for text in body.add or []]
    instance, name = request.instance, request.parameters["name"]
    for place in removed:
        hot_update.unpublish(instance, find_container(instance.store, name), place)
    for mapping in added:
        hot_update.publish(instance, find_container(instance.store, name), mapping)
    published = instance.store.ports(container=find_container(instance.store, name).id)
    return answer([_port(publication.mapping) for publication in published])


def _port(mapping: PortMapping) -> dict[str, Any]:
    return {
        "IP": mapping.host,
        "PublicPort": mapping.host_port,
        "PrivatePort": mapping.container_port,
        "Type": mapping.protocol,
        "Count": mapping.count,
    }
