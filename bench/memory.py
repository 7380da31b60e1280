"""The memory that a container costs beside its own: of every process that is there because of it.

In PSS: what several processes share, such as the program itself, is counted for each in part (proc_pid_smaps(5)).
Nothing is looked for by name: what was not there before, and is not in the container, watches over it or serves it.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from bench.clock import say
from bench.commands import rounds, shuffled
from bench.contenders import Contender
from bench.namespaces import pid_namespace
from bench.results import Results
from bench.rows import GROUPS

CONTAINERS = 10  # at once: what they share, they share by so many
_SETTLE = 2.0
_DAEMONS = {"docker": ("dockerd", "containerd"), "minirun": ("minirun-forkser",)}  # names have 15 characters
_FIRST_PORT = 22000


def measure(engines: Sequence[Contender], results: Results, repeat: int) -> None:
    rows = [row for row in GROUPS["memory"].rows if row in results.rows]
    for turn in rounds("memory", repeat if rows else 0):
        for one in shuffled(engines, turn):
            for row in rows:
                if row == "memory-daemons":
                    time.sleep(_SETTLE)  # a fork server prepares for the next command
                    results.add(row, one.name, _daemons(one) / 1024)
                else:
                    _added(one, row, results)


def _added(one: Contender, row: str, results: Results) -> None:
    names = [f"memory{number}" for number in range(CONTAINERS)]
    before, errors = set(_pids()), []
    for number, name in enumerate(names):
        port = ("-p", f"{_FIRST_PORT + number}:80") if row == "memory-port" else ()
        _, error = one.run("run", "-d", "--name", name, *port, "busybox", "sleep", "100000")
        errors += [error] if error else []
    time.sleep(_SETTLE)
    own = pid_namespace("self")
    daemons = _DAEMONS.get(one.name, ())  # a fork server has new processes after each command
    new = [pid for pid in _pids() if pid not in before and pid_namespace(pid) == own]
    found = [pss(pid) for pid in new if _comm(pid) not in daemons]
    one.remove(*names)
    if errors:
        results.fail(row, one.name)
        say(f"{one.name}, memory: {errors[0]}")
    else:
        results.add(row, one.name, sum(found) / CONTAINERS / 1024)


def _daemons(one: Contender) -> int:
    """KiB of what runs whether there is a container or not."""
    return sum(pss(pid) for pid in _pids() if _comm(pid) in _DAEMONS.get(one.name, ()))


def pss(pid: int) -> int:
    for line in _read(f"{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def available() -> int:
    """KiB."""
    return next(int(line.split()[1]) for line in _read("meminfo").splitlines() if line.startswith("MemAvailable:"))


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _comm(pid: int) -> str:
    return _read(f"{pid}/comm").strip()


def _read(name: str) -> str:
    try:
        return (Path("/proc") / name).read_text(errors="replace")
    except OSError:
        return ""
