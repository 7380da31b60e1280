"""minirun doctor: diagnose problems."""

import json
import os
import sys

from minirun.cli.app import warn
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, switch
from minirun.diagnostics.doctor import container_checks, host_checks, leftovers
from minirun.diagnostics.doctor.findings import GOOD, PROBLEM, Finding
from minirun.errors import MinirunError, describe, printable


class Doctor(Verb):
    most = 0
    fix = switch("fix", "", "Repair what minirun created")
    json = switch("json", "", "As JSON")
    quick = switch("quick", "q", "Send no packets")
    all = switch("all", "a", "Also show checks without problems")

    def run(self) -> int:
        instance = open_instance(heals=False)
        checks = [
            host_checks.kernel,
            host_checks.router,
            host_checks.rules,
            leftovers.leftovers,
            container_checks.listeners,
        ]
        checks += [] if self.quick else [container_checks.ports]
        findings = [finding for check in checks for finding in check(instance)]
        if self.fix:
            before = [finding for finding in findings if finding.repair]
            _repair(before)
            findings = [finding for check in checks for finding in check(instance)]
            _print_repairs(before, {finding.what for finding in findings})
        shown = [finding for finding in findings if self.all or finding.level != GOOD]
        if self.json:
            print(json.dumps([_as_dict(finding) for finding in findings], indent=2))
        else:
            _print(shown, len(findings))
        return 1 if any(finding.level == PROBLEM for finding in findings) else 0


def _repair(findings: list[Finding]) -> None:
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


def _as_dict(finding: Finding) -> dict[str, object]:
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
