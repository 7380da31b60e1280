"""ps --filter."""

import re
from collections.abc import Callable, Iterable

from minirun.cli.output.filters import Filters, has_all_labels, matches
from minirun.cli.output.states import HEALTHS, STATES, health_status, state_of
from minirun.errors import MinirunError
from minirun.image.resolve import is_made_from
from minirun.instance import Instance
from minirun.model import ACTIVE, Container, Mode, Status
from minirun.store.lookup import find_container

KEYS = (
    *("id", "name", "label", "exited", "status", "ancestor", "before", "since", "volume", "network"),
    *("publish", "expose", "health"),
)


Test = Callable[[Container, str], bool]
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?\Z")


def filtered(instance: Instance, found: list[Container], filters: Filters) -> list[Container]:
    """The containers that all filters let through. MinirunError for a value that no filter can have."""
    _check_values(filters)
    moments = {key: _created(instance, filters[key]) for key in ("before", "since") if key in filters}
    ports = {key: filters[key] for key in ("publish", "expose") if key in filters}
    wanted = {key: texts for key, texts in filters.items() if key not in ("before", "since", "label", *ports)}
    tests = _tests(instance, filters)
    return [
        one
        for one in found
        if matches(one, wanted, tests)
        and (
            not ports or any(matches(one, {key: texts}, tests) for key, texts in ports.items())
        )  # as in Docker: either
        and has_all_labels(dict(one.spec.labels), filters)
        and one.created < moments.get("before", float("inf"))
        and one.created > moments.get("since", 0)
    ]


def _tests(instance: Instance, filters: Filters) -> dict[str, Test]:
    networks = {name: _network_test(instance, name) for name in filters.get("network", [])}
    return {
        "id": lambda one, text: one.id.startswith(text),
        "name": lambda one, text: any(re.compile(text).search(name) for name in (one.name, f"/{one.name}")),
        "exited": lambda one, text: one.status is Status.EXITED and str(one.exit_code) == text,
        "status": lambda one, text: state_of(one) == text,
        "ancestor": lambda one, text: (
            text.removesuffix(":latest") == one.spec.image.removesuffix(":latest")
            or is_made_from(instance, one.spec.image_id, text)
        ),
        "volume": lambda one, text: any(text in (mount.source, mount.target) for mount in one.spec.mounts),
        "network": lambda one, text: networks[text](one),
        "publish": lambda one, text: _in_range(_published(instance, one), text),
        "expose": lambda one, text: _in_range(_exposed(instance, one), text),
        "health": lambda one, text: health_status(one) == text,
    }


def _check_values(filters: Filters) -> None:
    """Before any container is looked at: an empty list is no place for a mistake to hide."""
    for key, allowed in (("status", STATES), ("health", HEALTHS)):
        for text in filters.get(key, []):
            if text not in allowed:
                raise MinirunError(f"invalid filter '{key}={text}'", "one of " + ", ".join(allowed))
    for key, is_valid, hint in (
        ("exited", re.compile(r"[0-9]{1,3}\Z").match, "an exit code"),
        ("publish", _wanted_ports, "such as 80, 80/udp or 8000-8080"),
        ("expose", _wanted_ports, "such as 80, 80/udp or 8000-8080"),
    ):
        for text in filters.get(key, []):
            if not is_valid(text):
                raise MinirunError(f"invalid filter '{key}={text}'", hint)
    for text in filters.get("name", []):
        try:
            re.compile(text).search("")
        except re.error as error:
            raise MinirunError(f"invalid filter 'name={text}': {error}") from None


def _created(instance: Instance, references: list[str]) -> float:
    return min(find_container(instance.store, reference).created for reference in references)


def _network_test(instance: Instance, name: str) -> Callable[[Container], bool]:
    """Those in it, and those that will be when they start."""
    network = instance.store.find_network(name)
    members = {end.sandbox for end in instance.store.endpoints(network=network.id)} if network else set()
    names = {name, network.name, network.id} if network else {name}

    def is_in(one: Container) -> bool:
        asked = one.spec.network
        if asked.mode is Mode.BRIDGE:
            return one.id in members or not names.isdisjoint(asked.names)
        return asked.mode is not Mode.CONTAINER and name == asked.mode

    return is_in


def _wanted_ports(text: str) -> tuple[int, int, str] | None:
    """First, last and protocol of `80`, `8000-8080`, either with /udp; tcp where that is not said."""
    match = _PORTS.match(text)
    if match is None or int(match[2] or match[1]) < int(match[1]):
        return None
    return int(match[1]), int(match[2] or match[1]), match[3] or "tcp"


def _in_range(ports: Iterable[str], text: str) -> bool:
    wanted = _wanted_ports(text)
    found = (port.partition("/") for port in ports)
    return wanted is not None and any(
        wanted[0] <= int(number) <= wanted[1] and kind == wanted[2] for number, _, kind in found
    )


def _published(instance: Instance, container: Container) -> list[str]:
    """The ports on the host of one that runs."""
    mappings = (port.mapping for port in instance.store.ports(container=container.id))
    return [f"{port}/{one.protocol}" for one in mappings for port in one.host_ports]


def _exposed(instance: Instance, container: Container) -> list[str]:
    """The ports in the container of one that runs, published or not."""
    if container.status not in ACTIVE:
        return []
    mappings = (port.mapping for port in instance.store.ports(container=container.id))
    return [*container.spec.expose, *(private for one in mappings for private in one.private_ports)]
