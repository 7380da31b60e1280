"""Render recorded operations: as steps with reasons, as JSON, or as a shell script that does the same by hand."""

import json
import os
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import asdict
from typing import TypeAlias

from minirun.diagnostics.explain.recorder import RECORDER, Record
from minirun.diagnostics.explain.steps import Step, step_of

FORMS = ("text", "json", "script")
StepRecords: TypeAlias = tuple[Step, list[Record]]

_NOTHING = "No kernel operation."
_SHIM_NOT_SHOWN = (
    "Not shown: the cleanup that the container's shim does. The shim has been running since the container's start, and"
    " this command cannot record it. minirun explain shows its part, too."
)
# In a script: processes whose operations the script cannot run in its own shell, and operations that a person replaces
# by starting that shell with unshare(1) or nsenter(1).
_OTHER_PROCESSES = ("first process", "helper", "builder", "new process", "chroot")
_WRAPPERS = ("clone_container", "clone_sibling", "unshare_cgroup", "join_netns")


def group_by_step(records: Iterable[Record]) -> list[StepRecords]:
    """Group records by step and process, in the order in which the steps begin. Two processes work at the same time, so
    one step may interrupt another; it is still one group."""
    groups: dict[tuple[str, str], StepRecords] = {}
    for record in records:
        step = step_of(record)
        groups.setdefault((step.key, record.role), (step, []))[1].append(record)
    return list(groups.values())


def as_text(records: Iterable[Record], width: int, color: bool) -> str:
    """Render records as numbered steps. `width` is the terminal's, in columns."""
    bold, dim, red, plain = ("\033[1m", "\033[2m", "\033[31m", "\033[0m") if color else ("", "", "", "")
    lines = []
    for number, (step, step_records) in enumerate(group_by_step(records), 1):
        time = f"{sum(record.seconds for record in step_records) * 1000:.1f} ms"
        role = step_records[0].role
        title = f"{number}. {step.title}"
        gap = " " * max(2, width - len(title) - len(role) - len(time) - 2)
        lines += ["", f"{bold}{title}{plain}{gap}{dim}{role}  {time}{plain}"]
        lines += [f"   {line}" for line in textwrap.wrap(step.why, max(30, width - 3))]
        for record in step_records:
            first, *more = record.command.split("\n")
            lines.append(f"     {first}" if not record.failure else f"     {red}{first}{plain}")
            lines += [f"       {dim}{line}{plain}" for line in more if line != "EOF"]
            if record.failure:
                lines.append(f"       {red}failed: {record.failure}{plain}")
        lines.append(f"   {dim}{step.pages} - in Docker: {step.docker}{plain}")
    return "\n".join(lines[1:])


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


def as_script(records: Iterable[Record]) -> str:
    """Render records as a shell script.

    The script has the operations of the command and the shim line by line, and those of the first process in a shell
    that runs in its place. After pivot_root that shell has no tools, so the rest of it is commented out. Operations of
    other processes (for --userns, exec, cp) are listed at the end as comments.
    """
    records = list(records)
    first = [record for record in records if record.role == "first process"]
    omitted = [record for record in records if record.role in _OTHER_PROCESSES]
    lines, step = ["#!/bin/sh", "set -eu"], None
    for record in (record for record in records if record.role not in _OTHER_PROCESSES):
        if record.name == "clone_container" and first:
            lines += _first_process([record, *first])
            omitted = [record for record in omitted if record.role != "first process"]
        elif record.name not in _WRAPPERS:
            if step_of(record) is not step:
                step = step_of(record)
                lines += ["", f"# {step.title}"]
            lines += _script_lines(record)
    if omitted:
        lines += ["", "# Not done by this script: operations that need a process of their own"]
    for record in omitted:
        lines += [f"# {record.role}:", *_script_lines(record, runs=False)]
    return "\n".join(lines) + "\n"


def _script_lines(record: Record, runs: bool = True) -> list[str]:
    """Return the record's command, commented out if it failed or if the script cannot run it."""
    lines = record.command.split("\n")
    if runs and not record.failure:
        return lines
    return [*(f"# {line}" for line in lines), *([f"#   failed: {record.failure}"] if record.failure else [])]


def _first_process(records: list[Record]) -> list[str]:
    wrappers = " ".join(record.command.partition("#")[0].strip() for record in records if record.name in _WRAPPERS)
    lines, step, has_pivoted = ["", "# The first process", f"{wrappers} sh -eu <<'INSIDE'"], None, False
    for record in (record for record in records if record.name not in _WRAPPERS):
        if step_of(record) is not step:
            step = step_of(record)
            lines.append(f"# {step.title}")
        lines += _script_lines(record, not has_pivoted)
        has_pivoted = has_pivoted or step.key == "pivot"
    return [*lines, "INSIDE"]


def print_operations(form: str, last: bool) -> None:
    """Print the operations recorded since the last call, to the recorder's output.

    `form` is one of FORMS, `last` says that no operation will follow.
    """
    records = RECORDER.records()
    if not records and (not last or RECORDER.has_any):
        return
    if form == "text":
        color = os.isatty(RECORDER.out) and "NO_COLOR" not in os.environ
        output = as_text(records, _width(), color) if records else _NOTHING
        if last and _leaves_cleanup_to_shim(records):
            output += "\n\n" + "\n".join(textwrap.wrap(_SHIM_NOT_SHOWN, _width()))
    else:
        output = as_json(records) if form == "json" else as_script(records)
    sys.stderr.flush()
    with open(RECORDER.out, "w", closefd=False) as file:
        print(output, file=file)


def _leaves_cleanup_to_shim(records: list[Record]) -> bool:
    """Whether the command signaled a container, as stop, kill and rm do, whose shim is not recorded."""
    roles = {record.role for record in records}
    return "shim" not in roles and any((each.role, each.name) == ("command", "signal_send") for each in records)


def _width() -> int:
    """Return the terminal's width in columns, at least 60 and at most 120; 100 without a terminal."""
    try:
        return max(60, min(120, os.get_terminal_size(RECORDER.out).columns))
    except OSError:
        return 100
