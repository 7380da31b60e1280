"""minirun map: what is wired to what on this host."""

import json
import os
import sys

from minirun.cli.opening import open_instance
from minirun.cli.table import print_table
from minirun.cli.verb import Verb, switch
from minirun.diagnostics.topology import graphs, svg, tree
from minirun.diagnostics.topology.data import as_dict
from minirun.diagnostics.topology.survey import read_topology
from minirun.errors import FAILED, MinirunError

_FORMS = ("table", "json", "svg", "mermaid", "dot")


class Map(Verb):
    most = 0
    table = switch("table", "", "As a table, a line for each cable")
    json = switch("json", "", "As JSON")
    svg = switch("svg", "", "As a picture")
    mermaid = switch("mermaid", "", "For Mermaid")
    dot = switch("dot", "", "For Graphviz")

    def run(self) -> None:
        if len(self.given & set(_FORMS)) > 1:
            raise MinirunError("give one form: " + ", ".join(f"--{name}" for name in _FORMS), code=FAILED)
        topology = read_topology(open_instance(heals=False))
        if self.table:
            print_table(tree.HEADERS, tree.as_rows(topology))
        elif self.json:
            print(json.dumps(as_dict(topology), indent=2))
        elif self.svg:
            print(svg.as_svg(topology))
        elif self.mermaid:
            print(graphs.as_mermaid(topology))
        elif self.dot:
            print(graphs.as_dot(topology))
        else:
            print(tree.as_tree(topology, sys.stdout.isatty() and "NO_COLOR" not in os.environ))
