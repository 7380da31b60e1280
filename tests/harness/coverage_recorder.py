"""Line coverage of minirun in all of its processes: `scripts/coverage` has every Python process start it.

coverage(1) itself has each process write a file at its end. A container's first process cannot: it has another root by
then, and ends in exec. Here all processes share one mapped file with a byte for each line of each module, and set bytes
in it: forks inherit the mapping, and nothing has to be opened at the end.
"""

import atexit
import functools
import json
import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
INDEX = REPO / ".coverage-index"  # JSON: the path of each module, and where its bytes start
LINES = REPO / ".coverage-lines"


def prepare() -> None:
    """Lay out the file of lines, before the first process starts."""
    index, size = {}, 0
    for path in sorted((REPO / "minirun").rglob("*.py")):
        index[str(path)] = size
        size += len(path.read_bytes().splitlines()) + 1
    INDEX.write_text(json.dumps(index))
    LINES.write_bytes(bytes(size))


def start() -> None:
    """Measure this process and its forks; it writes down what it has run when it ends, or becomes another program."""
    import coverage

    index = json.loads(INDEX.read_text())
    with open(LINES, "r+b") as file:
        region = mmap.mmap(file.fileno(), 0)
    measured = coverage.Coverage(data_file=None, source=[str(REPO / "minirun")], config_file=False, branch=False)
    measured.start()
    collector: Any = measured._collector

    def save() -> None:
        for path, lines in collector.data.copy().items():
            for line in lines.copy():
                region[index[path] + line] = 1

    def saving(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any) -> Any:
            save()
            return function(*args)

        return call

    atexit.register(save)
    for name in ("_exit", "execv", "execve"):
        setattr(os, name, saving(getattr(os, name)))
    from minirun.kernel import seam

    class Watcher(seam.Watcher):
        def before(self, operation: seam.Operation) -> None:
            if "exec" in operation.name:  # a container's program replaces its first process by a call in C
                save()

    seam.watch(Watcher())


def report() -> None:
    """Turn the bytes into coverage's own data file, `.coverage`, for `coverage report` and `coverage html`."""
    from coverage import CoverageData

    content = LINES.read_bytes()
    index = json.loads(INDEX.read_text())
    ends = [*list(index.values())[1:], len(content)]
    data = CoverageData(str(REPO / ".coverage"))
    data.erase()
    data.add_lines(
        {
            path: [line for line in range(end - begin) if content[begin + line]]
            for (path, begin), end in zip(index.items(), ends, strict=True)
        }
    )
    data.write()


if __name__ == "__main__":
    {"prepare": prepare, "report": report}[sys.argv[1]]()
