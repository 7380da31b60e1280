"""What a picture shows beside the bridges: each container, namespace and DNS server once, with all its links."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from minirun.diagnostics.topology.data import Link, Namespace, Topology
from minirun.diagnostics.topology.survey import DNS_SERVER

CONTAINER, SERVER, OTHER = "container", "server", "other"
_KINDS = (CONTAINER, SERVER, OTHER)


@dataclass
class Node:
    """A box.

    links: (number of the bridge, link) of each
    note: what is to say of one that is attached to no bridge
    mates: nodes that have the same network namespace
    """

    name: str
    kind: str = CONTAINER
    id: str = ""
    links: list[tuple[int, Link]] = field(default_factory=list)
    note: str = ""
    mates: list["Node"] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """What is wrong with its links."""
        return [link.problem for _, link in self.links if link.problem]


def nodes_of(topology: Topology) -> list[Node]:
    """Return the nodes in the order in which they are shown: by name; those that are attached to no bridge last."""
    ids = dict(topology.ids)
    nodes: dict[tuple[str, str], Node] = {}
    for number, bridge in enumerate(topology.bridges):
        for link in bridge.members:
            root = "" if bridge.is_ours else bridge.other_root and "other"
            name = link.owner or link.outside
            kind = SERVER if name == DNS_SERVER else CONTAINER if bridge.is_ours or root else OTHER
            node = nodes.setdefault((root, name), Node(name, kind, "" if root else ids.get(name, "")))
            node.links.append((number, link))
    attached = {name: node for (root, name), node in nodes.items() if not root}
    _add_mates(topology, attached, nodes, ids)
    known = {node.name for node in nodes.values()} | {mate.name for node in nodes.values() for mate in node.mates}
    for namespace in topology.namespaces:
        if note := _note_of(namespace, known):
            kind = CONTAINER if namespace.containers else OTHER
            nodes["", namespace.name] = Node(namespace.name, kind, ids.get(namespace.name, ""), note=note)
    for name in topology.on_host:
        nodes["", name] = Node(name, CONTAINER, ids.get(name, ""), note="has the host's network")
    return sorted(nodes.values(), key=lambda node: (not node.links, _KINDS.index(node.kind), node.name))


def _add_mates(
    topology: Topology, attached: dict[str, Node], nodes: dict[tuple[str, str], Node], ids: dict[str, str]
) -> None:
    for names in sorted({each.containers for each in topology.namespaces if len(each.containers) > 1}):
        first = next((name for name in names if name in attached), "")
        if not first:
            first = names[0]
            attached[first] = nodes["", first] = Node(first, id=ids.get(first, ""), note="has no network")
        attached[first].mates += [Node(name, id=ids.get(name, "")) for name in names if name != first]


def _note_of(namespace: Namespace, known: set[str]) -> str:
    """What is to say of a namespace that is shown nowhere else; "" if it is."""
    if namespace.name in known:
        return ""
    if namespace.links:
        return "; ".join(_ends(namespace))
    return "has no network" if namespace.containers else "a namespace without links"


def _ends(namespace: Namespace) -> Iterator[str]:
    for link in namespace.links:
        end = " ".join([link.inside, *link.addresses])
        yield f"{end} — {link.outside} in {link.owner}" if link.owner else end
