"""Render recorded operations as a shell script that does the same by hand."""

from collections.abc import Iterable

from minirun.diagnostics.explain.primitives import step_of
from minirun.diagnostics.explain.recorder import Record
from minirun.diagnostics.explain.variables import Variables

# Processes whose operations the script cannot run in its own shell, and operations that a person replaces by starting
# that shell with unshare(1) or nsenter(1).
_OTHER_PROCESSES = ("first process", "helper", "builder", "new process", "chroot")
_WRAPPERS = ("clone_container", "clone_sibling", "unshare_cgroup", "join_netns")


def as_script(records: Iterable[Record], root: str) -> str:
    """Render records as a shell script. `root` is the state root.

    The script has the operations of the command and the shim line by line, and those of the first process in a shell
    that runs in its place. After pivot_root that shell has no tools, so the rest of it is commented out. Operations of
    other processes (for --userns, exec, cp) are listed at the end as comments.
    """
    records = list(records)
    first = [record for record in records if record.role == "first process"]
    omitted = [record for record in records if record.role in _OTHER_PROCESSES]
    lines: list[str] = []
    step = None
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
    variables = Variables(records, root)
    lines = [variables.replace(line) for line in lines]
    return "\n".join(["#!/bin/sh", "set -eu", *variables.definitions(lines), *lines]) + "\n"


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
