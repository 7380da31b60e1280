"""minirun logs."""

import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

from typer import Option

from minirun.cli.completion.values import words
from minirun.cli.container.log_details import text_of_details
from minirun.cli.output.moments import moment
from minirun.cli.parameters import AnyContainer
from minirun.cli.session import commands, open_instance
from minirun.engine.log import Entry, LogReader
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel import processes
from minirun.model import ACTIVE, Container
from minirun.options.values import timestamp
from minirun.store.lookup import find_container

app = commands()


@app.command("logs")
def logs(
    container: AnyContainer,
    details: Annotated[
        bool, Option("--details", help="Show extra details provided to logs by --log-opt labels, env and tag")
    ] = False,
    follow: Annotated[bool, Option("--follow", "-f", help="Follow log output")] = False,
    since: Annotated[
        str,
        Option("--since", help="Show logs since timestamp (2013-01-02T13:23:37Z) or relative (42m for 42 minutes)"),
    ] = "",
    tail: Annotated[
        str,
        Option("--tail", "-n", help="Number of lines to show from the end of the logs", autocompletion=words("all")),
    ] = "all",
    timestamps: Annotated[bool, Option("--timestamps", "-t", help="Show timestamps")] = False,
    until: Annotated[
        str,
        Option("--until", help="Show logs before a timestamp (2013-01-02T13:23:37Z) or relative (42m for 42 minutes)"),
    ] = "",
) -> None:
    """Fetch the logs of a container."""
    instance = open_instance()
    target = find_container(instance.store, container)
    if target.spec.logging.driver == "none":
        raise MinirunError("configured logging driver does not support reading", "it is none")
    reader = LogReader(instance.container_dir(target.id) / "log")
    window = LogWindow(moment(since) if since else "", moment(until) if until else "")
    printer = _Printer(LogText(timestamps, f"{text_of_details(target)} ".encode() if details else b""))
    printer.write(last_lines(reader.entries(), window, tail))
    while follow and not window.is_over():
        running = wait_for_more(instance, target)
        printer.write(entry for entry in reader.entries() if window.has(entry))
        if not running:
            return


@dataclass(frozen=True)
class LogWindow:
    """Stamps are RFC 3339 in UTC with nine digits: text in order of time."""

    since: str
    until: str

    def has(self, entry: Entry) -> bool:
        return entry.stamp >= self.since and (not self.until or entry.stamp <= self.until)

    def is_over(self) -> bool:
        return bool(self.until) and timestamp(time.time_ns()) > self.until


def last_lines(entries: Iterator[Entry], window: LogWindow, lines: str) -> Iterable[Entry]:
    """The last `lines` lines, of both streams together; "all" or a negative number: everything."""
    wanted = (entry for entry in entries if window.has(entry))
    if not lines.isascii() or not lines.isdigit():
        return wanted
    kept: deque[list[Entry]] = deque(maxlen=int(lines))
    pending: dict[str, list[Entry]] = {}  # by stream: pieces of a line that has no end yet
    for entry in wanted:
        pending.setdefault(entry.stream, []).append(entry)
        if entry.data.endswith(b"\n"):
            kept.append(pending.pop(entry.stream))
    kept.extend(pending.values())
    return [entry for line in kept for entry in line]


class LogText:
    """The text of entries.

    timestamps: in front of each line, that of the line's first piece: a program may write one in several
    details: in front of each line, behind the timestamp
    """

    def __init__(self, timestamps: bool, details: bytes) -> None:
        self._timestamps = timestamps
        self._details = details
        self._in_line: set[str] = set()  # streams whose last line has no end yet

    def of(self, entry: Entry) -> bytes:
        """An entry's text."""
        begins = entry.stream not in self._in_line
        (self._in_line.discard if entry.data.endswith(b"\n") else self._in_line.add)(entry.stream)
        if not begins:
            return entry.data
        return (f"{entry.stamp} ".encode() if self._timestamps else b"") + self._details + entry.data


class _Printer:
    """Prints entries, each to its own stream."""

    def __init__(self, text: LogText) -> None:
        self._text = text
        self._outputs = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}

    def write(self, entries: Iterable[Entry]) -> None:
        """Print them in their order, also where both streams lead to one file."""
        last = self._outputs["stdout"]
        for entry in entries:
            output = self._outputs[entry.stream]
            if output is not last:
                last.flush()
                last = output
            output.write(self._text.of(entry))
        last.flush()


def wait_for_more(instance: Instance, container: Container) -> bool:
    """A short while, or until its shim has written all and gone; False then."""
    now = instance.store.container(container.id)
    if now is None or now.status not in ACTIVE or now.shim is None:
        return False
    pidfd = processes.open_process(now.shim.pid, now.shim.started)
    if pidfd is None:
        return False
    try:
        return not processes.wait_gone(pidfd, 0.05)
    finally:
        os.close(pidfd)
