"""The topology of a host's networks: plain data, no I/O."""

from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, TypeVar

from minirun.errors import printable

T = TypeVar("T")
# Keys of `minirun map --json` that differ from the names of fields; they are a public interface.
_JSON_KEYS = {"bridges": "switches", "members": "plugs", "links": "cables", "containers": "members"}
_JSON_KEYS |= {"problem": "trouble", "container_port": "inside"}


@dataclass(frozen=True)
class Port:
    """A published port."""

    host: str  # 0.0.0.0:8080
    container_port: str  # 80/tcp


@dataclass(frozen=True)
class Link:
    """A veth pair: one end on the host or in another namespace, the other in a container's namespace."""

    outside: str  # vethXXXXXXXX; "" for a link without a second end, such as macvlan
    inside: str  # eth0; "" if its namespace is unknown
    netns: str  # the name that the namespace is pinned under; "" if unknown
    owner: str  # the container, or another owner
    addresses: tuple[str, ...] = ()
    mac: str = ""
    gateway: str = ""
    up: bool = True
    ports: tuple[Port, ...] = ()
    problem: str = ""  # how it differs from the records, or why it does not work
    faults: tuple[str, ...] = ()  # on purpose: `minirun fault`


@dataclass(frozen=True)
class Bridge:
    """A bridge, or another link that networks are built on, such as the parent of macvlan links."""

    name: str
    kind: str
    network: str  # minirun's network; "" for a bridge of another program
    addresses: tuple[str, ...] = ()
    subnet: str = ""
    internal: bool = False
    up: bool = True
    members: tuple[Link, ...] = ()
    problem: str = ""
    outward: str = ""  # how packets leave it: NAT, routed, LAN; "" for not at all, or unknown
    other_root: str = ""  # the network of another state root of minirun that it belongs to

    @property
    def label(self) -> str:
        """Whose it is."""
        if self.is_ours:
            return f"network {self.network}"
        return f"network {self.other_root} of another state root" if self.other_root else "not minirun's"

    @property
    def is_ours(self) -> bool:
        """Whether it belongs to one of minirun's networks."""
        return bool(self.network)


@dataclass(frozen=True)
class Namespace:
    """A network namespace and the containers in it."""

    name: str
    containers: tuple[str, ...] = ()  # empty for a namespace that was made by hand
    links: tuple[Link, ...] = ()  # those that are attached to no bridge


@dataclass(frozen=True)
class Rules:
    """A table of nftables."""

    name: str  # family and table
    owner: str
    drops: tuple[str, ...] = ()  # its base chains whose policy is drop


@dataclass(frozen=True)
class Topology:
    """A host with its bridges, namespaces and rules."""

    host: str
    uplinks: tuple[str, ...]  # "eth0 192.0.2.1/24"
    bridges: tuple[Bridge, ...]
    namespaces: tuple[Namespace, ...]
    on_host: tuple[str, ...] = ()  # containers with --net=host
    rules: tuple[Rules, ...] = ()
    ids: tuple[tuple[str, str], ...] = ()  # name and short id of each container

    @property
    def problems(self) -> list[str]:
        """All problems of bridges and links, a sentence each."""
        problems = [f"{bridge.name}: {bridge.problem}" for bridge in self.bridges if bridge.problem]
        return problems + [f"{link.outside or link.owner}: {link.problem}" for link in self.links() if link.problem]

    def links(self) -> list[Link]:
        """Return the links attached to bridges."""
        return [link for bridge in self.bridges for link in bridge.members]


def as_dict(topology: Topology) -> dict[str, Any]:
    """Return the topology as plain data for JSON."""
    renamed = asdict(topology, dict_factory=lambda items: {_JSON_KEYS.get(key, key): value for key, value in items})
    return renamed | {"troubles": topology.problems, "ids": dict(topology.ids)}


def without_control_characters(value: T) -> T:
    """Return a copy whose strings are safe to print: other programs choose the names of their links and namespaces."""
    return _cleaned(value)  # type: ignore[no-any-return]


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, tuple):
        return tuple(_cleaned(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{field.name: _cleaned(getattr(value, field.name)) for field in fields(value)})
    return value
