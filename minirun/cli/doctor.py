"""minirun doctor: look for what is amiss."""

import json
import os
import sys

from minirun.cli.app import warn
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, switch
from minirun.diagnostics.doctor.findings import GOOD, TROUBLE, Finding
from minirun.errors import MinirunError, describe, printable


class Doctor(Verb):
    most = 0
    fix = switch("fix", "", "Mend what is minirun's own to mend")
    json = switch("json", "", "As JSON")
    quick = switch("quick", "q", "Send no packets")
    all = switch("all", "a", "Show also what is well")

    def run(self) -> int:
        from minirun.diagnostics.doctor import container_checks, host_checks, leftovers

        instance = open_instance(heals=False)
        checks = [
            host_checks.kernel,
            host_checks.router,
            host_checks.rules,
            leftovers.leftovers,
            container_checks.listeners,
        ]
        checks += [] if self.quick else [container_checks.ports]
        found = [one for check in checks for one in check(instance)]
        if self.fix:
            before = [one for one in found if one.mend]
            _mend(before)
            found = [one for check in checks for one in check(instance)]
            _tell_mended(before, {one.what for one in found})
        shown = [one for one in found if self.all or one.level != GOOD]
        if self.json:
            print(json.dumps([_plain(one) for one in found], indent=2))
        else:
            _print(shown, len(found))
        return 1 if any(one.level == TROUBLE for one in found) else 0


def _mend(found: list[Finding]) -> None:
    for one in found:
        assert one.mend is not None, "only those that have one are given"
        try:
            one.mend()
        except (MinirunError, OSError) as error:
            warn(f"{one.what}: {describe(error)}")


def _tell_mended(before: list[Finding], still: set[str]) -> None:
    """By looking again: that nothing failed does not say that it helped."""
    for one in before:
        print(f"{'not mended' if one.what in still else 'mended'}: {one.what}", file=sys.stderr)


def _plain(one: Finding) -> dict[str, object]:
    told = {"level": one.level, "what": one.what, "evidence": one.evidence, "fix": one.fix}
    return told | {"can_mend": one.mend is not None}


def _print(found: list[Finding], checked: int) -> None:
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    shades = {"trouble": "31", "warning": "33", "note": "36", "ok": "32"}
    for one in found:
        level = f"\033[{shades[one.level]}m{one.level}\033[0m" if color else one.level
        print(f"{level}: {printable(one.what)}")
        for label, text in (("seen", one.evidence), ("do", one.fix)):
            if text:
                print(f"    {label}: {printable(text)}")
    if not found:
        print(f"All is well: {checked} {'thing' if checked == 1 else 'things'} looked at (--all shows them).")
