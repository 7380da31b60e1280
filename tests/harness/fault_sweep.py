"""Fault sweeps: a command, again and again, with a fault at each of its kernel operations in turn.

Every fault is checked to have fired. Without that, a sweep over operations that a command no longer has would pass, and
test nothing.
"""

import atexit
import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from tests.harness.fault_injection import IDENTITIES, IDENTITY, MOST
from tests.harness.host import REPO, Host
from tests.harness.snapshot import Snapshot, assert_same, eventually

Done = subprocess.CompletedProcess[str]
_PROGRAM = REPO / "tests/harness/fault_injection.py"
_ENVIRONMENT = {"PYTHONPATH": str(REPO), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_TIMEOUT = 30  # seconds
_LOOKS = int(os.environ.get("FAULT_LOOKS", "5"))  # runs for each look at what they have left
_SHARED_STRIDE = 7  # between the operations that are swept although other commands have them, too
_ROOM = " " * 1024  # in the command line: space for the words of the commands that it is shown as


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
    check: Callable[[Done], object] = lambda done: None,
    *,
    prepare: Callable[[], object] = lambda: None,
    before: Snapshot | None = None,
    settle: Callable[[], object] = lambda: None,
    least: int = 1,
    stride: int = 1,
    besides: Sequence[Sequence[str]] = (),
) -> None:
    """Run the command with a fault at each `stride`-th of its operations.

    `prepare` comes before each run, `check` after each, also around the one without a fault that counts the operations.
    There must be at least `least` of these.

    besides: commands with a sweep of their own. What is swept is the operations that none of these has, each the first
    time that it is done (which one it is says its shell command), and a few of all.

    before: what the host has to look like, after `settle`. To look takes longer than most commands, and what one of
    them leaves stays until something removes it. So the look comes after a few runs; FAULT_LOOKS=1 in the environment
    has it come after each, to find the one.
    """

    def one(step: int | str, inject: Callable[[], Done], is_looked: bool) -> None:
        prepare()
        done = inject()
        try:
            assert "Traceback" not in done.stderr
            check(done)
            if before and is_looked:
                settle()
                assert_same(host, before)
        except AssertionError as error:
            raise AssertionError(f"{how} at step {step} of {total}: {error}\n{done.stderr}") from None

    def count() -> Done:
        nonlocal total
        done, report = _run(host, "count", 0, words, check=True)
        total = report[1:MOST].count(1)
        return done

    total = 0
    one(0, count, True)
    assert total >= least, f"only {total} operations"
    steps: Sequence[int | str] = range(1, total + 1, stride)
    if besides:
        known = {identity for other in besides for identity in _identities(host, other)}
        own = [identity for identity in dict.fromkeys(_identities(host, words)) if identity not in known]
        steps = [*own, *range(1, total + 1, _SHARED_STRIDE)]
    for index, step in enumerate(steps, 1):
        one(step, lambda step=step: inject_fault(host, how, step, words), index % _LOOKS == 0 or index == len(steps))


def _identities(host: Host, words: Sequence[str]) -> list[str]:
    """Run the command, and return the identities of its operations, as they are named in place of a step."""
    report = _run(host, "count", 0, words, check=True)[1]
    places = range(IDENTITIES + IDENTITY, IDENTITIES + IDENTITY * (report[1:MOST].count(1) + 1), IDENTITY)
    return [f"={report[place : place + IDENTITY].hex()}" for place in places]


def _run(host: Host, how: str, step: int | str, words: Sequence[str], check: bool) -> tuple[Done, bytes]:
    name = f"run/faults-{uuid.uuid4().hex[:8]}"
    report = Path(f"/proc/{host.pid}/root/{name}")
    request = {"how": how, "step": str(step), "report": f"/{name}", "words": list(words), "host": host.pid}
    done = _ask(request)
    if check and done.returncode:
        raise AssertionError(f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    if how != "count":
        try:  # a process that outlives the command may be the one
            eventually(lambda: report.read_bytes()[0])
        except AssertionError:
            begun = report.read_bytes()[1:MOST].count(1)
            ended = f"{begun} operations, exit code {done.returncode}\n{done.stderr}"
            raise AssertionError(f"{how} at step {step} of {words} never fired: {ended}") from None
    content = report.read_bytes()
    report.unlink()
    return done, content


def _ask(request: dict[str, object]) -> Done:
    """Have a command run. Returns when it has ended and nobody has its output open any more."""
    (output, their_output), (errors, their_errors) = os.pipe(), os.pipe()
    try:
        socket.send_fds(_server(), [json.dumps(request).encode()], [their_output, their_errors])
    finally:
        os.close(their_output)
        os.close(their_errors)
    with open(output, encoding="utf-8") as first, open(errors, encoding="utf-8") as second:
        try:
            code = int(_server().recv(16))
        except TimeoutError:
            _server.cache_clear()  # its answer may still come
            raise
        return Done(request["words"], code, first.read(), second.read())


@cache
def _server() -> socket.socket:
    """The end of the socket that fault_injection.py takes requests from."""
    own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    own.settimeout(_TIMEOUT)
    process = subprocess.Popen(
        [sys.executable, str(_PROGRAM), str(theirs.fileno()), _ROOM],
        env=_ENVIRONMENT,
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd="/",
    )
    theirs.close()

    def stop() -> None:
        own.close()
        process.kill()
        process.wait()

    atexit.register(stop)
    return own
