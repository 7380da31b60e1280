"""The clock: one command, or many at once."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO

_TIMEOUT = 60.0
# The kernel takes a dead network namespace apart on its own time: what one leaves to it should not slow the next.
SETTLE = 0.1


def once(command: Sequence[str], timeout: float = _TIMEOUT) -> tuple[float, str | None]:
    """Seconds from start to exit, and what went wrong, if anything did.

    Output goes to a file: a pipe would stay open as long as any monitor the command left behind holds it, and the
    wait is on a pidfd because Popen.wait with a timeout polls, at intervals of up to 50 ms.
    """
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
        in_time = _ends(child.pid, timeout)
        code = child.wait() if in_time else None
        seconds = time.perf_counter() - started
        if code == 0:
            return seconds, None
        if code is None:
            child.send_signal(signal.SIGKILL)
            child.wait()
            return seconds, f"not done in {timeout:.0f} seconds"
        return seconds, f"exit code {code}: {_last_words(errors)}"


def at_once(commands: Sequence[Sequence[str]], most: int) -> tuple[float, str | None]:
    """All of them, never more than so many at a time; as soon as one ends, the next starts."""
    waiting = list(commands)
    running: dict[int, subprocess.Popen[bytes]] = {}
    poll, failed = select.poll(), 0
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        while waiting or running:
            while waiting and len(running) < most:
                child = subprocess.Popen(
                    waiting.pop(0), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
                )
                handle = os.pidfd_open(child.pid)
                running[handle] = child
                poll.register(handle, select.POLLIN)
            for handle, _ in poll.poll():
                failed += running.pop(handle).wait() != 0
                poll.unregister(handle)
                os.close(handle)
        seconds = time.perf_counter() - started
        return seconds, f"{failed} of {len(commands)} failed: {_last_words(errors)}" if failed else None


def _ends(pid: int, timeout: float) -> bool:
    handle = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    finally:
        os.close(handle)


def _last_words(errors: IO[bytes]) -> str:
    errors.seek(0)
    return " / ".join(errors.read().decode(errors="replace").split("\n")[-5:]).strip(" /")


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)
