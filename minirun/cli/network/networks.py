"""minirun network create, ls, inspect, rm, prune, reload."""

from collections.abc import Callable
from typing import Annotated

from typer import Argument, Option

from minirun.cli.completion.values import networks as network_names
from minirun.cli.completion.values import words
from minirun.cli.each import for_each
from minirun.cli.output.filters import Filters, has_all_labels, is_true, matches, parse_filters
from minirun.cli.output.format import Columns, Described, Row, labels_text, print_objects, print_rows
from minirun.cli.parameters import NONE, ForcePrune, ObjectFormat, filter_option
from minirun.cli.prune import KEYS as PRUNE_KEYS
from minirun.cli.prune import Choice, choice_of, confirmed, print_removed, pruned
from minirun.cli.session import commands, open_instance, require_root, session, warn
from minirun.cli.template.values import Time
from minirun.engine.builtin_networks import BUILTIN, NEVER, builtin_id, find_builtin
from minirun.engine.inspect import network_named
from minirun.engine.owners import guarded_owner
from minirun.engine.reconcile import reconcile
from minirun.engine.remove import prune_networks
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import DEFAULT_NETWORK, RESERVED_NETWORKS, Network, NetworkCreateRequest
from minirun.network.networks import create_network, default_network, remove_network
from minirun.network.repair.restore import repair
from minirun.options import environment, values
from minirun.options.environment import parse_labels
from minirun.options.pools import PoolOptions, parse_driver_options, parse_pools
from minirun.options.values import timestamp
from minirun.store.lookup import find_network

COLUMNS = Columns({"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE"}, "ID")
_OTHERS = {"CreatedAt": "CREATED AT", "IPv4": "IPV4", "IPv6": "IPV6", "Internal": "INTERNAL", "Labels": "LABELS"}
KEYS = ("dangling", "driver", "id", "label", "name", "scope", "type")
_Networks = Annotated[list[str], Argument(metavar="NETWORK [NETWORK...]", autocompletion=network_names)]
app = commands()


@app.command("create")
def create(
    name: Annotated[str, Argument(metavar="NETWORK")],
    attachable: Annotated[bool, Option("--attachable", help="Enable manual container attachment")] = False,
    aux_address: Annotated[
        list[str],
        Option(
            "--aux-address",
            help="Auxiliary IPv4 or IPv6 addresses used by Network driver (NAME=ADDRESS)",
            metavar="map",
        ),
    ] = NONE,
    config_from: Annotated[
        str,
        Option("--config-from", help="The network from which to copy the configuration", autocompletion=network_names),
    ] = "",
    config_only: Annotated[bool, Option("--config-only", help="Create a configuration only network")] = False,
    driver: Annotated[
        str, Option("--driver", "-d", help="Driver to manage the Network", autocompletion=words("bridge"))
    ] = "bridge",
    env: Annotated[
        list[str], Option("--env", "-e", help="Set environment variables of every container that joins the network")
    ] = NONE,
    gateway: Annotated[
        list[str], Option("--gateway", help="IPv4 or IPv6 Gateway for the subnet", metavar="strings")
    ] = NONE,
    internal: Annotated[bool, Option("--internal", help="Restrict external access to the network")] = False,
    ip_range: Annotated[
        list[str], Option("--ip-range", help="Allocate container ip from a sub-range", metavar="strings")
    ] = NONE,
    ipam_driver: Annotated[
        str, Option("--ipam-driver", help="IP Address Management Driver", autocompletion=words("default"))
    ] = "default",
    ipv4: Annotated[bool, Option("--ipv4", help="Enable IPv4 networking; every network has it")] = True,
    ipv6: Annotated[bool, Option("--ipv6", help="Enable IPv6 networking")] = False,
    label: Annotated[list[str], Option("--label", help="Set metadata on a network")] = NONE,
    opt: Annotated[list[str], Option("--opt", "-o", help="Set driver specific options", metavar="map")] = NONE,
    owner_pid: Annotated[
        int, Option("--owner-pid", help="Remove the network when this process ends, however it does ($$: the shell)")
    ] = 0,
    scope: Annotated[str, Option("--scope", help="Control the network's scope", autocompletion=words("local"))] = "",
    subnet: Annotated[
        list[str],
        Option("--subnet", help="Subnet in CIDR format that represents a network segment", metavar="strings"),
    ] = NONE,
) -> None:
    """Create a network."""
    values.check_name(name, "network")
    if not ipv4:
        raise MinirunError("--ipv4=false is not supported: every network has IPv4; --ipv6 adds IPv6")
    if ipam_driver not in ("", "default"):
        raise MinirunError(
            f"--ipam-driver {ipam_driver} is not supported: minirun or the network driver allocates addresses"
        )
    if scope not in ("", "local"):
        raise MinirunError(f"--scope {scope} is not supported: minirun's networks are local, as there is no swarm")
    texts = PoolOptions(tuple(subnet), tuple(ip_range), tuple(gateway), tuple(aux_address))
    pool4, pool6 = parse_pools(texts, ipv6)
    session().fail_with(1)
    instance = open_instance()
    request = NetworkCreateRequest(
        name=name,
        driver=driver,
        ipv4=pool4,
        ipv6=pool6,
        internal=internal,
        attachable=attachable,
        labels=parse_labels(label, ()),
        options=parse_driver_options(opt),
        env=environment.parse_env(env),
        config_only=config_only,
        config_from=config_from,
        owner=guarded_owner(instance, owner_pid) if owner_pid else None,
    )
    print(create_network(instance, request).id)


