"""From what the kernel has, and what is on record, to the map."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from minirun.diagnostics.topology.data import Map, Namespace, Plug, Port, Rules, Switch
from minirun.instance import Instance
from minirun.kernel import rulesets
from minirun.kernel.netns import PINS, entered
from minirun.kernel.nft import nft_tables
from minirun.kernel.topology import Interface, gateways, interfaces
from minirun.model import Container, Endpoint, Mode, Network, Status
from minirun.network.dns.veth import leg_name
from minirun.network.firewall.foreign.detect import owner_of

_LIVE = (Status.RUNNING, Status.RESTARTING, Status.STARTING)


@dataclass(frozen=True)
class View:
    """What is in one namespace."""

    links: tuple[Interface, ...]
    gateways: tuple[tuple[str, int], ...]

    def called(self, name: str) -> Interface | None:
        return next((one for one in self.links if one.name == name), None)

    def gateway_of(self, link: Interface) -> str:
        return next((address for address, index in self.gateways if index == link.index), "")


def read(instance: Instance) -> Map:
    host, inside = _look(), {name: _look_into(name) for name in _pinned()}
    containers = [one for one in instance.store.containers() if one.status in _LIVE]
    networks = instance.store.networks()
    switches = [_of_network(instance, network, host, inside, containers) for network in networks]
    known = {one.name for one in switches} | {leg_name(network) for network in networks}
    switches += [
        _foreign(link, host, inside) for link in host.links if link.kind == "bridge" and link.name not in known
    ]
    cabled = {(plug.netns, plug.inside) for one in switches for plug in one.plugs}
    namespaces = [_namespace(name, view, inside, containers, cabled) for name, view in inside.items()]
    return Map(
        host=os.uname().nodename,
        uplinks=tuple(_uplink(link) for link in host.links if _is_uplink(link, host)),
        switches=tuple(one for one in switches if one.plugs or one.up or not one.is_ours),
        namespaces=tuple(one for one in namespaces if one.name != instance.resolver_netns),
        on_host=tuple(one.name for one in containers if one.spec.network.mode is Mode.HOST),
        rules=tuple(_rules()),
    )


def _rules() -> Iterator[Rules]:
    """Of every table that sees IP packets; and minirun's own of bridges."""
    for family, table in sorted(nft_tables()):
        chains = list(rulesets.chains({(family, table)}))
        drops = tuple(chain.name for chain in chains if chain.hook is not None and chain.drops)
        names = tuple(chain.name for chain in chains)
        yield Rules(f"{family} {table}", owner_of(family, table, names), drops)


def _pinned() -> list[str]:
    return sorted(os.listdir(PINS)) if PINS.is_dir() else []


def _look() -> View:
    return View(tuple(interfaces()), tuple(gateways()))


def _look_into(name: str) -> View:
    try:
        with entered(name):
            return _look()
    except OSError:  # a file that is no namespace, or one that has just gone
        return View((), ())


def _uplink(link: Interface) -> str:
    return " ".join([link.name, *map(str, link.addresses)])


def _is_uplink(link: Interface, host: View) -> bool:
    """What leads out of the host: no loopback, no bridge, no port of one."""
    return link.name != "lo" and link.kind != "bridge" and not link.master and (link.up or bool(link.addresses))


# --- minirun's networks


def _of_network(
    instance: Instance, network: Network, host: View, inside: dict[str, View], containers: list[Container]
) -> Switch:
    link = host.called(network.bridge) if network.bridge else None
    endpoints = instance.store.endpoints(network=network.id)
    plugs = [_plug(instance, network, end, host, inside, containers) for end in endpoints]
    if resolver := _resolver_leg(instance, network, host):
        plugs.append(resolver)
    trouble = ""
    if network.bridge and endpoints and link is None:
        trouble = "the bridge is gone"
    elif link is not None and endpoints and not link.up:
        trouble = "the bridge is down"
    return Switch(
        name=network.bridge or network.name,
        kind=network.driver,
        network=network.name,
        addresses=tuple(map(str, link.addresses)) if link else (),
        subnet=", ".join(str(pool.subnet) for pool in (network.pool, network.pool6) if pool),
        internal=network.internal,
        up=link is not None and link.up,
        plugs=tuple(plugs),
        trouble=trouble,
    )


