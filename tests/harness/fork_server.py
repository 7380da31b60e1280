"""The fork server that runs the commands of the tests: one for the whole run, shared by all throwaway hosts.

It lives outside of them, where /run/minirun is; each host sees this directory as its own (host.py). A command that is
typed in a host is run by a worker that joins the host. With MINIRUN_FORKSERVER=off in the environment there is none,
and each command starts Python.
"""

import os
import select
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from minirun.forkserver.location import DIRECTORY, socket_path
from minirun.forkserver.request import STOP
from tests.harness.snapshot import eventually

_START = 60  # seconds: it imports everything, on a machine that may be busy


def is_wanted() -> bool:
    """Whether commands are run by the server in these tests."""
    return os.geteuid() == 0 and os.environ.get("MINIRUN_FORKSERVER") != "off"


def start(launcher: str) -> None:
    """Start the server, and wait until it listens."""
    stop(launcher)
    subprocess.run([launcher, "--version"], check=True, stdout=subprocess.DEVNULL)
    eventually(lambda: _is_listening(launcher), _START)


def stop(launcher: str) -> None:
    """Stop the server and remove what it leaves."""
    connection = _connect(launcher)
    if connection is not None:
        connection.send(STOP)
        select.select([connection], [], [], _START)  # it hangs up
        connection.close()
    for kind in (".lock", ".log"):
        socket_path(Path(launcher)).with_suffix(kind).unlink(missing_ok=True)
    with suppress(OSError):  # not empty: another installation's server
        DIRECTORY.rmdir()


def _is_listening(launcher: str) -> bool:
    connection = _connect(launcher)
    if connection is not None:
        connection.close()
    return connection is not None


def _connect(launcher: str) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(socket_path(Path(launcher))))
    except OSError:
        connection.close()
        return None
    return connection