@app.command("ls")
def ls(
    filters: Annotated[
        list[str], filter_option(KEYS, "-f", help='Provide filter values (e.g. "driver=bridge")')
    ] = NONE,
    form: Annotated[
        str,
        Option(
            "--format",
            help="Format output using a custom template: table, json or TEMPLATE",
            autocompletion=words("json", "table"),
        ),
    ] = "",
    no_trunc: Annotated[bool, Option("--no-trunc", help="Do not truncate the output")] = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only display network IDs")] = False,
) -> None:
    """List networks."""
    wanted = parse_filters(filters, KEYS)
    rows = chosen(open_instance(), wanted)
    if not no_trunc:
        rows = [{**row, "ID": row["ID"][:12]} for row in rows]
    print_rows(rows, COLUMNS, form, quiet, _OTHERS)


def chosen(instance: Instance, wanted: Filters) -> list[Row]:
    """Return the networks that the filters choose, by name: their rows with whole ids."""
    default_network(instance)
    networks = [one for one in instance.store.networks() if has_all_labels(dict(one.labels), wanted)]
    rows = [_row(network) for network in networks]
    rows += [] if "label" in wanted else [_builtin_row(name) for name in BUILTIN]
    used = {endpoint.network for endpoint in instance.store.endpoints()}
    unused = {network.name for network in networks if network.id not in used and not network.is_default}
    tests = {
        **_TESTS,
        "dangling": lambda row, text: (row["Name"] in unused) == is_true("dangling", text),
        "label": lambda row, text: True,
    }
    return [row for row in sorted(rows, key=lambda row: row["Name"]) if matches(row, wanted, tests)]


_TESTS: dict[str, Callable[[Row, str], bool]] = {
    "driver": lambda row, text: row["Driver"] == text,
    "id": lambda row, text: row["ID"].startswith(text),
    "name": lambda row, text: text in row["Name"],
    "scope": lambda row, text: row["Scope"] == text,
    "type": lambda row, text: (row["Name"] in (*RESERVED_NETWORKS, DEFAULT_NETWORK)) == (text == "builtin"),
}


def _row(network: Network) -> Row:
    return {
        "ID": network.id,
        "Name": network.name,
        "Driver": network.driver,
        "Scope": "local",
        "CreatedAt": Time(timestamp(int(network.created * 1e9))).words(),
        "IPv4": "true",
        "IPv6": str(network.pool6 is not None).lower(),
        "Internal": str(network.internal).lower(),
        "Labels": labels_text(dict(network.labels)),
        "Label": lambda key: dict(network.labels).get(key, ""),
    }


def _builtin_row(name: str) -> Row:
    others = {"CreatedAt": Time(NEVER).words(), "IPv4": "true", "IPv6": "false", "Internal": "false", "Labels": ""}
    own = {"ID": builtin_id(name), "Name": name, "Driver": BUILTIN[name], "Scope": "local"}
    return {**own, **others, "Label": lambda _: ""}


@app.command("inspect")
def inspect(
    names: _Networks,
    form: ObjectFormat = "",
    verbose: Annotated[
        bool,
        Option("--verbose", "-v", help="Show the services of a swarm, too: there is no swarm"),
    ] = False,
) -> int:
    """Display detailed information on one or more networks."""
    instance = open_instance()
    if DEFAULT_NETWORK in names:
        default_network(instance)

    def find(name: str) -> Described | None:
        described = network_named(instance, name)
        return ("network", described) if described else None

    return print_objects(names, find, form, "network {} not found")


@app.command("reload")
def reload() -> int:
    """Repair damaged networks, rules and interfaces.

    It also repairs damage that no other command would notice.
    """
    require_root()
    instance = Instance(session().root)
    reconcile(instance, repairs=False)  # this command reports what it repairs
    repaired = repair(instance, everything=True)
    for line in repaired.done:
        print(line)
    for line in repaired.failed:
        warn(f"minirun: {line}")
    return 1 if repaired.failed else 0


@app.command("rm")
def rm(
    names: _Networks,
    force: Annotated[bool, Option("--force", "-f", help="Do not error if the network does not exist")] = False,
) -> int:
    """Remove one or more networks."""
    instance = open_instance()

    def remove(name: str) -> None:
        refuse_predefined(instance, name)
        remove_network(instance, find_network(instance.store, name))

    return for_each(names, remove, missing_is_fine=force, tells_missing=False)


def refuse_predefined(instance: Instance, name: str) -> None:
    """MinirunError for a network that cannot be removed."""
    is_builtin = bool(find_builtin(name)) and not instance.store.find_networks(name)
    if name in (DEFAULT_NETWORK, *RESERVED_NETWORKS) or is_builtin:
        raise MinirunError(f"{name} is a pre-defined network and cannot be removed")


@app.command("prune")
def prune(
    force: ForcePrune = False,
    filters: Annotated[
        list[str], filter_option(PRUNE_KEYS, help='Provide filter values (e.g. "until=<duration>")')
    ] = NONE,
) -> None:
    """Remove all unused networks."""
    choice = choice_of(parse_filters(filters, PRUNE_KEYS))
    if confirmed("This will remove all custom networks not used by at least one container.", force):
        print_removed("Deleted Networks", prune_unused(open_instance(), choice)[0])


def prune_unused(instance: Instance, choice: Choice) -> tuple[list[str], int]:
    """Remove the chosen networks that no container uses. Returns (names, 0 bytes)."""
    networks = [network for network in instance.store.networks() if not network.template]
    chosen = [network for network in networks if choice.has(network.created, dict(network.labels))]
    return pruned(instance, "network", prune_networks(instance, chosen), 0)
