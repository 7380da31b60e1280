"""minirun network create|inspect|ls|reload|rm."""

from collections.abc import Callable

from minirun import parse
from minirun.cli.app import session, warn
from minirun.cli.each import for_each
from minirun.cli.filters import matches, parse_filters
from minirun.cli.format import Columns, Row, print_objects, print_rows
from minirun.cli.opening import open_instance, require_root
from minirun.cli.verb import Verb, many, switch, value
from minirun.describe import describe_network
from minirun.errors import MinirunError
from minirun.flags.environment import parse_labels
from minirun.flags.networks import PoolWords, parse_options, parse_pools
from minirun.instance import Instance
from minirun.lifecycle import reconcile
from minirun.light.typing import Any
from minirun.log import timestamp
from minirun.lookup import find_network
from minirun.model import DEFAULT_NETWORK, Network
from minirun.network import custom
from minirun.network.healing import mend

COLUMNS = Columns({"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE"}, "ID")
_OTHERS = {"CreatedAt": "CREATED AT", "IPv6": "IPV6", "Internal": "INTERNAL", "Labels": "LABELS"}


class List(Verb):
    most = 0
    filterable = ("driver", "id", "name", "scope", "type")
    quiet = switch("quiet", "q", "Only display network IDs")
    no_trunc = switch("no-trunc", "", "Do not truncate the output")
    filters = many("filter", "f", 'Provide filter values (e.g. "driver=bridge")', "filter")
    form = value("format", "", "Format output using a custom template: table, json or TEMPLATE")

    def run(self) -> None:
        filters = parse_filters(self.filters, self.filterable)
        instance = open_instance()
        custom.default_network(instance)
        rows = [_row(network, self.no_trunc) for network in instance.store.networks()]
        rows += [_mode_row("host", "host"), _mode_row("none", "null")]
        shown = [row for row in sorted(rows, key=lambda row: row["Name"]) if matches(row, filters, _TESTS)]
        print_rows(shown, COLUMNS, self.form, self.quiet, _OTHERS)


_TESTS: dict[str, Callable[[Row, str], bool]] = {
    "driver": lambda row, text: row["Driver"] == text,
    "id": lambda row, text: row["ID"].startswith(text[: len(row["ID"])]),
    "name": lambda row, text: text in row["Name"],
    "scope": lambda row, text: row["Scope"] == text,
    "type": lambda row, text: (row["Name"] in (*custom.RESERVED, DEFAULT_NETWORK)) == (text == "builtin"),
}


def _row(network: Network, whole: bool) -> Row:
    return {
        "ID": network.id if whole else network.id[:12],
        "Name": network.name,
        "Driver": network.driver,
        "Scope": "local",
        "CreatedAt": timestamp(int(network.created * 1e9)),
        "IPv6": str(network.pool6 is not None).lower(),
        "Internal": str(network.internal).lower(),
        "Labels": ",".join(f"{key}={text}" for key, text in network.labels),
    }


def _mode_row(name: str, driver: str) -> Row:
    """host and none are modes, not records: they have no id."""
    others = {"CreatedAt": "", "IPv6": "false", "Internal": "false", "Labels": ""}
    return {"ID": "-", "Name": name, "Driver": driver, "Scope": "local", **others}


class Create(Verb):
    usage = "NETWORK"
    least = most = 1
    driver = value("driver", "d", "Driver to manage the Network", "bridge")
    subnet = many("subnet", "", "Subnet in CIDR format that represents a network segment", "strings")
    gateway = many("gateway", "", "IPv4 or IPv6 Gateway for the subnet", "strings")
    ip_range = many("ip-range", "", "Allocate container ip from a sub-range", "strings")
    aux = many("aux-address", "", "Auxiliary IPv4 or IPv6 addresses used by Network driver (NAME=ADDRESS)", "map")
    ipv6 = switch("ipv6", "", "Enable IPv6 networking")
    internal = switch("internal", "", "Restrict external access to the network")
    attachable = switch("attachable", "", "Enable manual container attachment")
    label = many("label", "", "Set metadata on a network")
    opt = many("opt", "o", "Set driver specific options", "map")
    env = many("env", "e", "Set environment variables of every container that joins the network")

    def run(self) -> None:
        name = parse.check_name(self.words[0], "network")
        ipv4, ipv6 = parse_pools(PoolWords(self.subnet, self.ip_range, self.gateway, self.aux), self.ipv6)
        wish = custom.NetworkWish(
            name=name,
            driver=self.driver,
            ipv4=ipv4,
            ipv6=ipv6,
            internal=self.internal,
            attachable=self.attachable,
            labels=parse_labels(self.label, ()),
            options=parse_options(self.opt),
            env=parse.parse_env(self.env),
        )
        session().fail_with(1)
        print(custom.create_network(open_instance(), wish).id)


class Inspect(Verb):
    usage = "NETWORK [NETWORK...]"
    least = 1
    completes = "networks"
    form = value("format", "f", "Format output using a custom template: json or TEMPLATE")

    def run(self) -> int:
        instance = open_instance()
        if DEFAULT_NETWORK in self.words:
            custom.default_network(instance)
        return print_objects(self.words, lambda name: _describe(instance, name), self.form, "network {} not found")


def _describe(instance: Instance, name: str) -> dict[str, Any] | None:
    network = instance.store.find_network(name)
    return describe_network(instance, network) if network else None


class Reload(Verb):
    """Whatever has been damaged is mended, also what no command would notice by itself."""

    most = 0

    def run(self) -> int:
        require_root()
        instance = Instance(session().root)
        reconcile(instance, heals=False)  # here it is told
        mended = mend(instance, whole=True)
        for line in mended.done:
            print(line)
        for line in mended.failed:
            warn(f"minirun: {line}")
        return 1 if mended.failed else 0


class Remove(Verb):
    usage = "NETWORK [NETWORK...]"
    least = 1
    completes = "networks"
    force = switch("force", "f", "Do not error if the network does not exist")

    def run(self) -> int:
        instance = open_instance()

        def remove(name: str) -> None:
            if name in (DEFAULT_NETWORK, *custom.RESERVED):
                raise MinirunError(f"{name} is a pre-defined network and cannot be removed")
            custom.remove_network(instance, find_network(instance.store, name))

        return for_each(self.words, remove, missing_is_fine=self.force)
