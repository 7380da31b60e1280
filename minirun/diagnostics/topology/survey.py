"""Read the topology from the kernel and the records."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from minirun.diagnostics.topology.data import Bridge, Link, Namespace, Port, Rules, Topology
from minirun.instance import Instance
from minirun.kernel import rulesets
from minirun.kernel.link_queries import Interface, gateways, interfaces
from minirun.kernel.netns import entered, netns_names
from minirun.kernel.rulesets import nft_tables
from minirun.model import Container, Endpoint, FaultKind, Mode, Network, Publication, Status
from minirun.network.dns.veth import dns_veth_name
from minirun.network.faults import describe_fault
from minirun.network.firewall.faults import targets
from minirun.network.firewall.foreign.detect import is_own, owner_of
from minirun.network.firewall.policy import Policy

_LIVE = (Status.RUNNING, Status.RESTARTING, Status.STARTING)
DNS_SERVER = "DNS server"  # the owner of a network's link to minirun's DNS server


@dataclass(frozen=True)
class View:
    """The interfaces and default gateways of one network namespace."""

    interfaces: tuple[Interface, ...]
    gateways: tuple[tuple[str, int], ...]  # address, index of the interface

    def interface(self, name: str) -> Interface | None:
        """Find an interface by name."""
        return next((interface for interface in self.interfaces if interface.name == name), None)

    def gateway_of(self, interface: Interface) -> str:
        """Return the default gateway behind an interface; "" if there is none."""
        return next((address for address, index in self.gateways if index == interface.index), "")


_NOTHING = View((), ())


@dataclass(frozen=True)
class _Survey:
    """What was read: the host's view, those of pinned namespaces by name, and the live containers."""

    instance: Instance
    host: View
    pinned: dict[str, View]
    containers: list[Container]

    def members(self, sandbox: str) -> list[str]:
        return sorted(container.name for container in self.containers if container.sandbox == sandbox)


def read_topology(instance: Instance) -> Topology:
    """Read the topology of this host, as far as its namespaces are pinned below /run/netns."""
    host = _view()
    pinned = {name: _view_of(name) for name in netns_names()}
    containers = [container for container in instance.store.containers() if container.status in _LIVE]
    survey = _Survey(instance, host, pinned, containers)
    networks = sorted(instance.store.networks(), key=lambda network: (not network.is_default, network.name))
    bridges = [_bridge_of(survey, network) for network in networks]
    known = {bridge.name for bridge in bridges} | {dns_veth_name(network) for network in networks}
    bridges += [
        _foreign_bridge(survey, interface)
        for interface in sorted(host.interfaces, key=lambda interface: (not _words_of(interface), interface.name))
        if interface.kind == "bridge" and interface.name not in known
    ]
    attached = {(link.netns, link.inside) for bridge in bridges for link in bridge.members}
    servers = {link.netns for bridge in bridges for link in bridge.members if link.owner == DNS_SERVER}
    namespaces = [_namespace(survey, name, attached) for name in pinned if name not in {instance.dns_netns, *servers}]
    return Topology(
        host=os.uname().nodename,
        uplinks=tuple(_uplink(interface) for interface in host.interfaces if _is_uplink(interface)),
        bridges=tuple(bridge for bridge in bridges if bridge.members or bridge.up or not bridge.is_ours),
        namespaces=tuple(namespaces),
        on_host=tuple(container.name for container in containers if container.spec.network.mode is Mode.HOST),
        rules=tuple(_rules()),
        ids=tuple(sorted((container.name, container.short_id) for container in containers)),
    )


def _rules() -> Iterator[Rules]:
    """Describe every table that sees IP packets; minirun's own table of family bridge belongs to its other one."""
    for family, table in sorted(nft_tables()):
        if family == "bridge" and is_own(table):
            continue
        chains = list(rulesets.chains({(family, table)}))
        drops = tuple(chain.name for chain in chains if chain.hook is not None and chain.drops)
        names = tuple(chain.name for chain in chains)
        yield Rules(f"{family} {table}", owner_of(family, table, names), drops)


