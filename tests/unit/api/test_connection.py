"""A connection that workers hand to each other."""

import socket
from pathlib import Path

from minirun.api.http import Connection
from minirun.api.worker import serve_connection

ASKED = b"GET /_ping HTTP/1.1\r\nHost: api\r\n\r\n"


def test_a_request_that_comes_while_a_worker_gives_up_is_left_for_the_next() -> None:
    """Clients send on, at any moment, a connection that was quiet: to close it there is a reset to them."""
    service, client = socket.socketpair()
    with service, client:
        assert Connection(service).next_head(0.01) is None
        left = Connection(service)
        assert left.next_head(0.01) is None
        client.sendall(ASKED)  # it comes between the last look and the end of the wait
        assert left.is_quiet
        found = Connection(service).next_head(0.01)
        assert found is not None
        assert found[0].url == b"/_ping"


def test_a_connection_is_given_back_only_between_requests(tmp_path: Path) -> None:
    service, client = socket.socketpair()
    with service, client:
        client.sendall(ASKED)
        assert serve_connection(service, tmp_path, debug=False)
        client.sendall(ASKED + ASKED[:10])
        client.shutdown(socket.SHUT_WR)
        assert not serve_connection(service, tmp_path, debug=False)
