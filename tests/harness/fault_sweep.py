"""Fault sweeps: a command, again and again, with a fault at each of its kernel operations in turn.

Every fault is checked to have fired. Without that, a sweep over operations that a command no longer has would pass, and
test nothing.
"""

import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.harness.fault_injection import MOST
from tests.harness.host import REPO, Host
from tests.harness.snapshot import eventually

Done = subprocess.CompletedProcess[str]
_PROGRAM = [sys.executable, str(REPO / "tests/harness/fault_injection.py")]
_ENVIRONMENT = {"PYTHONPATH": str(REPO), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def count_operations(host: Host, words: Sequence[str]) -> int:
    """Run the command, and return how many kernel operations all its processes have begun by its end."""
    return _run(host, "count", 0, words, check=True)[1][1:MOST].count(1)


def inject_fault(host: Host, how: str, step: int | str, words: Sequence[str]) -> Done:
    """Run the command with one fault, which must fire.

    how: "fail" (ENOSPC), "lack" (ENOSYS) or "kill" (SIGKILL to the process that does the operation).
    step: the number of the operation, from 1; or a text, for the first operation whose shell command contains it.
    """
    return _run(host, how, step, words, check=False)[0]


def sweep_faults(
    host: Host,
    how: str,
    words: Sequence[str],
    check: Callable[[Done], object],
    *,
    prepare: Callable[[], object] = lambda: None,
    least: int = 1,
    stride: int = 1,
) -> None:
    """Run the command with a fault at each `stride`-th of its operations.

    `prepare` comes before each run, `check` after each, also around the one without a fault that counts the operations.
    There must be at least `least` of these.
    """
    prepare()
    done, report = _run(host, "count", 0, words, check=True)
    total = report[1:MOST].count(1)
    check(done)
    assert total >= least, f"only {total} operations"
    for step in range(1, total + 1, stride):
        prepare()
        done = inject_fault(host, how, step, words)
        try:
            assert "Traceback" not in done.stderr
            check(done)
        except AssertionError as error:
            raise AssertionError(f"{how} at step {step} of {total}: {error}\n{done.stderr}") from None


def _run(host: Host, how: str, step: int | str, words: Sequence[str], check: bool) -> tuple[Done, bytes]:
    name = f"run/faults-{uuid.uuid4().hex[:8]}"
    report = Path(f"/proc/{host.pid}/root/{name}")
    done = host.run([*_PROGRAM, how, str(step), f"/{name}", *words], env=_ENVIRONMENT, check=check)
    if how != "count":
        try:  # a process that outlives the command may be the one
            eventually(lambda: report.read_bytes()[0], 5)
        except AssertionError:
            begun = report.read_bytes()[1:MOST].count(1)
            raise AssertionError(f"{how} at step {step} of {words} never fired: {begun} operations") from None
    content = report.read_bytes()
    report.unlink()
    return done, content
