"""Attach by websocket (RFC 6455): binary messages for output, either kind for input. wsproto has the frames."""

import socket
from http import HTTPStatus

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token

from minirun.api.http import ApiError
from minirun.api.request import Request
from minirun.api.streams import ClientStream


def accept_websocket(request: Request) -> tuple[socket.socket, bytes]:
    """Answer the handshake. Returns the socket, and what the client has sent already. ApiError when it is none."""
    key = request.header("sec-websocket-key")
    if request.header("upgrade").lower() != "websocket" or not key or request.header("sec-websocket-version") != "13":
        raise ApiError(HTTPStatus.BAD_REQUEST, "the request is no websocket handshake of version 13")
    accept = generate_accept_token(key.encode("latin-1")).decode()
    return request.take_over("", **{"Sec-WebSocket-Accept": accept})


class WebSocketStream(ClientStream):
    """The client's connection as a websocket: all output is one stream."""

    _frames: Connection | None = None

    def _connection(self) -> Connection:
        if self._frames is None:
            self._frames = Connection(ConnectionType.SERVER)
        return self._frames

    def _encoded(self, stream: int, data: bytes) -> bytes:
        return self._connection().send(BytesMessage(data))

    def _decoded(self, data: bytes) -> bytes:
        frames, found = self._connection(), bytearray()
        try:
            frames.receive_data(data)
            for event in frames.events():
                if isinstance(event, TextMessage):
                    found += event.data.encode()
                elif isinstance(event, BytesMessage):
                    found += event.data
                elif isinstance(event, Ping):
                    self.outbox.add(frames.send(event.response()))
                elif isinstance(event, CloseConnection):
                    self.outbox.add(frames.send(event.response()))
                    self.flush()
                    self.is_gone = True
        except (LocalProtocolError, RemoteProtocolError):
            self.is_gone = True
        return bytes(found)

    def close(self) -> None:
        """Say that it is over, and end the connection."""
        if not self.is_gone:
            self.outbox.add(self._connection().send(CloseConnection(code=1000)))
        super().close()
