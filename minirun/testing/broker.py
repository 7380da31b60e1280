"""Runs in the lab of a rootless host: makes connections there for the test process, and ends the lab with it.

The test process cannot enter the lab's network namespace itself: that takes the lab's user namespace, which a process
with threads cannot enter (setns(2)). But a socket stays in the namespace that it was made in, whoever holds it, so
connected sockets are handed over (SCM_RIGHTS). It is run as a file, by `python -I -S`: standard library only.

Standard input is a socket. Its first message brings a pidfd of the test process; each other one is a request, with the
socket for its answer. If the first message brings a listening socket, too, other processes may connect to that one, and
only the end of the process of the pidfd ends the lab.
"""

import errno
import json
import os
import select
import socket
import threading
from contextlib import suppress
from typing import Any

SIZE = 4096  # bytes of a message


def main() -> None:
    """Answer requests until the test process has ended, or closes its end."""
    line = socket.socket(fileno=0)
    line.send(b"ready")
    _, (owner, *listener), _, _ = socket.recv_fds(line, SIZE, 2)
    ends = [owner]
    if listener:
        threading.Thread(target=_attach, args=(socket.socket(fileno=listener[0]),), daemon=True).start()
        threading.Thread(target=_serve, args=(line,), daemon=True).start()
    else:
        server, done = os.pipe()
        ends.append(server)
        threading.Thread(target=_serve, args=(line, done), daemon=True).start()
    select.select(ends, [], [])


def _attach(listener: socket.socket) -> None:
    """Serve other processes of the test run, which connect to a socket that they share."""
    while True:
        line = listener.accept()[0]
        with suppress(OSError):
            line.send(b"ready")
            threading.Thread(target=_serve, args=(line,), daemon=True).start()


def _serve(line: socket.socket, done: int = -1) -> None:
    """Answer the requests of a process until it closes its end. Then close `done`."""
    with line:
        while True:
            request, fds, _, _ = socket.recv_fds(line, SIZE, 1)
            if not request:
                break
            threading.Thread(
                target=_answer, args=(socket.socket(fileno=fds[0]), json.loads(request)), daemon=True
            ).start()
    if done >= 0:
        os.close(done)


def _answer(channel: socket.socket, request: dict[str, Any]) -> None:
    with channel:
        try:
            with socket.create_connection((request["address"], request["port"]), request["timeout"]) as made:
                socket.send_fds(channel, [b"{}"], [made.fileno()])
        except OSError as error:
            channel.send(json.dumps({"errno": error.errno or errno.ETIMEDOUT, "text": str(error)}).encode())


if __name__ == "__main__":
    main()
