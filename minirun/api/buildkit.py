"""BuildKit's protocol: gRPC on a connection that is taken over. Each call is refused, with what to do instead.

Where an engine has no POST /grpc at all, buildx and compose fetch `moby/buildkit` and run it in a container. What
`docker build` makes stays there then, where no container finds it.
https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from http import HTTPStatus
from urllib.parse import quote

from minirun.api.http import ApiError
from minirun.api.request import Request
from minirun.engine.protocol import CHUNK

REASON = "BuildKit's protocol is not served: with DOCKER_BUILDKIT=0, docker and compose have minirun build"
_UNIMPLEMENTED = "12"  # of gRPC's status codes
_UNQUOTED = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def refuse(request: Request) -> None:
    """POST /grpc."""
    if not request.head.is_upgrade or request.header("upgrade") != "h2c":
        raise ApiError(HTTPStatus.BAD_REQUEST, f"POST /grpc needs Upgrade: h2c. {REASON}")
    # HTTP/2 takes 20 ms and 3 MiB, and nothing else needs it.
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import RequestReceived
    from h2.exceptions import ProtocolError

    headers = {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-status": _UNIMPLEMENTED,
        "grpc-message": quote(REASON, safe=_UNQUOTED),
    }
    sock, data = request.take_over("")
    request.close()
    connection = H2Connection(H2Configuration(client_side=False))
    connection.initiate_connection()
    try:
        while True:
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    connection.send_headers(event.stream_id, list(headers.items()), end_stream=True)
            sock.sendall(connection.data_to_send())
            data = sock.recv(CHUNK)
            if not data:
                return
    except (OSError, ProtocolError):  # the client is gone, or speaks something else
        return
