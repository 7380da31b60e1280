"""What a container has written since its start: the lines that --wait looks for, and the last ones for errors."""

import re
from collections import deque
from collections.abc import Iterable

from minirun.engine.log import LogReader
from minirun.errors import printable
from minirun.instance import Instance
from minirun.model import ACTIVE, Container
from minirun.options.values import timestamp

_TAIL = 10  # lines
_START = 1.0  # seconds


class StartupLog:
    """The log of the current run, read as it grows. It stays readable when the container is removed."""

    def __init__(self, instance: Instance, container: Container, patterns: Iterable[re.Pattern[str]]) -> None:
        self.wanted = list(patterns)
        self._lines: deque[str] = deque(maxlen=_TAIL)
        self._line = b""  # the last line, while its end is missing
        self._since = ""
        self._reader = LogReader(instance.container_dir(container.id) / "log")
        self._reader.open()
        self.follow(container)

    def follow(self, container: Container) -> None:
        """Look for the lines of the run that `container` is in now, or was in last."""
        since = container.finished_at  # of the run before
        if container.status not in ACTIVE:  # of this one; its start is recorded a moment after its first lines
            since = container.started_at - _START
        self._since = timestamp(int(since * 1e9)) if since > 0 else ""

    def look(self) -> bool:
        """Read what is new. Return whether each pattern has been found in a line."""
        for entry in self._reader.entries():
            if entry.stamp < self._since:
                continue
            self._line += entry.data
            text = self._line.decode("utf-8", "replace").rstrip("\r\n")
            self.wanted = [pattern for pattern in self.wanted if not pattern.search(text)]
            if self._line.endswith(b"\n"):
                self._lines.append(text)
                self._line = b""
        return not self.wanted

    def tail(self) -> str:
        """Describe the last lines, for the end of an error message."""
        self.look()
        lines = [*self._lines, *([self._line.decode("utf-8", "replace")] if self._line else [])]
        if not lines:
            return "it has written nothing to its log"
        return "\n  ".join(["the end of its log:", *map(printable, lines[-_TAIL:])])

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
