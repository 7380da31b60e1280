"""Who asks, and whom that one knows by which name: read from the records, and read again once one has changed."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from minirun.model import Network
from minirun.network.dns.upstream import HostServers, Server
from minirun.network.dns.veth import HOST_NAME
from minirun.store import Store
from minirun.store.lookup import Member

_ARPA, _ARPA6 = ".in-addr.arpa", ".ip6.arpa"
_NOBODY: tuple[Member, ...] = ()


@dataclass(frozen=True, eq=False)
class Asker:
    """A sandbox with an address in a network."""

    sandbox: str
    networks: tuple[Network, ...]  # those with names, in its own order
    links: dict[tuple[str, str], str]  # (network, alias): the container that is meant
    servers: tuple[Server, ...]  # where its other questions go; (): to the host's resolvers
    leads_outside: bool


@dataclass(frozen=True, eq=False)
class Addresses:
    """What a name stands for."""

    ipv4: tuple[bytes, ...]
    ipv6: tuple[bytes, ...]


class _Names:
    """One network's."""

    def __init__(self, members: list[Member]) -> None:
        self.by_name: dict[str, tuple[Member, ...]] = {}
        self.by_id = {member.container: member for member in members}
        self.by_address: dict[bytes, Member] = {}
        for member in members:
            names = (member.name, member.container[:12], member.hostname, *member.aliases)
            for name in {name.lower() for name in names if name}:
                self.by_name[name] = (*self.by_name.get(name, ()), member)
            self.by_address |= {address: member for address in (member.address, member.address6) if address}


class Directory:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._host = HostServers()
        self._version = -1
        self._askers: dict[str, Asker | None] = {}
        self._names: dict[str, _Names] = {}

    def asker(self, address: str) -> Asker | None:
        """None: nobody of ours. To be asked first, for every question: it looks whether a record has changed."""
        version = self._store.data_version()
        if version != self._version:
            self._askers.clear()
            self._names.clear()
            self._version = version
        if address not in self._askers:
            self._askers[address] = self._read_asker(address)
        return self._askers[address]

    def find(self, asker: Asker, name: str) -> Addresses | None:
        """None: nobody that it knows. The first of its networks in which the name is known decides."""
        if name == HOST_NAME:
            return _gateway(asker)
        for network in asker.networks:
            if members := self._members(asker, network, name):
                return _addresses(members)
        for network in asker.networks:
            suffix = f".{network.name.lower()}"
            if name.endswith(suffix) and (members := self._members(asker, network, name.removesuffix(suffix))):
                return _addresses(members)
        return None

    def find_name(self, asker: Asker, name: str) -> str | None:
        """For the name of an address (4.3.2.1.in-addr.arpa), the container's; "" when it is an address of a network of
        the asker's which nobody has, None when it is somewhere else, or no address."""
        address = _reversed(name)
        if address is None:
            return None
        for network in asker.networks:
            member = self._of(network).by_address.get(address.packed)
            if member is not None:
                return f"{member.name}.{network.name}"
            if any(pool is not None and address in pool.subnet for pool in (network.pool, network.pool6)):
                return ""
        return None

    def servers(self, asker: Asker) -> tuple[Server, ...]:
        """Of one that is only in networks without a way out, only those of its own, asked from where it is itself."""
        if asker.servers or not asker.leads_outside:
            return asker.servers
        return self._host.now()

    def _members(self, asker: Asker, network: Network, name: str) -> tuple[Member, ...]:
        names = self._of(network)
        linked = names.by_id.get(asker.links.get((network.id, name), ""))
        return (linked,) if linked else names.by_name.get(name, _NOBODY)

    def _of(self, network: Network) -> _Names:
        if network.id not in self._names:
            self._names[network.id] = _Names(self._store.named_members(network.id))
        return self._names[network.id]

    def _read_asker(self, address: str) -> Asker | None:
        store = self._store
        sandbox = store.sandbox_at(int(IPv4Address(address)))
        if sandbox is None:
            return None
        # Others may live on in the sandbox of one that is removed.
        owner = store.container(sandbox) or next(iter(store.members(sandbox)), None)
        if owner is None:
            return None
        ends = store.endpoints(sandbox=sandbox)
        networks = [network for end in ends if (network := store.network(end.network))]
        by_reference = {key: network.id for network in networks for key in (network.name, network.id)}
        leads_outside = any(not network.internal for network in networks)
        pin = store.pin_of(sandbox)
        return Asker(
            sandbox=sandbox,
            networks=tuple(network for network in networks if not network.is_default),
            links={
                (by_reference[one.network], alias.lower()): container
                for one in owner.spec.network.attachments
                for container, alias in (one.links if one.network in by_reference else ())
            },
            servers=tuple(Server(one, _asked_from(one, leads_outside, pin)) for one in owner.spec.dns),
            leads_outside=leads_outside,
        )


def _asked_from(server: str, leads_outside: bool, pin: str) -> str:
    """A loopback address that was given with --dns is the container's own; and whoever has no way out gets none by way
    of the host."""
    return pin if not leads_outside or server.startswith("127.") or server == "::1" else ""


def _gateway(asker: Asker) -> Addresses:
    """Where the host is."""
    first = next((network for network in asker.networks if network.pool), None)
    if first is None:
        return Addresses((), ())
    return Addresses((first.gateway.packed,), (first.pool6.gateway.packed,) if first.pool6 else ())


def _addresses(members: tuple[Member, ...]) -> Addresses:
    return Addresses(
        tuple(member.address for member in members if member.address),
        tuple(member.address6 for member in members if member.address6),
    )


def _reversed(name: str) -> IPv4Address | IPv6Address | None:
    try:
        if name.endswith(_ARPA):
            return IPv4Address(".".join(reversed(name.removesuffix(_ARPA).split("."))))
        if name.endswith(_ARPA6):
            digits = "".join(reversed(name.removesuffix(_ARPA6).split(".")))
            return IPv6Address(bytes.fromhex(digits)) if len(digits) == 32 else None
    except ValueError:
        pass
    return None
