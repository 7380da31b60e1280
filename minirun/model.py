"""What containers, networks and endpoints are: plain frozen data without I/O.

`to_dict` and `from_dict` convert to and from the JSON in the database; the names of fields are keys there.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Generic, TypeAlias, TypeVar

DEFAULT_NETWORK = "bridge"
RESERVED_NETWORKS = ("host", "none", "container", "default")  # names of modes, which no network may have
INTERFACE_NAME = "com.docker.network.endpoint.ifname"  # --driver-opt
INTERFACE_SYSCTLS = "com.docker.network.endpoint.sysctls"
HOST_GATEWAY = "host-gateway"  # --add-host NAME:host-gateway: the host's address, as the container sees it
ANY_ADDRESS = IPv4Address("0.0.0.0")
ANY_ADDRESS6 = IPv6Address("::")
AnyAddress = IPv4Address | IPv6Address


class Status(StrEnum):
    """The status of a container on record. Docker's `paused` is a column of its own."""

    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    EXITED = "exited"
    REMOVING = "removing"


ACTIVE = (Status.STARTING, Status.RUNNING, Status.RESTARTING)


class Mode(StrEnum):
    """A network mode; BRIDGE is also that of custom networks."""

    HOST = "host"
    NONE = "none"
    CONTAINER = "container"
    BRIDGE = "bridge"


