"""Builds: a Dockerfile of 20 steps, executed and from the cache. Docker builds by its classic builder."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from bench.clock import SETTLE, say
from bench.commands import rounds, shuffled
from bench.contenders import Contender
from bench.results import Results
from bench.rows import GROUPS, ROWS

_TAG = "bench-build"
_FILES = 6
_RUN = [f"RUN echo {number} > /run-{number}" for number in range(12)]
_COPY = [f"COPY file-{number} /copied-{number}" for number in range(_FILES)]
_DOCKERFILE = ["FROM busybox", *_RUN, *_COPY, "WORKDIR /srv", "RUN ls > listing", 'CMD ["sh"]']
_TIMEOUT = 300.0


def measure(engines: Sequence[Contender], work: Path, results: Results, repeat: int) -> None:
    rows = [row for row in GROUPS["builds"].rows if row in results.rows]
    if not rows:
        return
    os.environ["DOCKER_BUILDKIT"] = "0"  # BuildKit is a program of its own, which the engine here may not have
    context = work / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("\n".join(_DOCKERFILE) + "\n")
    for number in range(_FILES):
        (context / f"file-{number}").write_text(f"{number}\n" * 1000)
    build = ("build", "-q", "-t", _TAG, str(context))
    for one in engines:
        one.must(*build, timeout=_TIMEOUT)
    for turn in rounds("builds", repeat):
        for one in shuffled(engines, turn):
            for row in rows:
                words = (*build[:-1], "--no-cache", build[-1]) if row == "build-all" else build
                seconds, error = one.run(*words, timeout=_TIMEOUT)
                if error is None:
                    results.add(row, one.name, seconds if row == "build-all" else 1000 * seconds)
                else:
                    results.fail(row, one.name)
                    say(f"{one.name}, {ROWS[row].title}: {error}")
                time.sleep(SETTLE)
