"""Runs in the lab of a rootless host: makes connections there for the test process, and ends the lab with it.

The test process cannot enter the lab's network namespace itself: that takes the lab's user namespace, which a process
with threads cannot enter (setns(2)). But a socket stays in the namespace that it was made in, whoever holds it, so
connected sockets are handed over (SCM_RIGHTS). It is run as a file, by `python -I -S`: standard library only.

Standard input is a socket. Its first message brings a pidfd of the test process; each other one is a request, with the
socket for its answer.
"""

import errno
import json
import select
import socket
import threading
from typing import Any

SIZE = 4096  # bytes of a message


def main() -> None:
    """Answer requests until the test process has ended, or closes its end."""
    line = socket.socket(fileno=0)
    line.send(b"ready")
    _, (owner,), _, _ = socket.recv_fds(line, SIZE, 1)
    while owner not in select.select([line.fileno(), owner], [], [])[0]:
        request, fds, _, _ = socket.recv_fds(line, SIZE, 1)
        if not request:
            return
        words = (socket.socket(fileno=fds[0]), json.loads(request))
        threading.Thread(target=_answer, args=words, daemon=True).start()


def _answer(channel: socket.socket, request: dict[str, Any]) -> None:
    with channel:
        try:
            with socket.create_connection((request["address"], request["port"]), request["timeout"]) as made:
                socket.send_fds(channel, [b"{}"], [made.fileno()])
        except OSError as error:
            channel.send(json.dumps({"errno": error.errno or errno.ETIMEDOUT, "text": str(error)}).encode())


if __name__ == "__main__":
    main()
