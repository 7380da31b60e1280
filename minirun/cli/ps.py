"""minirun ps."""

import json
import re
import time
from collections.abc import Callable, Iterable
from datetime import datetime

from minirun.cli.filters import Filters, has_all_labels, matches, parse_filters
from minirun.cli.format import Columns, Row, print_rows
from minirun.cli.opening import open_instance
from minirun.cli.table import ago, size, span
from minirun.cli.verb import Verb, many, number, switch, value
from minirun.errors import MinirunError
from minirun.image.store import is_made_from
from minirun.instance import Instance
from minirun.lookup import find_container
from minirun.model import ACTIVE, Container, Mode, PortMapping, Status

COLUMNS = Columns(
    {
        "ID": "CONTAINER ID",
        "Image": "IMAGE",
        "Command": "COMMAND",
        "RunningFor": "CREATED",
        "Status": "STATUS",
        "Ports": "PORTS",
        "Names": "NAMES",
    },
    "ID",
)
_EXTRA = {"CreatedAt": "CREATED AT", "LocalVolumes": "LOCAL VOLUMES"}
_STATES = {Status.STARTING: "created", Status.REMOVING: "removing"}
_FILTERS = (
    *("id", "name", "label", "label!", "exited", "status", "ancestor", "before", "since", "volume", "network"),
    *("publish", "expose", "health"),
)


class Ps(Verb):
    most = 0
    everything = switch("all", "a", "Show all containers (default shows just running)")
    quiet = switch("quiet", "q", "Only display container IDs")
    last = number("last", "n", "Show n last created containers (includes all states)", -1)
    latest = switch("latest", "l", "Show the latest created container (includes all states)")
    sizes = switch("size", "s", "Display total file sizes")
    no_trunc = switch("no-trunc", "", "Don't truncate output")
    filters = many("filter", "f", "Filter output based on conditions provided", "filter")
    form = value("format", "", "Format output using a custom template: table, table TEMPLATE, json or TEMPLATE")

    def run(self) -> None:
        filters = parse_filters(self.filters, _FILTERS)
        instance = open_instance()
        shown = self._chosen(instance, filters)
        rows = [_row(instance, item, self.no_trunc, self.sizes) for item in shown]
        columns = Columns({**COLUMNS.headers, "Size": "SIZE"}, "ID") if self.sizes else COLUMNS
        print_rows(rows, columns, self.form, self.quiet, _EXTRA)

    def _chosen(self, instance: Instance, filters: Filters) -> list[Container]:
        """The newest first."""
        count = 1 if self.latest else self.last
        every = self.everything or count >= 0 or "status" in filters or "exited" in filters
        found = [one for one in instance.store.containers() if every or one.status in ACTIVE]
        if filters:
            found = _filtered(instance, found, filters)
        return found[:count] if count >= 0 else found


def _filtered(instance: Instance, found: list[Container], filters: Filters) -> list[Container]:
    filters = dict(filters)
    moments = {key: _created(instance, filters.pop(key)) for key in ("before", "since") if key in filters}
    networks = _networks(instance, filters.get("network", []))
    tests: dict[str, Callable[[Container, str], bool]] = {
        "id": lambda one, text: one.id.startswith(text),
        "name": lambda one, text: re.search(text.lstrip("/"), one.name) is not None,
        "exited": lambda one, text: one.status is Status.EXITED and str(one.exit_code) == text,
        "status": lambda one, text: state_of(one) == text,
        "ancestor": lambda one, text: (
            text.removesuffix(":latest") == one.spec.image.removesuffix(":latest")
            or is_made_from(instance, one.spec.image_id, text)
        ),
        "volume": lambda one, text: any(text in (mount.source, mount.target) for mount in one.spec.mounts),
        "network": lambda one, text: networks[text](one),
        "publish": lambda one, text: any(_port_matches(port.mapping, text) for port in instance.store.ports(one.id)),
        "expose": lambda one, text: any(text in (port, port.partition("/")[0]) for port in _exposed(one)),
        "health": lambda one, text: _health(one) == text,
    }
    labels: Filters = {key: filters.pop(key) for key in ("label", "label!") if key in filters}
    _check_values(filters)
    return [
        one
        for one in found
        if matches(one, filters, tests)
        and has_all_labels(dict(one.spec.labels), labels)
        and one.created < moments.get("before", float("inf"))
        and one.created > moments.get("since", 0)
    ]


def _check_values(filters: Filters) -> None:
    states = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
    for text in filters.get("status", []):
        if text not in states:
            raise MinirunError(f"invalid filter 'status={text}'", "one of " + ", ".join(states))
    for text in filters.get("name", []):
        try:
            re.compile(text)
        except re.error as error:
            raise MinirunError(f"invalid filter 'name={text}': {error}") from None


def _created(instance: Instance, references: list[str]) -> float:
    return min(find_container(instance.store, reference).created for reference in references)


