"""Which client asks and which names it knows, read from the store and again once a record has changed."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from minirun.model import Fault, FaultKind, Network
from minirun.network.dns.upstream import HostResolvers, Upstream
from minirun.network.dns.veth import HOST_NAME
from minirun.store import Store
from minirun.store.lookup import Member

_ARPA, _ARPA6 = ".in-addr.arpa", ".ip6.arpa"
_NO_MEMBERS: tuple[Member, ...] = ()


@dataclass(frozen=True, eq=False)
class Client:
    """A sandbox that asks.

    sandbox: its id
    networks: those with names, in the sandbox's order
    links: (network id, alias) to the id of the container that --link means
    upstreams: the servers of --dns; empty for the host's resolvers
    leads_outside: whether one of its networks is not internal
    """

    sandbox: str
    networks: tuple[Network, ...]
    links: dict[tuple[str, str], str]
    upstreams: tuple[Upstream, ...]
    leads_outside: bool


@dataclass(frozen=True, eq=False)
class Addresses:
    """The packed addresses of a name."""

    ipv4: tuple[bytes, ...]
    ipv6: tuple[bytes, ...]


class _NetworkNames:
    """The names of one network's members."""

    def __init__(self, members: list[Member]) -> None:
        self.by_name: dict[str, tuple[Member, ...]] = {}
        self.by_id = {member.container: member for member in members}
        self.by_address: dict[bytes, Member] = {}
        for member in members:
            names = (member.name, member.container[:12], member.hostname, *member.aliases)
            for name in {name.lower() for name in names if name}:
                self.by_name[name] = (*self.by_name.get(name, ()), member)
            self.by_address |= {address: member for address in (member.address, member.address6) if address}


class Records:
    """The store's records as a DNS server needs them, cached until any record changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._host_resolvers = HostResolvers()
        self._version = -1
        self._clients: dict[str, Client | None] = {}
        self._names: dict[str, _NetworkNames] = {}
        self._faults: list[Fault] = []

    def client(self, address: str) -> Client | None:
        """Return the sandbox with this IPv4 address; None for an address of no sandbox.

        Call it first for every query: it drops the cache when a record has changed. Raises sqlite3.Error.
        """
        version = self._store.data_version()
        if version != self._version:
            self._clients.clear()
            self._names.clear()
            self._faults = [fault for fault in self._store.faults_in_force() if fault.kind is FaultKind.DNS]
            self._version = version
        if address not in self._clients:
            self._clients[address] = self._read_client(address)
        return self._clients[address]

    def fault(self, client: Client, name: str) -> Fault | None:
        """Return the fault that this name has on purpose in one of the client's networks (`minirun fault dns`)."""
        for fault in self._faults:
            for network in client.networks:
                if fault.network == network.id and name in (fault.name, f"{fault.name}.{network.name.lower()}"):
                    return fault
        return None

    def find(self, client: Client, name: str) -> Addresses | None:
        """Return the addresses of a name as this client knows it; None for a name of no container.

        The first of the client's networks that has the name decides; NAME.NETWORK selects one.
        """
        if name == HOST_NAME:
            return _gateway_addresses(client)
        for network in client.networks:
            if members := self._members(client, network, name):
                return _addresses(members)
        for network in client.networks:
            suffix = f".{network.name.lower()}"
            if name.endswith(suffix) and (members := self._members(client, network, name.removesuffix(suffix))):
                return _addresses(members)
        return None

    def find_name(self, client: Client, name: str) -> str | None:
        """Return the container's name for the name of an address, such as 4.3.2.1.in-addr.arpa.

        "" for an unused address of one of the client's networks; None for any other address, or no address at all.
        """
        address = _reverse_address(name)
        if address is None:
            return None
        for network in client.networks:
            member = self._names_of(network).by_address.get(address.packed)
            if member is not None:
                return f"{member.name}.{network.name}"
            if any(pool is not None and address in pool.subnet for pool in (network.pool, network.pool6)):
                return ""
        return None

    def upstreams(self, client: Client) -> tuple[Upstream, ...]:
        """Return the servers for other names; a client without a way outside has none but those of its --dns."""
        if client.upstreams or not client.leads_outside:
            return client.upstreams
        return self._host_resolvers.current()

    def _members(self, client: Client, network: Network, name: str) -> tuple[Member, ...]:
        names = self._names_of(network)
        reference = client.links.get((network.id, name), "")
        if linked := names.by_id.get(reference):
            return (linked,)
        # The container of a link may have been made after it: the link has its name then.
        return names.by_name.get(reference.lower()) or names.by_name.get(name, _NO_MEMBERS)

    def _names_of(self, network: Network) -> _NetworkNames:
        if network.id not in self._names:
            self._names[network.id] = _NetworkNames(self._store.named_members(network.id))
        return self._names[network.id]

    def _read_client(self, address: str) -> Client | None:
        store = self._store
        sandbox = store.sandbox_at(int(IPv4Address(address)))
        if sandbox is None:
            return None
        # The sandbox of a removed container may live on with its other members.
        owner = store.container(sandbox) or next(iter(store.members(sandbox)), None)
        if owner is None:
            return None
        endpoints = store.endpoints(sandbox=sandbox)
        networks = [network for endpoint in endpoints if (network := store.network(endpoint.network))]
        by_reference = {key: network.id for network in networks for key in (network.name, network.id)}
        leads_outside = any(not network.internal for network in networks)
        netns = store.pin_of(sandbox)
        return Client(
            sandbox=sandbox,
            networks=tuple(network for network in networks if not network.is_default),
            links={
                (by_reference[attachment.network], alias.lower()): container
                for attachment in owner.spec.network.attachments
                for container, alias in (attachment.links if attachment.network in by_reference else ())
            },
            upstreams=tuple(
                Upstream(server, _upstream_namespace(server, leads_outside, netns)) for server in owner.spec.dns
            ),
            leads_outside=leads_outside,
        )


def _upstream_namespace(server: str, leads_outside: bool, netns: str) -> str:
    """The client's own namespace for a loopback address, which --dns means there, and for a client without a way
    outside, which must not get one through the host; else the host's."""
    return netns if not leads_outside or server.startswith("127.") or server == "::1" else ""


def _gateway_addresses(client: Client) -> Addresses:
    """The host's addresses on the client's first network with IPv4."""
    first = next((network for network in client.networks if network.pool), None)
    if first is None:
        return Addresses((), ())
    return Addresses((first.gateway.packed,), (first.pool6.gateway.packed,) if first.pool6 else ())


def _addresses(members: tuple[Member, ...]) -> Addresses:
    return Addresses(
        tuple(member.address for member in members if member.address),
        tuple(member.address6 for member in members if member.address6),
    )


def _reverse_address(name: str) -> IPv4Address | IPv6Address | None:
    """The address that a name in in-addr.arpa (RFC 1035 section 3.5) or ip6.arpa (RFC 3596) stands for."""
    try:
        if name.endswith(_ARPA):
            return IPv4Address(".".join(reversed(name.removesuffix(_ARPA).split("."))))
        if name.endswith(_ARPA6):
            digits = "".join(reversed(name.removesuffix(_ARPA6).split(".")))
            return IPv6Address(bytes.fromhex(digits)) if len(digits) == 32 else None
    except ValueError:
        pass
    return None
