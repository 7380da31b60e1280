"""No name of another program breaks a picture or a graph."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from minirun.diagnostics.topology.data import Bridge, Link, Namespace, Port, Topology
from minirun.diagnostics.topology.graphs import as_dot, as_mermaid
from minirun.diagnostics.topology.svg import as_svg
from minirun.diagnostics.topology.tree import as_tree

NASTY = 'x"\\<&>\n;--\x1b[31mé\x00'


@pytest.mark.parametrize("problem", ["", NASTY])
def test_no_name_breaks_a_picture_or_a_graph(problem: str) -> None:
    """minirun's own names are plain; other programs choose the names of their links and namespaces."""
    link = Link(NASTY, "eth0", NASTY, NASTY, ("10.0.0.1/8",), "", ports=(Port(NASTY, "80/tcp"),), problem=problem)
    bridge, namespace = Bridge(NASTY, "bridge", "", members=(link,)), Namespace(NASTY, (), (link,))
    topology = Topology(NASTY, (NASTY,), (bridge,), (namespace,), (NASTY,))
    ElementTree.fromstring(as_svg(topology))
    for line in as_dot(topology).split("\n"):
        assert len(re.findall(r'(?<!\\)(?:\\\\)*"', line)) % 2 == 0, line
    assert '"x"' not in as_mermaid(topology)
    assert as_tree(topology, True)
