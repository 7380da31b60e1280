"""No name of another program breaks a picture or a graph."""

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

from minirun.diagnostics.topology.canvas import shortened
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


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [("web", 100, "web"), ("W" * 30, 100, "WWWWW…"), ("漢" * 30, 100, "漢漢漢漢漢…"), ("web", 0, "…"), ("", 0, "")],
)
def test_texts_of_a_picture_fit(text: str, room: float, shown: str) -> None:
    assert shortened(text, room, "name") == shown


def test_a_picture_has_one_box_a_container_and_nothing_outside() -> None:
    """Two networks, forty containers on both of them, in the order of their names."""
    names = [f"box-{number:02}" for number in range(40)]
    bridges = tuple(
        Bridge(
            f"br{number}",
            "bridge",
            f"net{number}",
            members=tuple(Link(f"veth{name}-{number}", f"eth{number}", name, name, ("10.0.0.1/8",)) for name in names),
            outward="NAT",
        )
        for number in range(2)
    )
    picture = ElementTree.fromstring(as_svg(Topology("h" * 300, (), bridges, ())))
    width, height = (float(picture.attrib[key]) for key in ("width", "height"))
    shapes = {kind: [each for each in picture.iter() if each.tag.endswith(kind)] for kind in ("rect", "text", "circle")}
    boxes = [each for each in shapes["rect"] if each.get("class") == "box"]
    tops = [(float(box.attrib["y"]), float(box.attrib["y"]) + float(box.attrib["height"])) for box in boxes]
    assert len(boxes) == 40
    assert all(end < begin for (_, end), (begin, _) in pairwise(tops)), "boxes don't overlap"
    assert [each.text for each in shapes["text"] if each.text in names] == names
    assert len(shapes["circle"]) == 80
    assert all(0 < float(each.attrib["x"]) < width and 0 < float(each.attrib["y"]) < height for each in shapes["text"])
