"""minirun network inspect|ls|reload|rm."""

from collections.abc import Callable
from typing import Any

from minirun.cli.app import session, warn
from minirun.cli.each import for_each
from minirun.cli.filters import matches, parse_filters
from minirun.cli.format import Columns, Row, print_objects, print_rows
from minirun.cli.opening import open_instance, require_root
from minirun.cli.verb import Verb, many, switch, value
from minirun.engine.reconcile import reconcile
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import DEFAULT_NETWORK, RESERVED_NETWORKS, Network
from minirun.network.networks import default_network
from minirun.options.durations import timestamp
from minirun.store.lookup import find_network

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
        default_network(instance)
        rows = [_row(network, self.no_trunc) for network in instance.store.networks()]
        rows += [_mode_row("host", "host"), _mode_row("none", "null")]
        shown = [row for row in sorted(rows, key=lambda row: row["Name"]) if matches(row, filters, _TESTS)]
        print_rows(shown, COLUMNS, self.form, self.quiet, _OTHERS)


_TESTS: dict[str, Callable[[Row, str], bool]] = {
    "driver": lambda row, text: row["Driver"] == text,
    "id": lambda row, text: row["ID"].startswith(text[: len(row["ID"])]),
    "name": lambda row, text: text in row["Name"],
    "scope": lambda row, text: row["Scope"] == text,
    "type": lambda row, text: (row["Name"] in (*RESERVED_NETWORKS, DEFAULT_NETWORK)) == (text == "builtin"),
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


class Inspect(Verb):
    usage = "NETWORK [NETWORK...]"
    least = 1
    completes = "networks"
    form = value("format", "f", "Format output using a custom template: json or TEMPLATE")

    def run(self) -> int:
        instance = open_instance()
        if DEFAULT_NETWORK in self.words:
            default_network(instance)
        return print_objects(self.words, lambda name: _describe(instance, name), self.form, "network {} not found")


def _describe(instance: Instance, name: str) -> dict[str, Any] | None:
    from minirun.engine.inspect import describe_network  # a list needs no description

    network = instance.store.find_network(name)
    return describe_network(instance, network) if network else None


class Reload(Verb):
    """Whatever has been damaged is mended, also what no command would notice by itself."""

    most = 0

    def run(self) -> int:
        from minirun.network.repair.restore import repair

        require_root()
        instance = Instance(session().root)
        reconcile(instance, heals=False)  # here it is told
        mended = repair(instance, everything=True)
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
        from minirun.network.networks import remove_network

        instance = open_instance()

        def remove(name: str) -> None:
            if name in (DEFAULT_NETWORK, *RESERVED_NETWORKS):
                raise MinirunError(f"{name} is a pre-defined network and cannot be removed")
            remove_network(instance, find_network(instance.store, name))

        return for_each(self.words, remove, missing_is_fine=self.force)
