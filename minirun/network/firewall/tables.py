"""The nft tables: a pure function from records to their whole text, and single-element changes in between.

How a packet meets the table of family inet (network/rules.py):

    guard        (prerouting, raw)     dropped, unless it comes from this host itself: what goes to 127.0.0.0/8 (the
                                       bridges have route_localnet on, and without this a neighbour would reach the
                                       host's 127.0.0.1), and what goes straight to a container's address. Of a
                                       network's own it asks no more than whether it is an internal one's
    prerouting   (nat, dstnat)         to an address of this host, with a published port: translate to the container
    output       (nat, -100)           the same for what the host itself sends
    forward      (filter)              into a network: only replies, published ports, and its own members; out of an
                                       internal one: nothing
    postrouting  (nat, srcnat)         out of a network: as the host (MASQUERADE); so, too, where a reply would
                                       otherwise find a shorter way back and never be translated

What costs every packet comes first or not at all: round trips between containers are within 3 % of a bridge whose rules
are Docker's.

A published port is one element of a map, looked up once however many there are, and so is a range. Its key is host
address, protocol and port, so a stale twin cannot exist. Nothing is ever read back to decide.

The host's own ::1 wants two more steps, since IPv6 knows no route_localnet. The reply of a container has its
destination translated back to ::1, which the kernel takes from no interface but lo. So `loopback_reply` replaces it,
just after that, by the bridge's address, with which it passes the route lookup; and `loopback_input` puts ::1 back once
the packet is on its way to a socket. Nobody can pass for it: only of a reply to what this host began is the destination
replaced, and a packet *from* ::1 that has not come by lo is refused by the kernel.

Before all of that a frame meets the table of family bridge (network/spoofing.py), where a container enters the wire.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from minirun.kernel.nft import NftError, nft_apply
from minirun.kernel.nft_elements import SetElement, elements_add, elements_del
from minirun.model import Endpoint, Network, Publication
from minirun.network.firewall import antispoof, rules
from minirun.network.firewall.elements import Element
from minirun.network.firewall.policy import Policy
from minirun.store import Store

Leg = tuple[Endpoint, Network]
Ruled = tuple[Publication, Policy]
_KINDS = {"inet": rules.KINDS, "bridge": antispoof.KINDS}


def render(
    table: str, networks: Iterable[Network], publications: Iterable[Publication], endpoints: Iterable[Endpoint] = ()
) -> str:
    """The complete tables as one transaction: made if missing, emptied, and defined anew."""
    nets = {net.id: net for net in networks if net.bridge}
    legs = [(end, nets[end.network]) for end in endpoints if end.network in nets]
    inet = [element for net in nets.values() for element in rules.elements_of_network(net)]
    ports = _with_policies(publications, legs)
    inet += _of_ports(ports)
    inet += rules.elements_of_open(port for port, policy in ports if policy.opens(port.target))
    inet += rules.elements_of_kin(legs)
    bridge = [element for end, net in legs for element in antispoof.elements_of(end, net)]
    lines = rules.render(table, list(nets.values()), inet) + antispoof.render(table, nets.values(), bridge)
    return "\n".join([*lines, ""])


def refresh(store: Store, table: str) -> None:
    """Have the tables as the record says. Under the write lock: nobody renders an older reading over a newer one."""
    nft_apply(render(table, store.networks(), store.ports(), store.endpoints()))


def ensure(store: Store, table: str, networks: Iterable[Network], container: str = "") -> None:
    """Have these networks in force, and the endpoints and ports on record for `container`.

    One transaction of single elements. It fails when a table is gone, a network is new, or something stale is in
    the way: then everything is rendered. The records are read under the store's write lock, which is held until
    they are in force: a start that is being taken back meanwhile cannot leave one, and nobody renders an older
    reading of the records over ours.
    """
    with store.write():
        legs = _legs(store, store.endpoints(sandbox=container)) if container else []
        bridges = {net.id: net for net in (*networks, *(net for _, net in legs)) if net.bridge}
        ports = _with_policies(store.ports(container=container) if container else (), legs)
        elements = [rules.bridge_element(net) for net in bridges.values()]
        elements += [*_of_legs(legs), *_of_ports(ports)]
        _change(store, table, ports, elements, elements_add)


def withdraw(store: Store, table: str, publications: Iterable[Publication], endpoints: Iterable[Endpoint] = ()) -> None:
    """Take ports and endpoints out of force. The caller holds the write lock and has deleted their records; endpoints
    that stay are still on record, and say what those of their ports are that go."""
    ports, leaving = list(publications), _legs(store, endpoints)
    sandboxes = {port.sandbox for port in ports} | {end.sandbox for end, _ in leaving}
    staying = _legs(store, (end for one in sandboxes for end in store.endpoints(sandbox=one)))
    kept = set(_of_legs(staying))
    known = _with_policies(ports, [*leaving, *staying])
    elements = [one for one in _of_legs([*leaving, *staying]) if one not in kept]
    elements += _of_ports(known)
    _change(store, table, known, elements, elements_del)


def _change(
    store: Store,
    table: str,
    ports: Iterable[Ruled],
    elements: Iterable[Element],
    change: Callable[[Sequence[SetElement]], None],
) -> None:
    """By single elements, where they stand for one record each and are no intervals."""
    inside = [one.in_table(table, _KINDS[one.family]) for one in elements]
    if any(policy.opens(port.target) for port, policy in ports):
        return refresh(store, table)
    if inside:
        try:
            change(inside)
        except NftError:
            refresh(store, table)
    return None


def _legs(store: Store, endpoints: Iterable[Endpoint]) -> list[Leg]:
    return [(end, net) for end in endpoints if (net := store.network(end.network)) and net.bridge]


def _of_legs(legs: list[Leg]) -> Iterator[Element]:
    for end, net in legs:
        yield from antispoof.elements_of(end, net)
    yield from rules.elements_of_kin(legs)


def _of_ports(ports: Iterable[Ruled]) -> Iterator[Element]:
    for port, policy in ports:
        yield from rules.elements_of_port(port, policy)


def _with_policies(publications: Iterable[Publication], legs: Iterable[Leg]) -> list[Ruled]:
    """A port goes by the options of the network that its target is in."""
    nets = {(end.sandbox, address): net for end, net in legs for address in (end.address, end.address6)}
    found = ((port, nets.get((port.sandbox, port.target))) for port in publications)
    return [(port, Policy.of(net) if net else Policy()) for port, net in found]