def _plug(
    instance: Instance,
    network: Network,
    end: Endpoint,
    host: View,
    inside: dict[str, View],
    containers: list[Container],
) -> Plug:
    owner = instance.store.container(end.sandbox)
    name = owner.name if owner else end.sandbox[:12]
    members = [one.name for one in containers if one.sandbox == end.sandbox]
    pin = next((one for one in (name, *members) if one in inside), "")
    view = inside.get(pin, View((), ()))
    outside, eth = host.called(end.veth), view.called(end.interface)
    ports = [one for one in instance.store.ports(container=end.sandbox) if one.target in (end.address, end.address6)]
    return Plug(
        outside=end.veth if network.bridge else "",
        inside=end.interface,
        netns=pin,
        owner=name,
        addresses=tuple(map(str, eth.addresses)) if eth else (),
        mac=eth.mac if eth else "",
        gateway=view.gateway_of(eth) if eth else "",
        up=eth is not None and eth.up,
        ports=tuple(Port(one.mapping.place, _inside(one.mapping.private_ports)) for one in ports),
        trouble=_trouble(network, end, host, outside, eth),
    )


def _inside(ports: list[str]) -> str:
    """80/tcp, or 8000-8010/tcp."""
    if len(ports) == 1:
        return ports[0]
    return f"{ports[0].partition('/')[0]}-{ports[-1]}"


def _trouble(network: Network, end: Endpoint, host: View, outside: Interface | None, eth: Interface | None) -> str:
    if eth is None:
        return f"{end.interface} is missing in the namespace"
    wanted = {str(one) for one in (end.address, end.address6) if one}
    lacking = wanted - {str(one.address) for one in eth.addresses}
    if lacking:
        return f"{end.interface} has not its address {', '.join(sorted(lacking))}"
    if not eth.up:
        return f"{end.interface} is down"
    if not network.bridge:
        return ""
    if outside is None:
        return f"{end.veth} is missing on the host"
    bridge = host.called(network.bridge)
    if bridge is None or outside.master != bridge.index:
        return f"{end.veth} is not plugged into {network.bridge}"
    if not outside.up:
        return f"{end.veth} is down"
    return "" if outside.peer == eth.index else f"{end.veth} leads somewhere else"


def _resolver_leg(instance: Instance, network: Network, host: View) -> Plug | None:
    leg = host.called(leg_name(network))
    if leg is None:
        return None
    return Plug(leg.name, "", instance.resolver_netns, "resolver", up=leg.up)


# --- what others have made


def _foreign(bridge: Interface, host: View, inside: dict[str, View]) -> Switch:
    plugs = [_foreign_plug(link, inside) for link in host.links if link.master == bridge.index]
    return Switch(bridge.name, "bridge", "", tuple(map(str, bridge.addresses)), up=bridge.up, plugs=tuple(plugs))


def _foreign_plug(link: Interface, inside: dict[str, View]) -> Plug:
    """Its other end may be in a namespace that nobody has pinned."""
    for name, view in inside.items():
        for other in view.links:
            if link.kind == "veth" and other.kind == "veth" and (other.peer, other.index) == (link.index, link.peer):
                return Plug(link.name, other.name, name, name, tuple(map(str, other.addresses)), other.mac, up=link.up)
    return Plug(link.name, "", "", link.alias, up=link.up)


def _namespace(
    name: str, view: View, inside: dict[str, View], containers: list[Container], cabled: set[tuple[str, str]]
) -> Namespace:
    sandbox = next((one.sandbox for one in containers if one.name == name), "")
    members = sorted(one.name for one in containers if sandbox and one.sandbox == sandbox)
    pins = {name, *members}  # one namespace, under the name of each
    loose = [
        link for link in view.links if link.name != "lo" and not pins & {pin for pin, end in cabled if end == link.name}
    ]
    return Namespace(name, tuple(members), tuple(_cable(link, name, inside) for link in loose))


def _cable(link: Interface, name: str, inside: dict[str, View]) -> Plug:
    """From one namespace into another."""
    for other, view in inside.items():
        for peer in view.links:
            if other != name and link.kind == "veth" and (peer.peer, peer.index) == (link.index, link.peer):
                return Plug(peer.name, link.name, name, other, tuple(map(str, link.addresses)), link.mac, up=link.up)
    return Plug("", link.name, name, "", tuple(map(str, link.addresses)), link.mac, up=link.up)
