"""minirun logs."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from minirun.cli.opening import open_instance
from minirun.instance import Instance
from minirun.kernel import processes
from minirun.log import Entry, entries
from minirun.lookup import find_container
from minirun.model import ACTIVE, Container


def command(
    container: Annotated[str, typer.Argument(metavar="CONTAINER")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow log output")] = False,
    timestamps: Annotated[bool, typer.Option("--timestamps", "-t", help="Show timestamps")] = False,
) -> None:
    instance = open_instance()
    found = find_container(instance.store, container)
    path = instance.container_dir(found.id) / "log"
    offset = _copy(path, 0, timestamps)
    while follow:
        running = _wait(instance, found)
        offset = _copy(path, offset, timestamps)
        if not running:
            return


def _copy(path: Path, offset: int, timestamps: bool) -> int:
    outputs = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    try:
        for entry, behind in entries(path, offset):
            outputs[entry.stream].write(_text(entry, timestamps))
            offset = behind
    except FileNotFoundError:
        return offset
    for output in outputs.values():
        output.flush()
    return offset


def _text(entry: Entry, timestamps: bool) -> bytes:
    return f"{entry.stamp} ".encode() + entry.data if timestamps else entry.data


def _wait(instance: Instance, container: Container) -> bool:
    """A short while, or until its monitor has written all and gone; False then."""
    now = instance.store.container(container.id)
    if now is None or now.status not in ACTIVE or now.monitor is None:
        return False
    monitor = processes.open_process(now.monitor.pid, now.monitor.started)
    if monitor is None:
        return False
    try:
        return not processes.wait_gone(monitor, 0.05)
    finally:
        os.close(monitor)
