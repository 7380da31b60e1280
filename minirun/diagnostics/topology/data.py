"""The map of a host's networks: plain data, no I/O."""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeVar

from minirun.errors import printable

T = TypeVar("T")


@dataclass(frozen=True)
class Port:
    """A published port: where it is on the host, and where it leads."""

    host: str  # 0.0.0.0:8080
    inside: str  # 80/tcp


@dataclass(frozen=True)
class Plug:
    """A cable: its end on a bridge, and its end in a namespace."""

    outside: str  # vethXXXXXXXX
    inside: str  # eth0
    netns: str  # the name it is pinned by; "" when it leads somewhere unknown
    owner: str  # the container, or who else it belongs to
    addresses: tuple[str, ...] = ()
    mac: str = ""
    gateway: str = ""
    up: bool = True
    ports: tuple[Port, ...] = ()
    trouble: str = ""  # in what it differs from the records, or does not work


@dataclass(frozen=True)
class Switch:
    """A bridge, or another link that networks are made on."""

    name: str
    kind: str
    network: str  # minirun's, "" for somebody else's
    addresses: tuple[str, ...] = ()
    subnet: str = ""
    internal: bool = False
    up: bool = True
    plugs: tuple[Plug, ...] = ()
    trouble: str = ""

    @property
    def is_ours(self) -> bool:
        return bool(self.network)


@dataclass(frozen=True)
class Namespace:
    """A network namespace: whose it is, and all who are in it."""

    name: str
    members: tuple[str, ...] = ()  # containers; none for one that was made by hand
    cables: tuple[Plug, ...] = ()  # that lead into no bridge


@dataclass(frozen=True)
class Rules:
    """A table of nftables."""

    name: str  # family and table
    owner: str
    drops: tuple[str, ...] = ()  # chains of it that drop what no rule lets pass


@dataclass(frozen=True)
class Map:
    host: str
    uplinks: tuple[str, ...]  # "eth0 192.0.2.1/24"
    switches: tuple[Switch, ...]
    namespaces: tuple[Namespace, ...]
    on_host: tuple[str, ...] = field(default=())  # containers with --net=host
    rules: tuple[Rules, ...] = ()

    @property
    def troubles(self) -> list[str]:
        found = [f"{one.name}: {one.trouble}" for one in self.switches if one.trouble]
        return found + [f"{plug.outside or plug.owner}: {plug.trouble}" for plug in self.plugs() if plug.trouble]

    def plugs(self) -> list[Plug]:
        return [plug for one in self.switches for plug in one.plugs]


def printed(value: T) -> T:
    """The same, without control characters: names of others' links and namespaces are anybody's words."""
    return _printed(value)  # type: ignore[no-any-return]


def _printed(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, tuple):
        return tuple(_printed(one) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{one.name: _printed(getattr(value, one.name)) for one in fields(value)})
    return value
