"""No name breaks a picture or a graph."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from minirun.diagnostics.topology.data import Map, Namespace, Plug, Port, Switch
from minirun.diagnostics.topology.graphs import as_dot, as_mermaid
from minirun.diagnostics.topology.svg import as_svg
from minirun.diagnostics.topology.tree import as_tree

NASTY = 'x"\\<&>\n;--\x1b[31mé\x00'


@pytest.mark.parametrize("trouble", ["", NASTY])
def test_no_name_breaks_a_picture_or_a_graph(trouble: str) -> None:
    """minirun's own names are plain; those of others' links and namespaces are anybody's."""
    plug = Plug(NASTY, "eth0", NASTY, NASTY, ("10.0.0.1/8",), "", ports=(Port(NASTY, "80/tcp"),), trouble=trouble)
    switch, lone = Switch(NASTY, "bridge", "", plugs=(plug,)), Namespace(NASTY, (), (plug,))
    found = Map(NASTY, (NASTY,), (switch,), (lone,), (NASTY,))
    ElementTree.fromstring(as_svg(found))
    for line in as_dot(found).split("\n"):
        assert len(re.findall(r'(?<!\\)(?:\\\\)*"', line)) % 2 == 0, line
    assert '"x"' not in as_mermaid(found)
    assert as_tree(found, True)
