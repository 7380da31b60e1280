"""What containers and networks are: plain frozen data, no I/O.

Without slots, and with eq and repr only where something is compared or shown: a class with all of them costs every
start twice as much to make, and there are ten here (5 ms of the 60 that `run --rm busybox true` takes).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Generic, TypeAlias, TypeVar

DEFAULT_NETWORK = "bridge"
RESERVED_NETWORKS = ("host", "none", "container", "default")  # names of modes, which no network may have
HOST_GATEWAY = "host-gateway"  # --add-host NAME:host-gateway: the host's address, as the container sees it
ANY_ADDRESS = IPv4Address("0.0.0.0")
ANY_ADDRESS6 = IPv6Address("::")
AnyAddress = IPv4Address | IPv6Address


class Status(StrEnum):
    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    EXITED = "exited"
    REMOVING = "removing"


ACTIVE = (Status.STARTING, Status.RUNNING, Status.RESTARTING)


class Mode(StrEnum):
    HOST = "host"
    NONE = "none"
    CONTAINER = "container"
    BRIDGE = "bridge"


@dataclass(frozen=True)
class PortMapping:
    """One published port, or `count` consecutive ones that run in step. host_port 0 asks for a random one; with
    host_last, for a free one from host_port to there. Without an address it is published on all, of each family that
    the container has."""

    container_port: int
    host_port: int = 0
    protocol: str = "tcp"
    host_address: AnyAddress | None = None
    count: int = 1
    host_last: int = 0

    def __str__(self) -> str:
        inside = f"{_span(self.container_port, self.count)}/{self.protocol}"
        return f"{self.place}->{inside}"

    @property
    def host(self) -> str:
        """As it stands before a port: in brackets when it is IPv6."""
        address = self.host_address or ANY_ADDRESS
        return f"[{address}]" if address.version == 6 else str(address)

    @property
    def place(self) -> str:
        """127.0.0.1:8000-8010"""
        return f"{self.host}:{_span(self.host_port, self.count)}"

    @property
    def last_port(self) -> int:
        return self.host_port + self.count - 1

    @property
    def is_fixed(self) -> bool:
        """Whether its port on the host is said."""
        return bool(self.host_port) and not self.host_last

    @property
    def host_ports(self) -> range:
        return range(self.host_port, self.host_port + self.count)

    @property
    def private_ports(self) -> list[str]:
        """80/tcp, of each port."""
        return [f"{self.container_port + step}/{self.protocol}" for step in range(self.count)]

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults: there may be a thousand, and each command reads them."""
        found = {name: value for name, value in vars(self).items() if value != _NO_MAPPING[name]}
        return found | ({"host_address": str(self.host_address)} if self.host_address else {})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "PortMapping":
        if "host_address" in data:
            data = {**data, "host_address": ip_address(data["host_address"])}
        return cls(**data)


_NO_MAPPING = vars(PortMapping(0))