def _view() -> View:
    return View(tuple(interfaces()), tuple(gateways()))


def _view_of(name: str) -> View:
    try:
        with entered(name):
            return _view()
    except OSError:  # a file that is not a namespace, or a namespace that was just removed
        return _NOTHING


def _uplink(interface: Interface) -> str:
    return " ".join([interface.name, *map(str, interface.addresses)])


def _is_uplink(interface: Interface) -> bool:
    """Whether it leads out of the host: not loopback, not a bridge, not a port of a bridge."""
    if interface.name == "lo" or interface.kind == "bridge" or interface.master:
        return False
    return interface.up or bool(interface.addresses)


# --- minirun's networks


def _bridge_of(survey: _Survey, network: Network) -> Bridge:
    interface = survey.host.interface(network.bridge) if network.bridge else None
    store = survey.instance.store
    endpoints = store.endpoints(network=network.id)
    members = sorted((_link_of(survey, network, endpoint) for endpoint in endpoints), key=lambda link: link.owner)
    if dns := survey.host.interface(dns_veth_name(network)):
        names = [each for each in store.faults_in_force() if each.kind is FaultKind.DNS and each.network == network.id]
        texts = tuple(f"fault {fault.id}: {describe_fault(survey.instance, fault)}" for fault in names)
        members.append(Link(dns.name, "", survey.instance.dns_netns, DNS_SERVER, up=dns.up, faults=texts))
    problem = ""
    if network.bridge and endpoints and interface is None:
        problem = "the bridge is missing"
    elif interface is not None and endpoints and not interface.up:
        problem = "the bridge is down"
    return Bridge(
        name=network.bridge or network.name,
        kind=network.driver,
        network=network.name,
        addresses=tuple(map(str, interface.addresses)) if interface else (),
        subnet=", ".join(str(pool.subnet) for pool in (network.pool, network.pool6) if pool),
        internal=network.internal,
        up=interface is not None and interface.up,
        members=tuple(members),
        problem=problem,
        outward=_outward(network),
    )


def _outward(network: Network) -> str:
    """How the network's packets leave it."""
    if network.internal:
        return ""
    if not network.bridge:
        return "LAN"
    policy = Policy.of(network)
    return "NAT" if any(policy.masquerades(version) for version in policy.modes) else "routed"


def _link_of(survey: _Survey, network: Network, endpoint: Endpoint) -> Link:
    store = survey.instance.store
    owner = store.container(endpoint.sandbox)
    name = owner.name if owner else endpoint.sandbox[:12]
    names = [name, *survey.members(endpoint.sandbox)]
    netns = next((each for each in names if each in survey.pinned), "")
    view = survey.pinned.get(netns, _NOTHING)
    inner = view.interface(endpoint.interface)
    addresses = (endpoint.address, endpoint.address6)
    ports = [each for each in store.ports(container=endpoint.sandbox) if each.target in addresses]
    return Link(
        outside=endpoint.veth if network.bridge else "",
        inside=endpoint.interface,
        netns=netns,
        owner=name,
        addresses=tuple(map(str, inner.addresses)) if inner else (),
        mac=inner.mac if inner else "",
        gateway=view.gateway_of(inner) if inner else "",
        up=inner is not None and inner.up,
        ports=tuple(map(_port, ports)),
        faults=tuple(
            f"fault {fault.id}: {describe_fault(survey.instance, fault)}"
            for fault in store.faults_in_force()
            if fault.kind is not FaultKind.DNS and targets(fault, [(endpoint, network)])
        ),
        problem=_problem_inside(endpoint, inner) or _problem_outside(survey.host, network, endpoint, inner),
    )


def _port(publication: Publication) -> Port:
    """Describe a published port or range: 80/tcp, or 8000-8010/tcp."""
    first, last = publication.mapping.private_ports[0], publication.mapping.private_ports[-1]
    ports = first if first == last else f"{first.partition('/')[0]}-{last}"
    return Port(publication.mapping.place, ports)


