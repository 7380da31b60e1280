"""Render recorded operations: the story in short, all steps with reasons, JSON, or a shell script (script.py)."""

import json
import re
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import TypeAlias

from minirun.diagnostics.explain.primitives import step_of
from minirun.diagnostics.explain.recorder import RECORDER, Record
from minirun.diagnostics.explain.script import as_script
from minirun.diagnostics.explain.steps import Step
from minirun.diagnostics.explain.story import as_story, is_superseded
from minirun.diagnostics.explain.terminal_text import Style
from minirun.diagnostics.explain.variables import Variables

FORMS = ("text", "full", "json", "script")
StepRecords: TypeAlias = tuple[Step, list[Record]]

_NOTHING = "No kernel operation."
_SHIM_NOT_SHOWN = (
    "Not shown: the cleanup that the container's shim does. The shim has been running since the container's start, and"
    " this command cannot record it. minirun explain shows its part, too."
)
_PROCESS_ID = re.compile(r"(^kill -\d+ |--target |/proc/)(\d+)\b")


def group_by_step(records: Iterable[Record]) -> list[StepRecords]:
    """Group records by step and process, in the order in which the steps begin. Two processes work at the same time, so
    one step may interrupt another; it is still one group."""
    groups: dict[tuple[str, str], StepRecords] = {}
    for record in records:
        step = step_of(record)
        groups.setdefault((step.key, record.role), (step, []))[1].append(record)
    return list(groups.values())


def as_full_text(records: Iterable[Record], root: str, style: Style) -> str:
    """Render all operations as numbered steps, with reasons, manual pages, processes and times."""
    records = list(records)
    variables, dim, red, plain = Variables(records, root), style.dim, style.red, style.plain
    lines: list[str] = []
    for number, (step, step_records) in enumerate(group_by_step(records), 1):
        time = f"{sum(record.seconds for record in step_records) * 1000:.1f} ms"
        role = step_records[0].role
        title = f"{number}. {step.title}"
        gap = " " * max(2, style.width - len(title) - len(role) - len(time) - 2)
        lines += ["", f"{style.bold}{title}{plain}{gap}{dim}{role}  {time}{plain}"]
        lines += [f"   {line}" for line in textwrap.wrap(step.why, style.width - 3)]
        for record in step_records:
            first, *more = variables.replace(record.command).split("\n")
            lines.append(f"     {first}" if not record.failure else f"     {red}{first}{plain}")
            lines += [f"       {dim}{line}{plain}" for line in more]
            if is_superseded(record, records):
                lines.append(f"       {dim}# refused ({record.failure}): it is there, or the next one does it{plain}")
            elif record.failure:
                lines.append(f"       {red}failed: {record.failure}{plain}")
        lines.append(f"   {dim}{step.pages} - in Docker: {step.docker}{plain}")
    return "\n".join([*variables.definitions(lines), *lines]).lstrip("\n")


def as_json(records: Iterable[Record]) -> str:
    """Render records as a JSON array of steps, each with its operations."""
    steps = [
        {
            "step": step.key,
            "title": step.title,
            "why": step.why,
            "pages": step.pages,
            "docker": step.docker,
            "operations": [asdict(record) for record in step_records],
        }
        for step, step_records in group_by_step(records)
    ]
    return json.dumps(steps, indent=2)


def print_operations(form: str, root: str, last: bool) -> None:
    """Print the operations recorded since the last call, to the recorder's output.

    `form` is one of FORMS, `root` the state root, `last` says that no operation will follow.
    """
    records = RECORDER.records()
    if not records and (not last or RECORDER.has_any):
        return
    output = as_form(form, records, root, Style.of(RECORDER.out), last)
    sys.stderr.flush()
    with open(RECORDER.out, "w", closefd=False) as file:
        print(output, file=file)


def as_form(form: str, records: Iterable[Record], root: str, style: Style, last: bool = True) -> str:
    """Render records in one of FORMS."""
    records = [_as_on_host(record) for record in records]
    if form == "json":
        return as_json(records)
    if form == "script":
        return as_script(records, root)
    output = (as_story if form == "text" else as_full_text)(records, root, style) if records else _NOTHING
    if last and _leaves_cleanup_to_shim(records):
        output += "\n\n" + "\n".join(textwrap.wrap(_SHIM_NOT_SHOWN, style.width))
    return output


def _as_on_host(record: Record) -> Record:
    """In a dry run: with the process ids that the containers have on the host."""

    def replaced(match: "re.Match[str]") -> str:
        pid = int(match[2])
        return f"{match[1]}{RECORDER.host_pids.get(pid, pid)}"

    return replace(record, command=_PROCESS_ID.sub(replaced, record.command)) if RECORDER.host_pids else record


def _leaves_cleanup_to_shim(records: list[Record]) -> bool:
    """Whether the command signaled a container, as stop, kill and rm do, whose shim is not recorded."""
    roles = {record.role for record in records}
    return "shim" not in roles and any((each.role, each.name) == ("command", "signal_send") for each in records)
