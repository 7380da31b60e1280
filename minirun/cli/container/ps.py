"""minirun ps."""

import time
from dataclasses import replace
from typing import Annotated

from typer import Option

from minirun.archive.tree_walk import tree_size
from minirun.cli.container.ps_filters import KEYS, filtered
from minirun.cli.output.filters import Filters, parse_filters
from minirun.cli.output.format import Columns, Row, print_rows
from minirun.cli.output.states import state_of, status_of
from minirun.cli.output.table import ago, size
from minirun.cli.parameters import NONE, NoTrunc, TableFormat, filter_option
from minirun.cli.session import commands, open_instance
from minirun.image.records import image_size
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


app = commands()


@app.command("ps")
def ps(
    everything: Annotated[bool, Option("--all", "-a", help="Show all containers (default shows just running)")] = False,
    filters: Annotated[list[str], filter_option(KEYS, "-f")] = NONE,
    form: TableFormat = "",
    last: Annotated[int, Option("--last", "-n", help="Show n last created containers (includes all states)")] = -1,
    latest: Annotated[
        bool, Option("--latest", "-l", help="Show the latest created container (includes all states)")
    ] = False,
    no_trunc: NoTrunc = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only display container IDs")] = False,
    sizes: Annotated[bool, Option("--size", "-s", help="Display total file sizes")] = False,
) -> None:
    """List containers."""
    wanted = parse_filters(filters, KEYS)
    instance = open_instance()
    count = 1 if latest and last < 0 else max(0, last)
    with_size = sizes or ".Size" in form
    rows = [_row(instance, one, no_trunc, with_size) for one in _chosen(instance, wanted, everything, count)]
    columns = Columns({**COLUMNS.headers, "Size": "SIZE"}, "ID") if sizes else COLUMNS
    print_rows(rows, columns, form, quiet, _EXTRA)


def _chosen(instance: Instance, filters: Filters, everything: bool, count: int) -> list[Container]:
    """The newest first; at most `count`, unless it is 0."""
    every = everything or count or "status" in filters or "exited" in filters
    containers = [one for one in instance.store.containers() if every or one.status in ACTIVE]
    if filters:
        containers = filtered(instance, containers, filters)
    return containers[:count] if count else containers


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
    own = tree_size(instance.container_dir(container.id) / "upper")
    return f"{size(own)} (virtual {size(own + image_size(instance, container))})"


def command_of(container: Container, whole: bool) -> str:
    """The command's words in quotes, cut to 20 characters unless `whole`."""
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
