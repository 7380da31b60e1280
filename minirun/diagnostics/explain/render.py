"""Operations as a story: in steps, each with its reason; as JSON; as a shell script that does the same by hand."""

import json
import os
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import asdict

from minirun.diagnostics.explain.recorder import RECORDER, Record
from minirun.diagnostics.explain.steps import Step, step_of

_NOTHING = "Nothing is changed in the kernel."
_OTHERS_HAVE_A_PART = ("stop", "kill", "rm", "restart")
_UNSEEN = (
    "A container's monitor, which runs since its start, takes back what it had at its end, and is not heard here."
    " minirun explain shows its part, too."
)
FORMS = ("text", "json", "script")
Chapter = tuple[Step, list[Record]]
# In a script: what a person types in front of the shell that does the rest.
_ELSEWHERE = ("first process", "helper", "builder", "new process", "inside")
_AROUND = ("clone_container", "clone_sibling", "unshare_cgroup", "join_netns")


def chapters(records: Iterable[Record]) -> list[Chapter]:
    """What belongs together, in the order in which it began. Two processes work at the same time: a step that the one
    interrupts for a moment is told as a whole."""
    found: dict[tuple[str, str], Chapter] = {}
    for record in records:
        step = step_of(record)
        found.setdefault((step.key, record.role), (step, []))[1].append(record)
    return list(found.values())


def as_text(records: Iterable[Record], width: int, color: bool) -> str:
    """`width`: columns of the terminal."""
    bold, dim, red, plain = ("\033[1m", "\033[2m", "\033[31m", "\033[0m") if color else ("", "", "", "")
    lines = []
    for number, (step, ones) in enumerate(chapters(records), 1):
        took = _milliseconds(sum(one.seconds for one in ones))
        who = ones[0].role
        title = f"{number}. {step.title}"
        gap = " " * max(2, width - len(title) - len(who) - len(took) - 2)
        lines += ["", f"{bold}{title}{plain}{gap}{dim}{who}  {took}{plain}"]
        lines += [f"   {line}" for line in textwrap.wrap(step.why, max(30, width - 3))]
        for one in ones:
            first, *more = one.command.split("\n")
            lines.append(f"     {first}" if not one.failure else f"     {red}{first}{plain}")
            lines += [f"       {dim}{line}{plain}" for line in more if line != "EOF"]
            if one.failure:
                lines.append(f"       {red}failed: {one.failure}{plain}")
        lines.append(f"   {dim}{step.pages} - in Docker: {step.docker}{plain}")
    return "\n".join(lines[1:])


def as_json(records: Iterable[Record]) -> str:
    told = [
        {
            "step": step.key,
            "title": step.title,
            "why": step.why,
            "pages": step.pages,
            "docker": step.docker,
            "operations": [asdict(one) for one in ones],
        }
        for step, ones in chapters(records)
    ]
    return json.dumps(told, indent=2)


def as_script(records: Iterable[Record]) -> str:
    """What the command and the monitor did, line by line; then what the first process did, in a shell that is started
    in its place. What it did after it had left the host's files cannot be typed: there are no tools any more. What
    other processes did (for --userns, exec, cp) is told at the end, and not done."""
    records = list(records)
    first = [one for one in records if one.role == "first process"]
    untold = [one for one in records if one.role in _ELSEWHERE]
    lines, step = ["#!/bin/sh", "set -eu"], None
    for one in (one for one in records if one.role not in _ELSEWHERE):
        if one.name == "clone_container" and first:
            lines += _inside([one, *first])
            untold = [one for one in untold if one.role != "first process"]
        elif one.name not in _AROUND:
            if step_of(one) is not step:
                step = step_of(one)
                lines += ["", f"# {step.title}"]
            lines += _typed(one)
    if untold:
        lines += ["", "# Not done by this script: what only other processes can do, each in its place"]
    for one in untold:
        lines += [f"# {one.role}:", *_typed(one, can_be=False)]
    return "\n".join(lines) + "\n"


def _typed(record: Record, can_be: bool = True) -> list[str]:
    """What did not work is told, and not done again."""
    lines = record.command.split("\n")
    if can_be and not record.failure:
        return lines
    return [*(f"# {line}" for line in lines), *([f"#   failed: {record.failure}"] if record.failure else [])]


def _inside(records: list[Record]) -> list[str]:
    around = " ".join(one.command.partition("#")[0].strip() for one in records if one.name in _AROUND)
    lines, step, left = ["", "# The first process", f"{around} sh -eu <<'INSIDE'"], None, False
    for one in (one for one in records if one.name not in _AROUND):
        if step_of(one) is not step:
            step = step_of(one)
            lines.append(f"# {step.title}")
        lines += _typed(one, not left)
        left = left or step.key == "pivot"
    return [*lines, "INSIDE"]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def tell(form: str, last: bool, verb: str) -> None:
    """What is on record since the last time. `last`: nothing will follow."""
    records = RECORDER.records()
    if not records and (not last or RECORDER.has_any):
        return
    if not records:
        told = _NOTHING if form == "text" else as_json([]) if form == "json" else as_script([])
    elif form == "text":
        color = os.isatty(RECORDER.out) and "NO_COLOR" not in os.environ
        told = as_text(records, _width(), color)
    else:
        told = as_json(records) if form == "json" else as_script(records)
    if last and form == "text" and verb in _OTHERS_HAVE_A_PART and not any(one.role == "shim" for one in records):
        told += "\n\n" + "\n".join(textwrap.wrap(_UNSEEN, _width()))
    sys.stderr.flush()
    with open(RECORDER.out, "w", closefd=False) as file:
        print(told, file=file)


def _width() -> int:
    try:
        return max(60, min(120, os.get_terminal_size(RECORDER.out).columns))
    except OSError:
        return 100
