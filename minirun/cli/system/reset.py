"""minirun system reset: the machine is as before the first command."""

from pathlib import Path

from minirun.cli.parameters import ForcePrune
from minirun.cli.prune import confirmed
from minirun.cli.session import commands, require_root, session, warn
from minirun.engine.reset import reset as reset_state_root
from minirun.errors import MinirunError, printable
from minirun.forkserver import control
from minirun.instance import StateRoot
from minirun.network.operations import ResetReport
from minirun.security.confinement import loaded_default

_LABEL_WIDTH = 12
_MOST_NAMES = 8  # of a line
app = commands()


@app.command("reset")
def reset(force: ForcePrune = False) -> int:
    """Remove all that minirun has on this machine.

    Running containers are killed. Containers, networks, volumes, images, rules, sysctls and the state root go, and the
    fork server stops. Files that minirun does not know stay, and so do other state roots and network namespaces made by
    `minirun netns`. It can be repeated, also when it was interrupted or the state is damaged.
    """
    require_root()
    place = StateRoot(session().root)
    if not confirmed(_warning(place.root), force):
        return 0
    report = reset_state_root(place)
    try:
        control.stop()
        control.remove_files()
    except MinirunError as error:
        report.failed.append(error.message)
    return _print(report, place.root)


def _warning(root: Path) -> str:
    kinds = ("containers, also running ones", "networks", "volumes with their data", "images")
    lines = [*(f"  - all {kind}" for kind in kinds), f"  - minirun's rules, settings and files on this host ({root})"]
    return "\n".join(["This will remove:", *lines, ""])


def _print(report: ResetReport, root: Path) -> int:
    for note in report.notes:
        warn(f"minirun: {note}")
    for kind, names in report.removed.items():
        print(f"{kind:{_LABEL_WIDTH}} {len(names):>3}  {_listed(names)}")
    if not report.removed and not report.failed:
        print(f"Nothing to remove: this machine has nothing of state root {root}")
    profile = loaded_default()
    kept = [*report.kept, *([f"AppArmor profile {profile} stays loaded until the next boot"] if profile else [])]
    for text in kept:
        print(f"kept: {printable(text)}")
    for text in report.failed:
        warn(f"minirun: {text}")
    return 1 if report.failed else 0


def _listed(names: list[str]) -> str:
    shown = [printable(name) for name in names[:_MOST_NAMES]]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
