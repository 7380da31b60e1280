"""One GET request to a program in a container, sent from within its network namespace."""

import http.client
import socket
from contextlib import nullcontext

from minirun.errors import describe
from minirun.kernel.netns import entered

_SECONDS = 5.0  # for one answer
_GOOD = range(200, 400)


def answer_of(container: str, address: str, port: int, path: str, status: int) -> str:
    """Send GET `path` to `address` in the network namespace of `container` ("": the host's).

    Return "" for the expected status (0: any from 200 to 399), else what came instead. No route, rule or proxy of the
    host is involved, so it is the program that answers.
    """
    request = http.client.HTTPConnection(address, port, timeout=_SECONDS)
    try:
        with entered(container) if container else nullcontext():
            request.sock = socket.create_connection((address, port), _SECONDS)
        request.request("GET", path, headers={"User-Agent": "minirun", "Connection": "close"})
        answer = request.getresponse()
    except (OSError, http.client.HTTPException) as error:
        return f"{address}:{port}: {describe(error)}"
    finally:
        request.close()
    if answer.status == status or (not status and answer.status in _GOOD):
        return ""
    return f"{address}:{port}: {answer.status} {answer.reason}"
