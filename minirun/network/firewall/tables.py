"""The nftables tables: rendered whole from the records, and changed by single elements in between.

rules.py holds the table of family inet, antispoof.py the one of family bridge, which a frame meets first; faults.py
adds chains to both while there are faults.

A published port is one map element, looked up once however many there are, and so is a range. Its key is host address,
protocol and port, so a stale duplicate cannot exist. Nothing is read back to decide, but whether the rules are there.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from minirun.kernel.nft import NftError, nft_apply
from minirun.kernel.nft_elements import SetElement, elements_add, elements_del
from minirun.kernel.rulesets import chain_uses
from minirun.model import Endpoint, Fault, Network, Publication
from minirun.network.firewall import antispoof, faults, rules
from minirun.network.firewall.elements import (
    INET_SETS,
    Element,
    bridge_element,
    elements_of_network,
    elements_of_open,
    elements_of_other_bridges,
    elements_of_port,
)
from minirun.network.firewall.policy import Policy
from minirun.store import Store

EndpointInNetwork = tuple[Endpoint, Network]
PortWithPolicy = tuple[Publication, Policy]
# Of each hook that matters, a chain that always has rules: a flushed table still has its chains, but they are empty.
_CHAINS = (
    ("inet", "guard"),
    ("inet", "publish"),
    ("inet", "forward"),
    ("inet", "postrouting"),
    ("bridge", "from_container"),
    ("bridge", "postrouting"),
)
_SETS = {"inet": INET_SETS, "bridge": antispoof.BRIDGE_SETS}


def render(
    table: str,
    networks: Iterable[Network],
    publications: Iterable[Publication],
    endpoints: Iterable[Endpoint] = (),
    in_force: Sequence[Fault] = (),
) -> str:
    """Return both tables as one nft(8) transaction that creates them if missing, empties and redefines them.

    The arguments are all records of an instance; their order does not matter.
    """
    bridged = {network.id: network for network in networks if network.bridge}
    pairs = [(endpoint, bridged[endpoint.network]) for endpoint in endpoints if endpoint.network in bridged]
    inet = [element for network in bridged.values() for element in elements_of_network(network)]
    ports = _with_policies(publications, pairs)
    inet += _elements_of_ports(ports)
    inet += elements_of_open(port for port, policy in ports if policy.opens(port.target))
    inet += elements_of_other_bridges(pairs)
    bridge = [element for endpoint, network in pairs for element in antispoof.elements_of(endpoint, network)]
    lines = rules.render(table, list(bridged.values()), inet, faults.inet_chains(in_force, pairs))
    lines += antispoof.render(table, bridged.values(), bridge, faults.bridge_chains(in_force, pairs))
    return "\n".join([*lines, ""])


def refresh(store: Store, table: str) -> None:
    """Replace the tables by what the records say.

    The caller holds the write lock, so that nobody renders an older reading of the records over a newer one.
    """
    nft_apply(render(table, store.networks(), store.ports(), store.endpoints(), store.faults_in_force()))


def have_rules(table: str) -> bool:
    """Return whether both tables exist and have their rules. One request; elements are not looked at."""
    return all(chain_uses([(family, table, name) for family, name in _CHAINS]))


def ensure(store: Store, table: str, networks: Iterable[Network], container: str = "") -> None:
    """Apply these networks, and the recorded endpoints and ports of the container with this id.

    It is one transaction of single elements. That fails when a table is missing, a network is new or something stale is
    in the way; then everything is rendered, and also when a table was flushed, whose sets still take elements. The
    store's write lock is held from reading the records until they are applied, so a start that is undone meanwhile
    leaves nothing behind.
    """
    with store.write():
        pairs = _with_networks(store, store.endpoints(sandbox=container)) if container else []
        bridged = {network.id: network for network in (*networks, *(network for _, network in pairs)) if network.bridge}
        ports = _with_policies(store.ports(container=container) if container else (), pairs)
        elements = [bridge_element(network) for network in bridged.values()]
        elements += [*_elements_of_endpoints(pairs), *_elements_of_ports(ports)]
        if elements and not have_rules(table):
            refresh(store, table)
        else:
            _change(store, table, ports, elements, elements_add)


def withdraw(store: Store, table: str, publications: Iterable[Publication], endpoints: Iterable[Endpoint] = ()) -> None:
    """Remove ports and endpoints from the tables.

    The caller holds the write lock and has deleted their records. Endpoints of the same sandboxes that stay are still
    recorded; their elements are kept, and they tell the policy of the ports that go.
    """
    removed_ports, removed = list(publications), _with_networks(store, endpoints)
    sandboxes = {port.sandbox for port in removed_ports} | {endpoint.sandbox for endpoint, _ in removed}
    staying = _with_networks(store, (end for sandbox in sandboxes for end in store.endpoints(sandbox=sandbox)))
    kept = set(_elements_of_endpoints(staying))
    ports = _with_policies(removed_ports, [*removed, *staying])
    elements = [element for element in _elements_of_endpoints([*removed, *staying]) if element not in kept]
    elements += _elements_of_ports(ports)
    _change(store, table, ports, elements, elements_del)


def _change(
    store: Store,
    table: str,
    ports: Iterable[PortWithPolicy],
    elements: Iterable[Element],
    change: Callable[[Sequence[SetElement]], None],
) -> None:
    """Change single elements. Ports in the merged ranges of the `open` sets have none of their own, and the rules of
    faults name veths and addresses: render all."""
    set_elements = [element.in_table(table, _SETS[element.family]) for element in elements]
    if any(policy.opens(port.target) for port, policy in ports) or store.has_faults():
        return refresh(store, table)
    if set_elements:
        try:
            change(set_elements)
        except NftError:
            refresh(store, table)
    return None


def _with_networks(store: Store, endpoints: Iterable[Endpoint]) -> list[EndpointInNetwork]:
    """Pair each endpoint with its network; those of networks without a bridge are left out."""
    pairs = ((endpoint, store.network(endpoint.network)) for endpoint in endpoints)
    return [(endpoint, network) for endpoint, network in pairs if network and network.bridge]


def _elements_of_endpoints(pairs: list[EndpointInNetwork]) -> Iterator[Element]:
    for endpoint, network in pairs:
        yield from antispoof.elements_of(endpoint, network)
    yield from elements_of_other_bridges(pairs)


def _elements_of_ports(ports: Iterable[PortWithPolicy]) -> Iterator[Element]:
    for port, policy in ports:
        yield from elements_of_port(port, policy)


def _with_policies(publications: Iterable[Publication], pairs: Iterable[EndpointInNetwork]) -> list[PortWithPolicy]:
    """Pair each port that the kernel translates with the policy of the network that its target address is in."""
    networks = {
        (endpoint.sandbox, address): network
        for endpoint, network in pairs
        for address in (endpoint.address, endpoint.address6)
    }
    targets = ((port, networks.get((port.sandbox, port.target))) for port in publications if not port.is_relayed)
    return [(port, Policy.of(network) if network else Policy()) for port, network in targets]
