"""What containers and networks are: plain frozen data, no I/O.

Without slots, and with eq and repr only where something is compared or shown: a class with all of them costs every
start twice as much to make, and there are ten here (5 ms of the 60 that `run --rm busybox true` takes).
"""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Any

DEFAULT_NETWORK = "bridge"
ANY_ADDRESS = IPv4Address("0.0.0.0")


class Status(StrEnum):
    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    EXITED = "exited"
    REMOVING = "removing"


ACTIVE = (Status.STARTING, Status.RUNNING)


class Mode(StrEnum):
    HOST = "host"
    NONE = "none"
    CONTAINER = "container"
    BRIDGE = "bridge"


@dataclass(frozen=True)
class PortMapping:
    """One published port; host_port 0 asks for a random one."""

    container_port: int
    host_port: int = 0
    protocol: str = "tcp"
    host_address: IPv4Address = ANY_ADDRESS

    def __str__(self) -> str:
        return f"{self.host_address}:{self.host_port}->{self.container_port}/{self.protocol}"


@dataclass(frozen=True)
class Volume:
    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class NetworkRequest:
    """What --net asks for: a mode, and the names of the networks (or of the container) that it goes with."""

    mode: Mode = Mode.BRIDGE
    names: tuple[str, ...] = (DEFAULT_NETWORK,)
    address: IPv4Address | None = None

    def __str__(self) -> str:
        if self.mode is Mode.CONTAINER:
            return f"container:{self.names[0]}"
        return ",".join(self.names) if self.mode is Mode.BRIDGE else self.mode


@dataclass(frozen=True)
class Spec:
    """What was asked for at create; it never changes afterwards."""

    image: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
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
    volumes: tuple[Volume, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        data["network"]["address"] = self.network.address and str(self.network.address)
        for port in data["ports"]:
            port["host_address"] = str(port["host_address"])
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Spec":
        network = data["network"]
        return cls(
            **{
                **data,
                "argv": tuple(data["argv"]),
                "env": tuple((key, value) for key, value in data["env"]),
                "network": NetworkRequest(
                    Mode(network["mode"]),
                    tuple(network["names"]),
                    IPv4Address(network["address"]) if network["address"] else None,
                ),
                "ports": tuple(
                    PortMapping(**{**port, "host_address": IPv4Address(port["host_address"])}) for port in data["ports"]
                ),
                "volumes": tuple(Volume(**volume) for volume in data["volumes"]),
            }
        )


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

    @property
    def short_id(self) -> str:
        return self.id[:12]


@dataclass(frozen=True, eq=False, repr=False)
class Network:
    id: str
    name: str
    subnet: IPv4Network
    gateway: IPv4Address
    bridge: str
    created: float
    mtu: int = 1500

    @property
    def chain(self) -> str:
        return self.bridge.replace("-", "_").replace(".", "_")


@dataclass(frozen=True, eq=False, repr=False)
class Endpoint:
    """One leg of a sandbox in a network. The names of its two links follow from the sandbox and the position."""

    sandbox: str
    position: int
    network: str  # the network's id
    address: IPv4Address

    @property
    def interface(self) -> str:
        return f"eth{self.position}"

    @property
    def veth(self) -> str:
        return f"veth{self.sandbox[:8]}" + (f"-{self.position}" if self.position else "")

    @property
    def mac(self) -> str:
        """From the address, as Docker does it: a returning address never contradicts a neighbour's ARP cache."""
        return "02:42:" + ":".join(f"{byte:02x}" for byte in self.address.packed)


@dataclass(frozen=True, eq=False, repr=False)
class Publication:
    """A published port in force: who answers for which host port."""

    sandbox: str
    container: str
    mapping: PortMapping
    target: IPv4Address