@dataclass(frozen=True)
class PortMapping:
    """One published port, or `count` consecutive ones.

    host_port 0 requests a random port; with host_last, a free one from host_port to host_last. Without host_address it
    is published on all addresses, of each family that the container has.
    """

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
        """The host address as it is written before a port: IPv6 in brackets."""
        address = self.host_address or ANY_ADDRESS
        return f"[{address}]" if address.version == 6 else str(address)

    @property
    def place(self) -> str:
        """Host address and ports, such as 127.0.0.1:8000-8010."""
        return f"{self.host}:{_span(self.host_port, self.count)}"

    @property
    def last_port(self) -> int:
        """The last of the host ports."""
        return self.host_port + self.count - 1

    @property
    def is_fixed(self) -> bool:
        """Whether the host port is given, not to be chosen."""
        return bool(self.host_port) and not self.host_last

    @property
    def host_ports(self) -> range:
        """All host ports."""
        return range(self.host_port, self.host_port + self.count)

    @property
    def private_ports(self) -> list[str]:
        """Each container port with its protocol, such as 80/tcp."""
        return [f"{self.container_port + step}/{self.protocol}" for step in range(self.count)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without the defaults: each command reads them, and there may be a thousand."""
        values = {name: value for name, value in vars(self).items() if value != _NO_MAPPING[name]}
        return values | ({"host_address": str(self.host_address)} if self.host_address else {})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "PortMapping":
        """Build one from what `to_dict` returned."""
        if "host_address" in data:
            data = {**data, "host_address": ip_address(data["host_address"])}
        return cls(**data)


_NO_MAPPING = vars(PortMapping(0))


def _span(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"


@dataclass(frozen=True)
class Mount:
    """One requested mount. The source of a volume is its name, "" for an anonymous one that is not created yet."""

    kind: str  # bind, volume, tmpfs or image
    source: str
    target: str
    read_only: bool = False
    options: str = ""  # tmpfs: size=..,mode=..; bind: nonrecursive, or writable (submounts of a read-only one)
    no_copy: bool = False  # do not copy the image's content into an empty volume
    propagation: str = ""  # of a bind: rprivate (""), private, rslave, slave, rshared, shared
    must_exist: bool = False  # from --mount: do not create the source of a bind mount
    subpath: str = ""  # of a volume or image
    anonymous: bool = False  # a volume without a given name, removed with the container
    volume_labels: tuple[tuple[str, str], ...] = ()  # of a volume that the container creates
    volume_options: tuple[tuple[str, str], ...] = ()
    image: str = ""  # the id of an image whose files are mounted
    modes: str = ""  # of -v, as given: ro, rw, z, nocopy, ...
    shared: bool = False  # from --volumes-from
    asked: str | None = None  # of --tmpfs: its options as they were given


@dataclass(frozen=True)
class Health:
    """A health check. Times are in seconds."""

    test: tuple[str, ...] = ()  # an argv; () for no check, and with `listening`
    interval: float = 30
    timeout: float = 30
    retries: int = 3
    start_period: float = 0
    start_interval: float = 5
    listening: tuple[tuple[int, str], ...] = ()  # (port, protocol): what the program listens on; no command is run


@dataclass(frozen=True)
class Logging:
    """Where the container's output is kept: --log-driver and --log-opt."""

    driver: str = "json-file"  # or local, none
    size: int = 0  # bytes at which the file is rotated; 0: never
    files: int = 1  # how many are kept, including the current one
    options: tuple[tuple[str, str], ...] = ()  # of --log-opt, as they were given


@dataclass(frozen=True)
class Device:
    """--device: a device node on the host (or a directory of them), its path in the container, and its access."""

    source: str
    target: str
    access: str = "rwm"  # read, write, mknod


UNCONFINED = "unconfined"


@dataclass(frozen=True)
class Security:
    """What the program may do in addition to, or less than, the defaults."""

    cap_add: tuple[str, ...] = ()  # such as net_admin, or all
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    no_new_privileges: bool = False
    unmasked: bool = False  # systempaths=unconfined: no path of /proc and /sys is masked
    seccomp: str = ""  # a profile's text, "unconfined", or "" for the default one
    apparmor: str = ""  # a profile's name, "unconfined", or "" for the default one
    given: tuple[str, ...] = ()  # --security-opt as given, for inspect; seccomp=FILE is "seccomp": its text is above


@dataclass(frozen=True)
class Restart:
    """--restart: no, on-failure[:most], always, unless-stopped."""

    name: str = "no"
    most: int = 0  # restarts; 0: no limit

    def __str__(self) -> str:
        return f"{self.name}:{self.most}" if self.most else self.name


@dataclass(frozen=True)
class Attachment:
    """One network that a container will be in, and its endpoint options there."""

    network: str = DEFAULT_NETWORK  # the name or id that the user gave
    address: IPv4Address | None = None
    address6: IPv6Address | None = None
    mac: str = ""
    aliases: tuple[str, ...] = ()  # more names for it in DNS
    links: tuple[tuple[str, str], ...] = ()  # (container, alias): names that only this container can resolve
    priority: int = 0  # the highest one has the default gateway; of equal ones the first
    driver_options: tuple[tuple[str, str], ...] = ()  # --driver-opt; INTERFACE_NAME and INTERFACE_SYSCTLS have effect

    @property
    def interface(self) -> str:
        """The requested name of its link in the container, or ""."""
        return dict(self.driver_options).get(INTERFACE_NAME, "")

    @property
    def sysctls(self) -> tuple[tuple[str, str], ...]:
        """The settings of its link, such as ("net.ipv4.conf.IFNAME.log_martians", "1")."""
        texts = dict(self.driver_options).get(INTERFACE_SYSCTLS, "").split(",")
        return tuple((name, value) for name, _, value in (text.partition("=") for text in texts if text))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Attachment":
        """Build one from what `to_dict` returned."""
        values = {name: _frozen(value) for name, value in data.items()}
        for name, kind in (("address", IPv4Address), ("address6", IPv6Address)):
            values[name] = kind(values[name]) if values.get(name) else None
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the values that are set, as plain values."""
        values = {field.name: value for field in fields(self) if (value := getattr(self, field.name))}
        return values | {name: str(values[name]) for name in ("address", "address6") if name in values}


@dataclass(frozen=True)
class NetworkRequest:
    """The argument of --network: a mode, with the networks of mode bridge or the container of mode container."""

    mode: Mode = Mode.BRIDGE
    attachments: tuple[Attachment, ...] = (Attachment(),)
    container: str = ""

    def __str__(self) -> str:
        if self.mode is Mode.CONTAINER:
            return f"container:{self.container}"
        return ",".join(self.names) if self.mode is Mode.BRIDGE else self.mode

    @property
    def names(self) -> tuple[str, ...]:
        """The networks of mode bridge."""
        return tuple(attachment.network for attachment in self.attachments)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "NetworkRequest":
        """Build one from what `to_dict` returned."""
        attachments = tuple(Attachment.from_dict(values) for values in data["attachments"])
        return cls(Mode(data["mode"]), attachments, data["container"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        attachments = [attachment.to_dict() for attachment in self.attachments]
        return {"mode": self.mode, "attachments": attachments, "container": self.container}


@dataclass(frozen=True)
class Spec:
    """A container's configuration: the options of `create` merged with the image's. Only `update` changes it."""

    image: str  # the name or id that the user gave
    argv: tuple[str, ...]
    image_id: str = ""
    entrypoint: tuple[str, ...] = ()  # the first words of argv
    env: tuple[tuple[str, str], ...] = ()
    unset_env: tuple[str, ...] = ()  # names of -e that no value was given for: variables of the image, left out
    image_env: tuple[str, ...] = ()  # names that come from the image: the environment of a network overrides them
    workdir: str = "/"
    user: str = ""
    hostname: str = ""
    tty: bool = False
    interactive: bool = False
    auto_remove: bool = False
    init: bool = False
    detach: bool = False
    attach: tuple[str, ...] = ()  # streams of --attach: stdin, stdout, stderr; () for all
    network: NetworkRequest = field(default_factory=NetworkRequest)
    ports: tuple[PortMapping, ...] = ()
    mounts: tuple[Mount, ...] = ()
    volumes_from: tuple[str, ...] = ()  # CONTAINER[:ro]; their mounts are in `mounts` after create
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
    limits: tuple[tuple[str, int | str], ...] = ()  # fields of kernel.limits.Limits that are set
    oom_score_adj: int = 0
    security: Security = field(default_factory=Security)
    health: Health | None = None
    logging: Logging = field(default_factory=Logging)
    unused: tuple[tuple[str, str], ...] = ()  # fields of HostConfig that have no effect here: inspect shows them

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without the defaults: every command reads records."""
        data = {name: value for name, value in vars(self).items() if value != _DEFAULTS.get(name)}
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
        """Build one from what `to_dict` returned."""
        values = {name: _CODECS[name](value) if name in _CODECS else _frozen(value) for name, value in data.items()}
        return cls(**values)


def _frozen(value: Any) -> Any:
    """Convert JSON's lists to tuples."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _fields(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _frozen(value) for name, value in values.items()}


# Records of minirun 0.2 have what is in force, but not the words with which it was asked for: these say the same.


def _mount(values: dict[str, Any]) -> Mount:
    mount = Mount(**_fields(values))
    if "modes" in values or mount.must_exist or mount.kind == "tmpfs":
        return mount
    words = ("ro" if mount.read_only else "", "nocopy" if mount.no_copy else "", mount.propagation)
    return replace(mount, modes=",".join(filter(None, words)))


def _security(values: dict[str, Any]) -> Security:
    security = Security(**_fields(values))
    if "given" in values:
        return security
    words = (
        "no-new-privileges" if security.no_new_privileges else "",
        f"apparmor={security.apparmor}" if security.apparmor else "",
        "seccomp" if security.seccomp else "",
    )
    return replace(security, given=tuple(filter(None, words)))


def _logging(values: dict[str, Any]) -> Logging:
    values = dict(values)
    if "details" not in values:
        return Logging(**_fields(values))
    details = tuple((name, text) for name, text in values.pop("details"))
    logging = Logging(**_fields(values))
    size = (("max-size", str(logging.size)),) if logging.size else ()
    files = (("max-file", str(logging.files)),) if logging.files > 1 else ()
    return replace(logging, options=(*size, *files, *details))


_DEFAULTS: dict[str, Any] = vars(Spec(image="", argv=()))
_CODECS: dict[str, Callable[[Any], Any]] = {
    "network": NetworkRequest.from_dict,
    "ports": lambda items: tuple(PortMapping.from_dict(values) for values in items),
    "mounts": lambda items: tuple(map(_mount, items)),
    "restart": lambda values: Restart(**values),
    "devices": lambda items: tuple(Device(**values) for values in items),
    "security": _security,
    "health": lambda values: Health(**_fields(values)),
    "logging": _logging,
}


@dataclass(frozen=True, eq=False, repr=False)
class Process:
    """A process, told from a later one with the same pid by its start time; valid during one boot."""

    pid: int
    started: int  # field 22 of /proc/PID/stat, in clock ticks since boot (proc_pid_stat(5))


@dataclass(frozen=True, eq=False, repr=False)
class Container:
    """The record of a container."""

    id: str
    name: str
    spec: Spec
    created: float  # all times are seconds since the epoch
    status: Status = Status.CREATED
    sandbox: str = ""  # the id of the container that owns its network namespace, its own or another; "" for the host's
    command: Process | None = None  # the command that started it, and undoes a start that fails
    shim: Process | None = None
    init: Process | None = None  # its first process
    started_at: float = 0
    finished_at: float = 0
    exit_code: int = 0
    error: str = ""
    paused: bool = False
    restarts: int = 0
    stop_requested: bool = False  # by a user: no restart policy starts it again
    second_pin: str = ""  # an old name that a rename may have left on the pinned network namespace
    health: str = ""  # JSON: Status, FailingStreak, Log, as Docker's State.Health; "": no check
    oom_killed: bool = False
    ids: tuple[int, ...] = ()  # of its user namespace: (host id of its root, count); () for the host's namespace

    @property
    def short_id(self) -> str:
        """The first 12 digits of the id."""
        return self.id[:12]


Subnet = TypeVar("Subnet", IPv4Network, IPv6Network)
Address = TypeVar("Address", IPv4Address, IPv6Address)


@dataclass(frozen=True)
class Pool(Generic[Subnet, Address]):
    """A network's addresses of one family."""

    subnet: Subnet
    gateway: Address
    ip_range: Subnet | None = None  # what IPAM allocates from; a requested address may be outside
    aux: tuple[tuple[str, Address], ...] = ()  # (name, address): in use elsewhere, never allocated


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
class Template:
    """What a configuration-only network holds for the networks that are made from it: their addresses."""

    ipv4: PoolRequest4
    ipv6: PoolRequest6 | None


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
    config_only: bool = False  # no network, but the configuration of others
    config_from: str = ""  # the configuration-only network whose configuration this one has
    owner: Process | None = None  # with which it ends


@dataclass(frozen=True, eq=False, repr=False)
class Network:
    """The record of a network."""

    id: str
    name: str
    created: float
    driver: str = "bridge"
    pool: Pool4 | None = None  # None: the driver allocates addresses
    pool6: Pool6 | None = None
    bridge: str = ""  # the link on the host, if the driver makes one
    mtu: int = 1500
    internal: bool = False  # no traffic to or from the outside
    attachable: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()  # driver options: -o KEY=VALUE
    env: tuple[tuple[str, str], ...] = ()  # environment variables for its containers
    template: Template | None = None  # of a configuration-only network, which has no endpoints
    config_from: str = ""  # the name of the configuration-only network that it was made from

    @property
    def chain(self) -> str:
        """The bridge's name as nftables accepts it in a chain's name."""
        return self.bridge.replace("-", "_").replace(".", "_")

    @property
    def subnet(self) -> IPv4Network:
        """The IPv4 subnet; ValueError if the network has none."""
        return self._pool().subnet

    @property
    def gateway(self) -> IPv4Address:
        """The IPv4 gateway; ValueError if the network has none."""
        return self._pool().gateway

    @property
    def is_default(self) -> bool:
        """Whether this is the default network, `bridge`."""
        return self.name == DEFAULT_NETWORK

    def option(self, key: str, default: str = "") -> str:
        """Return a driver option."""
        return dict(self.options).get(key, default)

    def _pool(self) -> Pool4:
        if self.pool is None:
            raise ValueError(f"network {self.name} has no address pool")
        return self.pool


def veth_name(sandbox: str, position: int) -> str:
    """Return the name of the host's end of an endpoint's veth pair."""
    return f"veth{sandbox[:8]}" + (f"-{position}" if position else "")


@dataclass(frozen=True, eq=False, repr=False)
class Endpoint:
    """One endpoint of a sandbox in a network. Sandbox and position determine the names of its veth pair."""

    sandbox: str
    position: int
    network: str  # the network's id
    address: IPv4Address | None = None  # None: the driver has not allocated one yet, or none at all
    address6: IPv6Address | None = None
    given_mac: str = ""  # --mac-address
    aliases: tuple[str, ...] = ()
    state: str = ""  # what the driver needs again to detach
    given_name: str = ""  # of its link in the container, where it is not ethN of its position
    sysctls: tuple[tuple[str, str], ...] = ()  # of its link, which is called IFNAME in them

    @property
    def id(self) -> str:
        """64 hexadecimal digits, as Docker's endpoints have; made of what identifies it here."""
        return sha256(f"{self.network} {self.sandbox} {self.position}".encode()).hexdigest()

    @property
    def interface(self) -> str:
        """The name of its link in the container."""
        return self.given_name or f"eth{self.position}"

    @property
    def veth(self) -> str:
        """The name of the veth's end on the host."""
        return veth_name(self.sandbox, self.position)

    @property
    def mac(self) -> str:
        """The MAC address, from the IPv4 address as in Docker: a reused address never contradicts an ARP cache."""
        if self.given_mac or self.address is None:
            return self.given_mac
        return "02:42:" + ":".join(f"{byte:02x}" for byte in self.address.packed)


@dataclass(frozen=True, eq=False, repr=False)
class Publication:
    """A published port in use.

    Its mapping has a fixed host port and a host address; a port that is published on all addresses has one publication
    for each family.
    """

    sandbox: str
    container: str
    mapping: PortMapping
    target: AnyAddress

    @property
    def is_relayed(self) -> bool:
        """Whether it leads from IPv6 to a container without IPv6: the shim relays it, the kernel cannot translate."""
        address = self.mapping.host_address
        return address is not None and address.version != self.target.version


class FaultKind(StrEnum):
    """What a fault does to the packets on a cable; `dns` changes the answers to queries."""

    PARTITION = "partition"
    LOSS = "loss"
    DELAY = "delay"
    BANDWIDTH = "bandwidth"
    BLACKHOLE = "blackhole"
    DNS = "dns"


class FaultState(StrEnum):
    """How far a fault is: being added by a command, in force, or being healed."""

    PENDING = "pending"
    ACTIVE = "active"
    HEALING = "healing"


BOTH, INWARD, OUTWARD = "both", "in", "out"  # directions of a fault, as the container sees them


@dataclass(frozen=True)
class Fault:
    """A fault on purpose: on the cable of a container, on those of a network, or in a network's names.

    A cable is what connects a network namespace with a bridge; containers that share a namespace share it.
    """

    id: str
    kind: FaultKind
    network: str = ""  # the network's id; "": all networks of the container
    container: str = ""  # the id of the container whose namespace it is; "": all of the network
    peer: str = ""  # of a partition, the other container
    direction: str = BOTH
    percent: float = 0.0  # of packets that are lost
    delay: int = 0  # microseconds, as is jitter
    jitter: int = 0
    rate: int = 0  # bits in a second
    ports: tuple[tuple[int, str], ...] = ()  # number, protocol; of a blackhole, (): all
    name: str = ""  # of DNS
    answers: tuple[str, ...] = ()  # addresses that the name gets
    failure: str = ""  # nxdomain, servfail, refused or timeout
    created: float = 0.0
    state: FaultState = FaultState.PENDING
    command: Process | None = None  # which adds it
    boot: str = ""  # of that process

    @property
    def text(self) -> str:
        """What it does, without saying to whom."""
        direction = "" if self.direction == BOTH else f", {self.direction}"
        if self.kind is FaultKind.LOSS:
            return f"loss {self.percent:g}%{direction}"
        if self.kind is FaultKind.DELAY:
            jitter = f" +-{self.jitter / 1000:g}ms" if self.jitter else ""
            return f"delay {self.delay / 1000:g}ms{jitter}{direction}"
        if self.kind is FaultKind.BANDWIDTH:
            return f"bandwidth {self.rate / 1000:g}kbit/s{direction}"
        if self.kind is FaultKind.BLACKHOLE:
            ports = ", ".join(f"{port}/{protocol}" for port, protocol in self.ports)
            return f"blackhole {ports or 'all'}"
        if self.kind is FaultKind.DNS:
            return f"dns {self.name}: {' '.join(self.answers) or self.failure}"
        return str(self.kind)


@dataclass(frozen=True)
class Place:
    """Where in a foreign firewall minirun has rules of its own, or has reported that it needs some."""

    kind: str  # nft, legacy, firewalld; told: only reported
    family: str
    table: str
    chain: str  # for firewalld, an interface
