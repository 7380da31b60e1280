"""minirun ps."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from typer import Option

from minirun.archive.tree_walk import tree_size
from minirun.cli.container.ps_filters import KEYS, filtered
from minirun.cli.output.filters import Filters, parse_filters
from minirun.cli.output.format import Columns, Row, labels_text, print_rows
from minirun.cli.output.states import state_of, status_of
from minirun.cli.output.table import ago, local_time, size
from minirun.cli.parameters import NONE, NoTrunc, TableFormat, filter_option
from minirun.cli.session import commands, open_instance
from minirun.cli.template.printf import quoted
from minirun.image.records import image_size
from minirun.instance import Instance
from minirun.model import ACTIVE, Container, Mode

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
    with instance.store.read():
        rows = [row_of(instance, one, no_trunc, with_size) for one in chosen(instance, wanted, everything, count)]
    columns = Columns({**COLUMNS.headers, "Size": "SIZE"}, "ID") if sizes else COLUMNS
    print_rows(rows, columns, form, quiet, _EXTRA)


def chosen(instance: Instance, filters: Filters, everything: bool, count: int) -> list[Container]:
    """The newest first; at most `count`, unless it is 0."""
    every = everything or count or "status" in filters or "exited" in filters
    containers = [one for one in instance.store.containers() if every or one.status in ACTIVE]
    if filters:
        containers = filtered(instance, containers, filters)
    return containers[:count] if count else containers


def row_of(instance: Instance, container: Container, whole: bool, sizes: bool) -> Row:
    spec = container.spec
    labels = dict(spec.labels)
    mounts = [mount.source for mount in spec.mounts if mount.kind != "tmpfs"]
    return {
        "ID": container.id if whole else container.short_id,
        "Image": spec.image,
        "Command": command_of(container, whole),
        "CreatedAt": local_time(container.created),
        "RunningFor": ago(container.created),
        "Ports": ports_of(instance, container),
        "State": state_of(container),
        "Status": status_of(container),
        "Size": _size(instance, container) if sizes else "0B",
        "Names": container.name,
        "Labels": labels_text(labels),
        "Label": lambda key: labels.get(key, ""),
        "Mounts": ",".join(mounts if whole else [text if len(text) <= 15 else text[:14] + "…" for text in mounts]),
        "LocalVolumes": str(sum(mount.kind == "volume" for mount in spec.mounts)),
        "Networks": ",".join(_networks(instance, container)),
        "Platform": None,  # that of the image's manifest, which minirun has none of
    }


def _networks(instance: Instance, container: Container) -> list[str]:
    request = container.spec.network
    if request.mode is not Mode.BRIDGE:
        return [] if request.mode is Mode.CONTAINER else [str(request)]
    found = [(name, instance.store.find_network(name)) for name in request.names]
    return [network.name if network else name for name, network in found]


def _size(instance: Instance, container: Container) -> str:
    own = tree_size(instance.container_dir(container.id) / "upper")
    return f"{size(own)} (virtual {size(own + image_size(instance, container))})"


def command_of(container: Container, whole: bool) -> str:
    """The command in double quotes, arguments with a space in single ones; cut to 20 characters unless `whole`."""
    program, *arguments = container.spec.argv
    text = " ".join([program, *(f"'{word}'" if " " in word else word for word in arguments)])
    return quoted(text if whole or len(text) <= 20 else f"{text[:19]}…")


def ports_of(instance: Instance, container: Container) -> str:
    """The PORTS column."""
    if container.status not in ACTIVE:
        return ""
    mappings = [publication.mapping for publication in instance.store.ports(container=container.id)]
    published = [
        Port(mapping.container_port + step, mapping.host, mapping.host_port + step, mapping.protocol)
        for mapping in mappings
        for step in range(mapping.count)
    ]
    known = {f"{port.private}/{port.protocol}" for port in published}
    exposed = [text.partition("/") for text in container.spec.expose if text not in known]
    return displayed([*published, *(Port(int(number), "", 0, protocol) for number, _, protocol in exposed)])


class Port(NamedTuple):
    """A published port, or one that is only exposed: without a host address."""

    private: int
    host: str  # the address, IPv6 in brackets
    public: int
    protocol: str


def displayed(ports: Sequence[Port]) -> str:
    """As docker's DisplayablePorts: neighbours that keep their number on the host, or have none there, are one range.

    0.0.0.0:3300-3302->3300-3302/tcp, 9000-9002/tcp, 0.0.0.0:8081->81/tcp
    """
    runs: dict[tuple[str, str], list[int]] = {}
    ended, moved = [], []
    for private, host, public, protocol in sorted(ports):
        if host and public != private:
            moved.append(f"{host}:{public}->{private}/{protocol}")
            continue
        run = runs.setdefault((host, protocol), [private, private - 1])
        if private != run[1] + 1:
            ended.append(_range(host, protocol, *run))
            run[0] = private
        run[1] = private
    return ", ".join([*ended, *(_range(*key, *run) for key, run in runs.items()), *moved])


def _range(host: str, protocol: str, first: int, last: int) -> str:
    span = str(first) if first == last else f"{first}-{last}"
    return f"{host}:{span}->{span}/{protocol}" if host else f"{span}/{protocol}"
