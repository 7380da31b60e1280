"""The short form: the steps of a command in causal order, each with its reason and the commands that matter.

Left out are preparations and protections (primitives.py), attempts that later ones replaced, and rules that were there
before: of a table only the difference is shown.
"""

import textwrap
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from minirun.diagnostics.explain import rule_changes
from minirun.diagnostics.explain.primitives import EITHER, ENDING, is_detail, short_command, step_of
from minirun.diagnostics.explain.recorder import Record
from minirun.diagnostics.explain.terminal_text import Style, folded
from minirun.diagnostics.explain.variables import Variables

Title: TypeAlias = tuple[str, str]  # what the step does, and why

_MAX_CHANGES = 14  # of the rules, in one step
_MAX_LINES = 3  # of nft commands; more are shown as one transaction
_HELPER = ("Work in the files", "a helper process is locked into them, so that no symlink leads it out")
# Steps that are told as one: key of the step -> title and gist.
_TOGETHER = {
    **dict.fromkeys(
        ("process", "join"), ("Start the process", "in its cgroup, and in namespaces of the container's own")
    ),
    **dict.fromkeys(
        ("root", "kernel-files", "volumes", "masks", "pivot"),
        ("Mount the files", "image layers below a writable one, volumes, /proc, /sys, /dev; then the root"),
    ),
    **dict.fromkeys(
        ("rights", "program"), ("Execute the program", "with few capabilities and system calls, as its user")
    ),
}
# Processes of a start work at the same time. The story follows one after the other: first the network, by the command,
# then the process that enters it.
_ORDER = {"command": 0, "helper": 1, "builder": 1, "shim": 2}
_LAST = 3


def in_order(records: Iterable[Record]) -> list[tuple[Title, list[Record]]]:
    """Return the steps in causal order with their records. A restart has an end and a start, one after the other."""
    steps: list[tuple[Title, list[Record]]] = []
    for phase in _phases(records):
        has_process = any(step_of(record).key in ("process", "join") for record in phase)
        groups: dict[Title, list[Record]] = {}
        for record in phase:
            groups.setdefault(_title(record, has_process), []).append(record)
        steps += groups.items()
    return steps


def _title(record: Record, has_process: bool) -> Title:
    if record.role == "chroot":
        return _HELPER
    step = step_of(record)
    key = "process" if step.key == "cgroup" and has_process else step.key
    return _TOGETHER.get(key, (step.title, step.gist))


def _phases(records: Iterable[Record]) -> Iterator[list[Record]]:
    phase: list[Record] = []
    ends: bool | None = None
    for record in records:
        is_neutral = record.name in EITHER or step_of(record).key == "dns" or is_detail(record)
        is_ending = ends if is_neutral else record.name in ENDING
        if phase and ends is not None and is_ending != ends:
            yield _sorted(phase, ends)
            phase = []
        ends = is_ending
        phase.append(record)
    if phase:
        yield _sorted(phase, bool(ends))


def _sorted(phase: list[Record], ends: bool) -> list[Record]:
    return phase if ends else sorted(phase, key=lambda record: _ORDER.get(record.role, _LAST))


def as_story(records: Iterable[Record], root: str, style: Style) -> str:
    """Render records in the short form. `root` is the state root."""
    records = list(records)
    variables = Variables(records, root)
    lines: list[str] = []
    told = ((title, list(_commands(group, records))) for title, group in in_order(records))
    for number, ((title, gist), commands) in enumerate((each for each in told if each[1]), 1):
        heading = textwrap.wrap(f"{number}. {title}: {gist}", style.width, subsequent_indent="   ")
        lines += ["\n".join(heading).replace(f"{number}. {title}", f"{style.bold}{number}. {title}{style.plain}", 1)]
        for text, failure in commands:
            lines += folded(variables.replace(text), style.width, "     ")
            if failure:
                lines.append(f"       {style.red}failed: {failure}{style.plain}")
    seconds = sum(record.seconds for record in records)
    count = f"{len(records)} operation{'s' * (len(records) != 1)}"
    rest = f"{count}, {seconds * 1000:.0f} ms; --full shows all, with reasons and manual pages"
    return "\n".join([*variables.definitions(lines), *lines, f"{style.dim}{rest}{style.plain}"])


def _commands(step_records: list[Record], records: list[Record]) -> Iterator[tuple[str, str]]:
    """Yield the commands of a step that are worth showing, each with the reason of its failure or "".

    `records` is all operations of the command.
    """
    changes: list[str] = []
    for record in step_records:
        if is_superseded(record, records) or is_detail(record):
            continue
        if record.failure:
            yield short_command(record).partition("\n")[0], record.failure
        elif record.name not in rule_changes.PRIMITIVES or not rule_changes.is_own(record.command):
            yield short_command(record), ""
        changes += record.changes
    if len(changes) > _MAX_CHANGES:
        changes = [*changes[:_MAX_CHANGES], f"# and {len(changes) - _MAX_CHANGES} more"]
    changes = [change.replace("'", "'\"'\"'") for change in changes]
    if len(changes) > _MAX_LINES or any(change.startswith("#") for change in changes):
        yield "\n".join(["nft '", *(f"  {change}" for change in changes), "'"]), ""
    else:
        yield from ((f"nft '{change}'", "") for change in changes)


def is_superseded(record: Record, records: Iterable[Record]) -> bool:
    """Whether an operation failed because its result was there already, or as an attempt that a later operation of the
    same process replaced. `records` is all operations of the command."""
    if not record.failure or "File exists" in record.failure:
        return bool(record.failure)
    later = (other for other in records if other.began > record.began and other.role == record.role)
    return any(not other.failure and _does_the_same(record, other) for other in later)


def _does_the_same(record: Record, other: Record) -> bool:
    both_rules = {record.name, other.name} <= rule_changes.PRIMITIVES
    return both_rules or step_of(record).key == step_of(other).key
