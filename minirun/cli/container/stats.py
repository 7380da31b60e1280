"""minirun stats, minirun top."""

import io
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Annotated

from typer import Argument, Option

from minirun.cli.output.format import Columns, Row, print_rows
from minirun.cli.output.table import binary_size, print_table, size
from minirun.cli.parameters import NONE, RunningContainer, TableFormat, containers_argument
from minirun.cli.session import commands, open_instance
from minirun.engine.lifecycle import tell
from minirun.engine.liveness import is_running, member_pids, require_running
from minirun.engine.top import choose_columns
from minirun.instance import Instance
from minirun.kernel.controllers import existing
from minirun.kernel.procfs import host_clock, process_status, traffic
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


_TOP_WIDTH = 20  # columns of `docker top` are that wide
app = commands()


@app.command("stats")
def stats(
    containers: Annotated[list[str], containers_argument("running", "[CONTAINER...]")] = NONE,
    everything: Annotated[bool, Option("--all", "-a", help="Show all containers (default shows just running)")] = False,
    form: TableFormat = "",
    no_stream: Annotated[
        bool, Option("--no-stream", help="Disable streaming stats and only pull the first result")
    ] = False,
    no_trunc: Annotated[bool, Option("--no-trunc", help="Do not truncate output")] = False,
) -> int:
    """Display a live stream of container(s) resource usage statistics."""
    instance = open_instance()
    named = {find_container(instance.store, reference).id: reference for reference in containers}
    live = not no_stream and sys.stdout.isatty()
    if live:
        print("\033[2J", end="")
    before: dict[str, _Reading] = {}
    first = True
    while True:
        now = [_read(instance, one) for one in _shown(instance, named, everything)]
        if named and not now:
            return 0  # all of them have been removed
        # A rate takes two readings: without a terminal, nothing is shown before the second.
        if live or not first or not any(one.used for one in now):
            _show([_row(one, before.get(one.container.id), named, no_trunc) for one in now], form, live)
            if no_stream:
                return 0
        before, first = {one.container.id: one for one in now}, False
        time.sleep(_PERIOD)


def _shown(instance: Instance, named: dict[str, str], everything: bool) -> list[Container]:
    """Looked up each time: containers come and go."""
    if named:
        return [container for one in named if (container := instance.store.container(one)) is not None]
    return [one for one in instance.store.containers() if everything or is_running(one)]


def _show(rows: Sequence[Row], form: str, live: bool) -> None:
    if not live:
        print_rows(rows, COLUMNS, form, extra=_EXTRA)
        sys.stdout.flush()
        return
    text = io.StringIO()
    with redirect_stdout(text):
        print_rows(rows, COLUMNS, form, extra=_EXTRA)
    lines = "".join(f"{line}{_END_OF_LINE}\n" for line in text.getvalue().splitlines())
    print(_HOME + lines + _REST, end="", flush=True)


@app.command("top", flags_end=True)
def top(container: RunningContainer, ps_options: Annotated[list[str], Argument(metavar="[ps OPTIONS]")] = NONE) -> None:
    """Display the running processes of a container."""
    columns = choose_columns(ps_options)
    instance = open_instance()
    target = find_container(instance.store, container)
    require_running(target)
    tell(instance, target.id, "top")
    clock = host_clock()
    statuses = [process_status(pid) for pid in member_pids(instance, target)]
    rows = [[column.form(status, clock) for column in columns] for status in statuses if status is not None]
    print_table([column.header for column in columns], rows, _TOP_WIDTH)


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