def _networks(instance: Instance, names: Iterable[str]) -> dict[str, Callable[[Container], bool]]:
    found: dict[str, Callable[[Container], bool]] = {}
    for name in names:
        network = instance.store.find_network(name)
        members = {end.sandbox for end in instance.store.endpoints(network=network.id)} if network else set()
        found[name] = lambda one, name=name, members=members: (  # type: ignore[misc]
            one.id in members or str(one.spec.network) == name or name in one.spec.network.names
        )
    return found


def _port_matches(mapping: PortMapping, text: str) -> bool:
    port, _, protocol = text.partition("/")
    return port in (str(mapping.host_port), str(mapping.container_port)) and protocol in ("", mapping.protocol)


def _exposed(container: Container) -> list[str]:
    return [*container.spec.expose, *(f"{port.container_port}/{port.protocol}" for port in container.spec.ports)]


def _row(instance: Instance, container: Container, whole: bool, sizes: bool) -> Row:
    spec = container.spec
    labels = dict(spec.labels)
    mounts = [mount.source for mount in spec.mounts if mount.kind != "tmpfs"]
    return {
        "ID": container.id if whole else container.short_id,
        "Image": spec.image,
        "Command": command_of(container, whole),
        "CreatedAt": datetime.fromtimestamp(container.created).astimezone().strftime("%Y-%m-%d %H:%M:%S %z %Z"),
        "RunningFor": ago(container.created),
        "Ports": ports_of(instance, container),
        "State": state_of(container),
        "Status": status_of(container),
        "Size": _size(instance, container) if sizes else "0B",
        "Names": container.name,
        "Labels": ",".join(f"{key}={text}" for key, text in labels.items()),
        "Label": lambda key: labels.get(key, ""),
        "Mounts": ",".join(mounts if whole else [text if len(text) <= 15 else text[:14] + "…" for text in mounts]),
        "LocalVolumes": str(sum(mount.kind == "volume" for mount in spec.mounts)),
        "Networks": str(spec.network) if spec.network.mode is not Mode.CONTAINER else "",
    }


def _size(instance: Instance, container: Container) -> str:
    from minirun.sizes import image_size, tree_size

    own = tree_size(instance.container_dir(container.id) / "upper")
    return f"{size(own)} (virtual {size(own + image_size(instance, container))})"


def command_of(container: Container, whole: bool) -> str:
    text = " ".join(container.spec.argv)
    return f'"{text}"' if whole or len(text) <= 20 else f'"{text[:19]}…"'


def state_of(container: Container) -> str:
    if container.paused:
        return "paused"
    return _STATES.get(container.status, str(container.status))


def _health(container: Container) -> str:
    return str(json.loads(container.health)["Status"]) if container.health else "none"


def health_of(container: Container) -> str:
    status = _health(container)
    if status == "none":
        return ""
    return f" (health: {status})" if status == "starting" else f" ({status})"


def status_of(container: Container) -> str:
    if container.status is Status.RUNNING:
        up = f"Up {span(time.time() - container.started_at)}"
        return up + (" (Paused)" if container.paused else health_of(container))
    if container.status is Status.RESTARTING:
        return f"Restarting ({container.exit_code}) {ago(container.finished_at)}"
    if container.status is Status.EXITED:
        return f"Exited ({container.exit_code}) {ago(container.finished_at)}"
    return "Removal In Progress" if container.status is Status.REMOVING else "Created"


def ports_of(instance: Instance, container: Container) -> str:
    """0.0.0.0:8080->80/tcp; neighbours are one range: 0.0.0.0:8000-8002->80-82/tcp. What is only exposed: 90/tcp."""
    if container.status not in ACTIVE:
        return ""
    mappings = sorted(
        (publication.mapping for publication in instance.store.ports(container=container.id)),
        key=lambda one: (one.protocol, one.container_port, str(one.host_address), one.host_port),
    )
    published = {f"{one.container_port}/{one.protocol}" for one in mappings}
    texts = [port for port in container.spec.expose if port not in published]
    return ", ".join([*texts, *(_range_text(run) for run in _runs(mappings))])


def _runs(mappings: list[PortMapping]) -> list[list[PortMapping]]:
    runs: list[list[PortMapping]] = []
    for one in sorted(
        mappings, key=lambda one: (str(one.host_address), one.protocol, one.container_port, one.host_port)
    ):
        last = runs[-1][-1] if runs else None
        follows = last is not None and (
            (last.protocol, last.host_address) == (one.protocol, one.host_address)
            and (one.container_port, one.host_port) == (last.container_port + 1, last.host_port + 1)
        )
        runs[-1].append(one) if follows else runs.append([one])
    return runs


def _range_text(run: list[PortMapping]) -> str:
    first, last = run[0], run[-1]
    outside, inside = str(first.host_port), str(first.container_port)
    if len(run) > 1:
        outside, inside = f"{outside}-{last.host_port}", f"{inside}-{last.container_port}"
    return f"{first.host_address}:{outside}->{inside}/{first.protocol}"
