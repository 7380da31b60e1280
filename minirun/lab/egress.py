"""A lab's way out: pasta(1) copies packets between a device in the lab and ordinary sockets of the user."""

import time
from collections.abc import Callable
from pathlib import Path

from minirun.kernel.lab import helper_start
from minirun.kernel.programs import program_path

DNS_ADDRESS = "169.254.1.1"  # pasta answers DNS there, by the host's own servers
_RESOLV_CONF = Path("/etc/resolv.conf")
_PATIENCE, _PAUSE = 10.0, 0.005  # seconds
_NONE = "none"


def start_egress(pid: int) -> tuple[str, str]:
    """Start pasta for the network namespace of a process. Returns its name, or "" and why there is none.

    Nothing of the lab is published on the host: without -t, pasta would take every port that a container listens on.
    It ends with this process.
    """
    program = program_path("pasta")
    if program is None:
        return "", "pasta is not installed (sudo apt install passt)"
    words = ["--foreground", "--quiet", "--config-net", "--no-map-gw", "--dns-forward", DNS_ADDRESS]
    for flag in ("-t", "-u", "-T", "-U"):
        words += [flag, _NONE]
    helper = helper_start(program, [*words, str(pid)])
    if _wait(lambda: _has_route(pid), helper.has_ended):
        return "pasta", ""
    return "", f"pasta: {helper.stop() or 'it made no route'}"


def resolv_conf(is_open: bool) -> str:
    """The content of /etc/resolv.conf in the lab."""
    if not is_open:
        return "nameserver 127.0.0.1\n"  # nobody is there: a query is refused at once
    try:
        lines = _RESOLV_CONF.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    kept = [line for line in lines if line.split()[:1] and line.split()[0] in ("search", "options")]
    return "".join(f"{line}\n" for line in [f"nameserver {DNS_ADDRESS}", *kept])


def _has_route(pid: int) -> bool:
    """Whether a namespace has a default route (proc_pid_net(5))."""
    lines = Path(f"/proc/{pid}/net/route").read_text().splitlines()[1:]
    return any(line.split()[1:2] == ["00000000"] for line in lines)


def _wait(is_there: Callable[[], bool], has_ended: Callable[[], bool]) -> bool:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if is_there():
            return True
        if has_ended():
            return False
        time.sleep(_PAUSE)
    return False
