"""minirun ps."""

import time
from dataclasses import replace

from minirun.cli.filters import Filters, parse_filters
from minirun.cli.format import Columns, Row, print_rows
from minirun.cli.opening import open_instance
from minirun.cli.ps_filters import KEYS, filtered
from minirun.cli.states import state_of, status_of
from minirun.cli.table import ago, size
from minirun.cli.verb import Verb, many, number, switch, value
from minirun.instance import Instance
from minirun.model import ACTIVE, Container, Mode, PortMapping

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


class Ps(Verb):
    most = 0
    filterable = KEYS
    everything = switch("all", "a", "Show all containers (default shows just running)")
    quiet = switch("quiet", "q", "Only display container IDs")
    last = number("last", "n", "Show n last created containers (includes all states)", -1)
    latest = switch("latest", "l", "Show the latest created container (includes all states)")
    sizes = switch("size", "s", "Display total file sizes")
    no_trunc = switch("no-trunc", "", "Don't truncate output")
    filters = many("filter", "f", "Filter output based on conditions provided", "filter")
    form = value("format", "", "Format output using a custom template: table, table TEMPLATE, json or TEMPLATE")

    def run(self) -> None:
        filters = parse_filters(self.filters, self.filterable)
        instance = open_instance()
        sizes = self.sizes or ".Size" in self.form
        rows = [_row(instance, one, self.no_trunc, sizes) for one in self._chosen(instance, filters)]
        columns = Columns({**COLUMNS.headers, "Size": "SIZE"}, "ID") if self.sizes else COLUMNS
        print_rows(rows, columns, self.form, self.quiet, _EXTRA)

    def _chosen(self, instance: Instance, filters: Filters) -> list[Container]:
        """The newest first."""
        count = 1 if self.latest and self.last < 0 else max(0, self.last)  # 0: no limit
        every = self.everything or count or "status" in filters or "exited" in filters
        found = [one for one in instance.store.containers() if every or one.status in ACTIVE]
        if filters:
            found = filtered(instance, found, filters)
        return found[:count] if count else found


def _row(instance: Instance, container: Container, whole: bool, sizes: bool) -> Row:
    spec = container.spec
    labels = dict(spec.labels)
    mounts = [mount.source for mount in spec.mounts if mount.kind != "tmpfs"]
    return {
        "ID": container.id if whole else container.short_id,
        "Image": spec.image,
        "Command": command_of(container, whole),
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(container.created)),
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
    from minirun.archive.tree_walk import tree_size
    from minirun.image.records import image_size

    own = tree_size(instance.container_dir(container.id) / "upper")
    return f"{size(own)} (virtual {size(own + image_size(instance, container))})"


def command_of(container: Container, whole: bool) -> str:
    text = " ".join(container.spec.argv)
    return f'"{text}"' if whole or len(text) <= 20 else f'"{text[:19]}…"'


def ports_of(instance: Instance, container: Container) -> str:
    """0.0.0.0:8080->80/tcp; neighbours are one range: 0.0.0.0:8000-8002->80-82/tcp. What is only exposed: 90/tcp."""
    if container.status not in ACTIVE:
        return ""
    mappings = [publication.mapping for publication in instance.store.ports(container=container.id)]
    published = {port for mapping in mappings for port in mapping.private_ports}
    texts = [port for port in container.spec.expose if port not in published]
    return ", ".join([*texts, *map(str, _merged(mappings))])


def _merged(mappings: list[PortMapping]) -> list[PortMapping]:
    """Those that continue one another as one."""
    runs: list[PortMapping] = []
    for one in sorted(mappings, key=lambda one: (one.host, one.protocol, one.container_port, one.host_port)):
        last = runs[-1] if runs else None
        if last is not None and one == replace(
            last, container_port=last.container_port + last.count, host_port=last.last_port + 1, count=one.count
        ):
            runs[-1] = replace(last, count=last.count + one.count)
        else:
            runs.append(one)
    return runs
