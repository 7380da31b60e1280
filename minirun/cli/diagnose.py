"""minirun doctor, minirun map: problems of this host and its containers, and how everything is connected."""

import json as json_format
import os
import sys
from collections.abc import Callable, Iterable
from typing import Annotated

from typer import Option

from minirun.cli.output.letters import has_unicode
from minirun.cli.output.table import print_table
from minirun.cli.session import commands, open_instance, warn
from minirun.diagnostics.doctor import container_checks, host_checks, leftovers
from minirun.diagnostics.doctor.findings import GOOD, PROBLEM, Finding
from minirun.diagnostics.topology import graphs, tree
from minirun.diagnostics.topology import svg as svg_format
from minirun.diagnostics.topology.data import as_dict as topology_as_dict
from minirun.diagnostics.topology.survey import read_topology
from minirun.errors import FAILED, MinirunError, describe, printable
from minirun.instance import Instance

Check = Callable[[Instance], Iterable[Finding]]
app = commands()


@app.command("doctor")
def doctor(
    everything: Annotated[bool, Option("--all", "-a", help="Also show checks without problems")] = False,
    fix: Annotated[bool, Option("--fix", help="Repair what minirun created")] = False,
    json: Annotated[bool, Option("--json", help="As JSON")] = False,
    quick: Annotated[bool, Option("--quick", "-q", help="Send no packets")] = False,
) -> int:
    """Diagnose problems: host, rules, leftovers, and each published port."""
    instance = open_instance(repairs=False)
    checks = checks_of(quick)
    findings = [finding for check in checks for finding in check(instance)]
    if fix:
        before = [finding for finding in findings if finding.repair]
        repair_findings(before)
        findings = [finding for check in checks for finding in check(instance)]
        _print_repairs(before, {finding.what for finding in findings})
    shown = [finding for finding in findings if everything or finding.level != GOOD]
    if json:
        print(json_format.dumps([as_dict(finding) for finding in findings], indent=2))
    else:
        _print(shown, len(findings))
    return 1 if any(finding.level == PROBLEM for finding in findings) else 0


def checks_of(quick: bool) -> list[Check]:
    """Return the checks. `quick`: without those that send packets."""
    return [
        host_checks.kernel,
        host_checks.router,
        host_checks.rules,
        host_checks.disk,
        leftovers.leftovers,
        container_checks.lost,
        container_checks.pins,
        container_checks.listeners,
        *([] if quick else [container_checks.ports]),
    ]


def repair_findings(findings: list[Finding]) -> None:
    """Repair what has a repair. What fails is a line on standard error."""
    for finding in findings:
        assert finding.repair is not None, "the caller passes only findings with a repair"
        try:
            finding.repair()
        except (MinirunError, OSError) as error:
            warn(f"{finding.what}: {describe(error)}")


def _print_repairs(before: list[Finding], still: set[str]) -> None:
    """Compare with a second check: a repair that raised no error need not have helped."""
    for finding in before:
        print(f"{'not repaired' if finding.what in still else 'repaired'}: {finding.what}", file=sys.stderr)


def as_dict(finding: Finding) -> dict[str, object]:
    """Return a finding as --json shows it."""
    values = {"level": finding.level, "what": finding.what, "evidence": finding.evidence, "fix": finding.fix}
    return values | {"can_mend": finding.repair is not None}


def _print(findings: list[Finding], checks: int) -> None:
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    colors = {"problem": "31", "warning": "33", "note": "36", "ok": "32"}
    for finding in findings:
        level = f"\033[{colors[finding.level]}m{finding.level}\033[0m" if color else finding.level
        print(f"{level}: {printable(finding.what)}")
        for label, text in (("seen", finding.evidence), ("do", finding.fix)):
            if text:
                print(f"    {label}: {printable(text)}")
    if not findings:
        print(f"No problems found ({checks} {'check' if checks == 1 else 'checks'}; --all shows them)")


@app.command("map")
def map_(
    dot: Annotated[bool, Option("--dot", help="For Graphviz")] = False,
    json: Annotated[bool, Option("--json", help="As JSON")] = False,
    mermaid: Annotated[bool, Option("--mermaid", help="For Mermaid")] = False,
    svg: Annotated[bool, Option("--svg", help="As a picture")] = False,
    table: Annotated[bool, Option("--table", help="As a table, a line for each veth pair")] = False,
) -> None:
    """Show how namespaces, veth pairs, bridges and ports are connected."""
    if sum((table, json, svg, mermaid, dot)) > 1:
        raise MinirunError("give one form: --table, --json, --svg, --mermaid, --dot", code=FAILED)
    topology = read_topology(open_instance(repairs=False))
    if table:
        print_table(tree.HEADERS, tree.as_rows(topology))
    elif json:
        print(json_format.dumps(topology_as_dict(topology), indent=2))
    elif svg:
        print(svg_format.as_svg(topology))
    elif mermaid:
        print(graphs.as_mermaid(topology))
    elif dot:
        print(graphs.as_dot(topology))
    else:
        text = tree.as_tree(topology, sys.stdout.isatty() and "NO_COLOR" not in os.environ)
        print(text if has_unicode() else tree.without_box_drawing(text))