def _span(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"


@dataclass(frozen=True)
class Mount:
    """One mount that was asked for. A source of kind `volume` is the volume's name, "" for an anonymous one that is
    still to be made."""

    kind: str  # bind, volume or tmpfs
    source: str
    target: str
    read_only: bool = False
    options: str = ""  # of a tmpfs: size=..,mode=..; of a bind: nonrecursive, or writable below a read-only one
    no_copy: bool = False  # an empty volume is not filled with what the image has there
    propagation: str = ""  # of a bind: rprivate (""), private, rslave, slave, rshared, shared
    must_exist: bool = False  # given by --mount: the source of a bind is not made
    subpath: str = ""  # of a volume
    anonymous: bool = False  # a volume that was given no name: it goes with the container


@dataclass(frozen=True)
class Health:
    """How to find out whether the program works. Times are seconds."""

    test: tuple[str, ...] = ()  # an argv; () inherits none
    interval: float = 30
    timeout: float = 30
    retries: int = 3
    start_period: float = 0
    start_interval: float = 5


@dataclass(frozen=True)
class Logging:
    """--log-driver and --log-opt."""

    driver: str = "json-file"  # or none
    size: int = 0  # bytes at which the file is rotated; 0: never
    files: int = 1  # kept, the current one included


@dataclass(frozen=True)
class Device:
    """--device: a device node of the host's (or a directory of them), its place inside, and r, w, m."""

    source: str
    target: str
    access: str = "rwm"


UNCONFINED = "unconfined"


@dataclass(frozen=True)
class Security:
    """What the program may do beyond, or short of, the usual."""

    cap_add: tuple[str, ...] = ()  # as cap_net_admin, or all
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    no_new_privileges: bool = False
    unmasked: bool = False  # systempaths=unconfined: nothing of /proc and /sys is covered
    seccomp: str = ""  # a profile's text, "unconfined", or "" for the default one
    apparmor: str = ""  # a profile's name, "unconfined", or "" for the default one


@dataclass(frozen=True)
class Restart:
    """--restart: no, on-failure[:most], always, unless-stopped."""

    name: str = "no"
    most: int = 0  # restarts; 0: no limit

    def __str__(self) -> str:
        return f"{self.name}:{self.most}" if self.most else self.name


@dataclass(frozen=True)
class Attachment:
    """One network that a container is to be in, and what is wanted there."""

    network: str = DEFAULT_NETWORK  # name or id, as it was given
    address: IPv4Address | None = None
    address6: IPv6Address | None = None
    mac: str = ""
    aliases: tuple[str, ...] = ()  # further names that the resolver knows it by
    links: tuple[tuple[str, str], ...] = ()  # container, alias: names that only this container knows
    priority: int = 0  # the highest has the default gateway; among equals the first

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Attachment":
        values = {name: _frozen(value) for name, value in data.items()}
        for name, kind in (("address", IPv4Address), ("address6", IPv6Address)):
            values[name] = kind(values[name]) if values.get(name) else None
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        wanted = {one.name: value for one in fields(self) if (value := getattr(self, one.name))}
        return wanted | {name: str(wanted[name]) for name in ("address", "address6") if name in wanted}


@dataclass(frozen=True)
class NetworkRequest:
    """What --net asks for: a mode, with the networks of mode bridge, or the container whose namespace it is."""

    mode: Mode = Mode.BRIDGE
    attachments: tuple[Attachment, ...] = (Attachment(),)
    container: str = ""

    def __str__(self) -> str:
        if self.mode is Mode.CONTAINER:
            return f"container:{self.container}"
        return ",".join(self.names) if self.mode is Mode.BRIDGE else self.mode

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(one.network for one in self.attachments)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "NetworkRequest":
        attachments = tuple(Attachment.from_dict(one) for one in data["attachments"])
        return cls(Mode(data["mode"]), attachments, data["container"])

    def to_dict(self) -> dict[str, Any]:
        attachments = [one.to_dict() for one in self.attachments]
        return {"mode": self.mode, "attachments": attachments, "container": self.container}


@dataclass(frozen=True)
class Spec:
    """What was asked for at create, with what the image says added. Only `update` changes it."""

    image: str  # as the user called it
    argv: tuple[str, ...]
    image_id: str = ""
    entrypoint: tuple[str, ...] = ()  # the first words of argv
    env: tuple[tuple[str, str], ...] = ()
    image_env: tuple[str, ...] = ()  # which of them the image gave: what a network shares goes over these
    workdir: str = "/"
    user: str = ""
    hostname: str = ""
    tty: bool = False
    interactive: bool = False
    auto_remove: bool = False
    init: bool = False
    detach: bool = False
    network: NetworkRequest = field(default_factory=NetworkRequest)
    ports: tuple[PortMapping, ...] = ()
    mounts: tuple[Mount, ...] = ()
    volumes_from: tuple[str, ...] = ()  # CONTAINER[:ro]; what they have is in `mounts` since the creation
    restart: Restart = field(default_factory=Restart)
    labels: tuple[tuple[str, str], ...] = ()
    domainname: str = ""
    extra_hosts: tuple[tuple[str, str], ...] = ()  # name, address
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()  # 80/tcp
    publish_all: bool = False
    groups: tuple[str, ...] = ()
    read_only: bool = False
    devices: tuple[Device, ...] = ()
    device_rules: tuple[str, ...] = ()  # "c 188:* rwm"
    stop_signal: str = ""
    stop_timeout: int | None = None
    pid_mode: str = ""  # host, container:ID
    ipc_mode: str = ""  # host, none, private, shareable, container:ID
    uts_mode: str = ""  # host
    cgroupns: str = ""  # host, private
    userns: str = ""  # "" for the host's, auto, FIRST:COUNT, container:ID
    shm_size: int = 0  # bytes; 0: 64 MiB
    ulimits: tuple[tuple[str, int, int], ...] = ()  # name, soft, hard; -1: no limit
    sysctls: tuple[tuple[str, str], ...] = ()
    limits: tuple[tuple[str, int | str], ...] = ()  # fields of kernel.limits.Limits that were given
    oom_score_adj: int = 0
    security: Security = field(default_factory=Security)
    health: Health | None = None
    logging: Logging = field(default_factory=Logging)

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, in plain values: a container's record is read at every command."""
        data = {
            one.name: value for one in fields(self) if (value := getattr(self, one.name)) != _DEFAULTS.get(one.name)
        }
        for name in ("restart", "security", "health", "logging"):
            if name in data:
                data[name] = asdict(data[name])
        if "network" in data:
            data["network"] = self.network.to_dict()
        if "mounts" in data:
            data["mounts"] = [asdict(mount) for mount in self.mounts]
        if "devices" in data:
            data["devices"] = [asdict(device) for device in self.devices]
        if "ports" in data:
            data["ports"] = [port.to_dict() for port in self.ports]
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Spec":
        values = {name: _CODECS[name](value) if name in _CODECS else _frozen(value) for name, value in data.items()}
        return cls(**values)


def _frozen(value: Any) -> Any:
    """JSON knows lists where we have tuples."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


_DEFAULTS: dict[str, Any] = vars(Spec(image="", argv=()))
_CODECS: dict[str, Callable[[Any], Any]] = {
    "network": NetworkRequest.from_dict,
    "ports": lambda found: tuple(PortMapping.from_dict(one) for one in found),
    "mounts": lambda found: tuple(Mount(**one) for one in found),
    "restart": lambda found: Restart(**found),
    "devices": lambda found: tuple(Device(**one) for one in found),
    "security": lambda found: Security(**{name: _frozen(value) for name, value in found.items()}),
    "health": lambda found: Health(**{name: _frozen(value) for name, value in found.items()}),
    "logging": lambda found: Logging(**found),
}


@dataclass(frozen=True, eq=False, repr=False)
class Process:
    """A process that cannot be mistaken for a later one with the same number: pid and start time, one boot."""

    pid: int
    started: int


@dataclass(frozen=True, eq=False, repr=False)
class Container:
    id: str
    name: str
    spec: Spec
    created: float  # seconds since the epoch, as all times here
    status: Status = Status.CREATED
    sandbox: str = ""  # whose network namespace it is in: its own id, another container's, or "" (the host's)
    command: Process | None = None  # who started it; until it runs, the one to take a failed start back
    monitor: Process | None = None
    init: Process | None = None
    started_at: float = 0
    finished_at: float = 0
    exit_code: int = 0
    error: str = ""
    paused: bool = False
    restarts: int = 0
    stop_requested: bool = False  # by a user: unless-stopped then stays stopped, and no policy starts it again
    second_pin: str = ""  # a name that a rename may have left on the network namespace
    health: str = ""  # JSON: Status, FailingStreak, Log, as Docker's State.Health; "": no check
    oom_killed: bool = False
    ids: tuple[int, ...] = ()  # of its user namespace: the host's id of its root, and how many; () for the host's own

    @property
    def short_id(self) -> str:
        return self.id[:12]


Subnet = TypeVar("Subnet", IPv4Network, IPv6Network)
Address = TypeVar("Address", IPv4Address, IPv6Address)


@dataclass(frozen=True)
class Pool(Generic[Subnet, Address]):
    """Where a network's addresses of one family come from."""

    subnet: Subnet
    gateway: Address
    ip_range: Subnet | None = None  # the part that is given out; a chosen address may be outside
    aux: tuple[tuple[str, Address], ...] = ()  # name, address: held by somebody else, never given out


Pool4: TypeAlias = Pool[IPv4Network, IPv4Address]
Pool6: TypeAlias = Pool[IPv6Network, IPv6Address]


@dataclass(frozen=True)
class PoolRequest(Generic[Subnet, Address]):
    """What `network create` asks for of one address family; minirun chooses what is None."""

    subnet: Subnet | None = None
    gateway: Address | None = None
    ip_range: Subnet | None = None
    aux: tuple[tuple[str, Address], ...] = ()


PoolRequest4: TypeAlias = PoolRequest[IPv4Network, IPv4Address]
PoolRequest6: TypeAlias = PoolRequest[IPv6Network, IPv6Address]


@dataclass(frozen=True)
class NetworkCreateRequest:
    """What `network create` asks for."""

    name: str
    driver: str = "bridge"
    ipv4: PoolRequest4 = PoolRequest()
    ipv6: PoolRequest6 | None = None
    internal: bool = False
    attachable: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Network:
    id: str
    name: str
    created: float
    driver: str = "bridge"
    pool: Pool4 | None = None  # None: the driver has addresses of its own
    pool6: Pool6 | None = None
    bridge: str = ""  # the link on the host, of a driver that makes one
    mtu: int = 1500
    internal: bool = False  # nothing in or out, but for its members
    attachable: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()  # of the driver: -o KEY=VALUE
    env: tuple[tuple[str, str], ...] = ()  # what each container that joins it gets

    @property
    def chain(self) -> str:
        return self.bridge.replace("-", "_").replace(".", "_")

    @property
    def subnet(self) -> IPv4Network:
        return self._pool().subnet

    @property
    def gateway(self) -> IPv4Address:
        return self._pool().gateway

    @property
    def is_default(self) -> bool:
        return self.name == DEFAULT_NETWORK

    def option(self, key: str, default: str = "") -> str:
        return dict(self.options).get(key, default)

    def _pool(self) -> Pool4:
        if self.pool is None:
            raise ValueError(f"network {self.name} has no address pool")
        return self.pool


def veth_name(sandbox: str, position: int) -> str:
    """The host's end of a leg on a bridge."""
    return f"veth{sandbox[:8]}" + (f"-{position}" if position else "")


@dataclass(frozen=True, eq=False, repr=False)
class Endpoint:
    """One leg of a sandbox in a network. The names of its two links follow from the sandbox and the position."""

    sandbox: str
    position: int
    network: str  # the network's id
    address: IPv4Address | None = None  # None: the driver has not given one (yet)
    address6: IPv6Address | None = None
    given_mac: str = ""  # --mac-address
    aliases: tuple[str, ...] = ()
    state: str = ""  # what the driver wants to find again when it unplugs

    @property
    def interface(self) -> str:
        return f"eth{self.position}"

    @property
    def veth(self) -> str:
        return veth_name(self.sandbox, self.position)

    @property
    def mac(self) -> str:
        """From the address, as Docker does it: a returning address never contradicts a neighbour's ARP cache."""
        if self.given_mac or self.address is None:
            return self.given_mac
        return "02:42:" + ":".join(f"{byte:02x}" for byte in self.address.packed)


@dataclass(frozen=True, eq=False, repr=False)
class Publication:
    """A published port in force: who answers for which host port. Its mapping names a port and an address, of the
    family of `target`; what is published on all addresses is one for each family."""

    sandbox: str
    container: str
    mapping: PortMapping
    target: AnyAddress


@dataclass(frozen=True)
class Place:
    """Where in somebody else's rule set minirun has rules of its own (network/neighbours.py), or has told that it
    would need some."""

    kind: str  # nft, legacy, firewalld; told
    family: str
    table: str
    chain: str  # for firewalld an interface