def _problem_inside(endpoint: Endpoint, inner: Interface | None) -> str:
    """Compare the container's end of an endpoint with its record; "" if they agree."""
    if inner is None:
        return f"{endpoint.interface} is missing in the namespace"
    recorded = {str(address) for address in (endpoint.address, endpoint.address6) if address}
    missing = recorded - {str(address.address) for address in inner.addresses}
    if missing:
        return f"{endpoint.interface} lacks its address {', '.join(sorted(missing))}"
    return "" if inner.up else f"{endpoint.interface} is down"


def _problem_outside(host: View, network: Network, endpoint: Endpoint, inner: Interface | None) -> str:
    """Compare the host's end of an endpoint with its record; "" if they agree."""
    if not network.bridge:
        return ""
    outer, bridge = host.interface(endpoint.veth), host.interface(network.bridge)
    if outer is None:
        return f"{endpoint.veth} is missing on the host"
    if bridge is None or outer.master != bridge.index:
        return f"{endpoint.veth} is not attached to {network.bridge}"
    if not outer.up:
        return f"{endpoint.veth} is down"
    return "" if inner and outer.peer == inner.index else f"{endpoint.veth} is connected to another interface"


# --- bridges and links of others


def _words_of(interface: Interface) -> list[str]:
    """The words of an alias that an instance of minirun has given the link, this one or that of another state root."""
    words = interface.alias.split()
    return words if words and (words[0] == "minirun" or words[0].startswith("minirun-")) else []


def _foreign_bridge(survey: _Survey, bridge: Interface) -> Bridge:
    ports = [interface for interface in survey.host.interfaces if interface.master == bridge.index]
    members = sorted((_foreign_link(survey, port) for port in ports), key=lambda link: (not link.inside, link.owner))
    words = _words_of(bridge)
    return Bridge(
        bridge.name,
        "bridge",
        "",
        tuple(map(str, bridge.addresses)),
        up=bridge.up,
        members=tuple(members),
        other_root=words[2] if words[1:2] == ["network"] and len(words) > 3 else "",
    )


def _foreign_link(survey: _Survey, port: Interface) -> Link:
    """Describe a port of a foreign bridge. Its other end may be in a namespace that is not pinned."""
    words = _words_of(port)
    is_dns = words[1:3] == ["DNS", "server"]
    for name, view in survey.pinned.items():
        for other in view.interfaces:
            if _are_peers(port, other):
                if is_dns:
                    return Link(port.name, "", name, DNS_SERVER, up=port.up)
                addresses = tuple(map(str, other.addresses))
                return Link(port.name, other.name, name, name, addresses, other.mac, up=port.up)
    return Link(port.name, "", "", DNS_SERVER if is_dns else words[1] if len(words) > 1 else port.alias, up=port.up)


def _are_peers(one: Interface, other: Interface) -> bool:
    """Whether two interfaces of different namespaces are the ends of one veth pair."""
    return one.kind == other.kind == "veth" and (one.peer, one.index) == (other.index, other.peer)


def _namespace(survey: _Survey, name: str, attached: set[tuple[str, str]]) -> Namespace:
    """Describe a pinned namespace, with the links that are attached to no bridge."""
    sandbox = next((container.sandbox for container in survey.containers if container.name == name), "")
    containers = survey.members(sandbox) if sandbox else []
    pins = {name, *containers}  # one namespace is pinned under the name of each container in it
    links = [
        _unattached_link(survey, name, interface)
        for interface in survey.pinned[name].interfaces
        if interface.name != "lo" and not any((pin, interface.name) in attached for pin in pins)
    ]
    return Namespace(name, tuple(containers), tuple(links))


def _unattached_link(survey: _Survey, name: str, interface: Interface) -> Link:
    """Describe an interface of a namespace, with its other end if that is in another pinned namespace."""
    addresses = tuple(map(str, interface.addresses))
    for other, view in survey.pinned.items():
        for peer in view.interfaces:
            if other != name and _are_peers(interface, peer):
                return Link(peer.name, interface.name, name, other, addresses, interface.mac, up=interface.up)
    return Link("", interface.name, name, "", addresses, interface.mac, up=interface.up)
