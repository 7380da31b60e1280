"""A suite of 50 tests with real servers: testcontainers for Python with Docker, and minirun's plugin for pytest."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bench import namespaces
from bench.clock import SETTLE, say
from bench.commands import rounds, shuffled
from bench.contenders import Contender
from bench.results import Results
from bench.rows import GROUPS

_REPO = Path(__file__).resolve().parents[1]
_SUITES = {"minirun": "by_minirun.py", "docker": "by_testcontainers.py"}
_PLACE = "bench-suites"  # in the virtual environment
_TIMEOUT = 600.0


def prepare(minirun: str) -> None:
    """Before the namespaces are entered, where nothing can be fetched."""
    environment = Path(minirun).parent.parent
    words = [str(environment / "bin/python"), "-m", "bench.suites.prepare", str(environment / _PLACE)]
    if subprocess.run(words, cwd=_REPO, check=False).returncode:
        say("the suites are not measured: what they need cannot be fetched")


def measure(engines: Sequence[Contender], work: Path, minirun: str, results: Results, repeat: int) -> None:
    """The wall time of pytest, from its start to its end."""
    environment = Path(minirun).parent.parent
    rows = [row for row in GROUPS["testing"].rows if row in results.rows]
    able = [one for one in engines if one.name in _SUITES]
    if not rows or not (environment / _PLACE / "servers.tar").exists():
        return
    for turn in rounds("suites", repeat):
        for one in shuffled(able, turn):
            for row in rows:
                seconds, error = _run(one, environment, work, row.partition("-")[2])
                if error:
                    results.fail(row, one.name)
                    say(f"{one.name}, {row}: {error}")
                else:
                    results.add(row, one.name, seconds)
                time.sleep(SETTLE)


def _run(one: Contender, environment: Path, work: Path, part: str) -> tuple[float, str]:
    """Seconds, and what went wrong. `part` chooses tests by their names."""
    suite = _REPO / "bench/suites" / _SUITES[one.name]
    words = [str(environment / "bin/python"), "-B", "-m", "pytest", "-q", "-c", "/dev/null", f"--rootdir={work}"]
    words += ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "minirun.testing.plugin", "-k", part, str(suite)]
    variables = {
        **os.environ,
        "PYTHONPATH": f"{_REPO}:{environment / _PLACE / 'python'}",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "SERVERS": str(environment / _PLACE / "servers.tar"),
        "MINIRUN_BIN": one.command[0],
        "DOCKER_HOST": f"unix://{work}/docker.sock",
        "TESTCONTAINERS_RYUK_DISABLED": "true",
    }
    with namespaces.within(one.host):
        began = time.perf_counter()
        try:
            done = subprocess.run(
                words, env=variables, capture_output=True, text=True, check=False, timeout=_TIMEOUT, cwd=work
            )
        except subprocess.TimeoutExpired:
            return _TIMEOUT, f"not done in {_TIMEOUT:.0f} seconds"
        seconds = time.perf_counter() - began
    return seconds, (done.stdout + done.stderr)[-2000:] if done.returncode else ""
