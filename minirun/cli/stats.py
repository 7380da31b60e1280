"""minirun stats."""

import io
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass

from minirun.cli.format import Columns, Row, print_rows
from minirun.cli.opening import open_instance
from minirun.cli.table import binary_size, size
from minirun.cli.verb import Verb, switch, value
from minirun.engine.liveness import is_running, member_pids
from minirun.instance import Instance
from minirun.kernel.controllers import existing
from minirun.kernel.procfs import traffic
from minirun.kernel.usage import Usage, usage
from minirun.model import Container
from minirun.store.lookup import find_container

COLUMNS = Columns(
    {
        "ID": "CONTAINER ID",
        "Name": "NAME",
        "CPUPerc": "CPU %",
        "MemUsage": "MEM USAGE / LIMIT",
        "MemPerc": "MEM %",
        "NetIO": "NET I/O",
        "BlockIO": "BLOCK I/O",
        "PIDs": "PIDS",
    },
    "ID",
)
_EXTRA = {"Container": "CONTAINER"}
_PERIOD = 1.0  # seconds between two readings
_UNKNOWN = "--"
_HOME, _END_OF_LINE, _REST = "\033[H", "\033[K", "\033[J"


class Stats(Verb):
    usage = "[CONTAINER...]"
    completes = "running"
    everything = switch("all", "a", "Show all containers (default shows just running)")
    no_stream = switch("no-stream", "", "Disable streaming stats and only pull the first result")
    no_trunc = switch("no-trunc", "", "Do not truncate output")
    form = value("format", "", "Format output using a custom template: table, table TEMPLATE, json or TEMPLATE")

    def run(self) -> int:
        instance = open_instance()
        named = {find_container(instance.store, word).id: word for word in self.words}
        live = not self.no_stream and sys.stdout.isatty()
        if live:
            print("\033[2J", end="")
        before: dict[str, _Reading] = {}
        first = True
        while True:
            now = [_read(instance, one) for one in self._shown(instance, named)]
            if named and not now:
                return 0  # all of them have been removed
            # A rate takes two readings: where nobody waits before a terminal, nothing is shown before the second.
            if live or not first or not any(one.used for one in now):
                self._show([_row(one, before.get(one.container.id), named, self.no_trunc) for one in now], live)
                if self.no_stream:
                    return 0
            before, first = {one.container.id: one for one in now}, False
            time.sleep(_PERIOD)

    def _shown(self, instance: Instance, named: dict[str, str]) -> list[Container]:
        """Looked up each time: containers come and go."""
        if named:
            return [found for one in named if (found := instance.store.container(one)) is not None]
        return [one for one in instance.store.containers() if self.everything or is_running(one)]

    def _show(self, rows: Sequence[Row], live: bool) -> None:
        if not live:
            print_rows(rows, COLUMNS, self.form, extra=_EXTRA)
            sys.stdout.flush()
            return
        text = io.StringIO()
        with redirect_stdout(text):
            print_rows(rows, COLUMNS, self.form, extra=_EXTRA)
        lines = "".join(f"{line}{_END_OF_LINE}\n" for line in text.getvalue().splitlines())
        print(_HOME + lines + _REST, end="", flush=True)


@dataclass(frozen=True)
class _Reading:
    container: Container
    used: Usage | None  # None: it does not run
    traffic: tuple[int, int] = (0, 0)


def _read(instance: Instance, container: Container) -> _Reading:
    if not is_running(container) or container.init is None:
        return _Reading(container, None)
    groups = existing(instance.cgroup, container.id)
    used = usage(groups, () if groups else member_pids(instance, container))
    # In the host's network namespace the links are the host's, and their traffic is not the container's.
    return _Reading(container, used, traffic(container.init.pid) if container.sandbox else (0, 0))


def _row(now: _Reading, before: _Reading | None, named: dict[str, str], whole: bool) -> Row:
    container, used = now.container, now.used
    shown = container.id if whole else container.short_id
    row = {"Container": named.get(container.id, shown), "Name": container.name, "ID": shown}
    if used is None:
        row |= {"CPUPerc": "0.00%", "MemUsage": "0B / 0B", "MemPerc": "0.00%", "PIDs": "0"}
        return row | {"NetIO": "0B / 0B", "BlockIO": "0B / 0B"}
    known = used.block_read is not None and used.block_write is not None
    return row | {
        "CPUPerc": _cpu_percent(used, before.used if before else None),
        "MemUsage": f"{binary_size(used.memory_bytes)} / {binary_size(used.memory_limit)}",
        "MemPerc": f"{100 * used.memory_bytes / used.memory_limit:.2f}%",
        "NetIO": _pair(*now.traffic),
        "BlockIO": _pair(used.block_read or 0, used.block_write or 0) if known else _UNKNOWN,
        "PIDs": str(used.pids),
    }


def _cpu_percent(now: Usage, before: Usage | None) -> str:
    """Of one CPU: two busy ones are 200 %."""
    if before is None or now.system_cpu_ns <= before.system_cpu_ns:
        return _UNKNOWN
    share = max(0, now.cpu_ns - before.cpu_ns) / (now.system_cpu_ns - before.system_cpu_ns)
    return f"{100 * share * now.online_cpus:.2f}%"


def _pair(first: int, second: int) -> str:
    return f"{size(first)} / {size(second)}"
