"""HTTP/1.1 on one connection: requests as they come in, and answers (RFC 9112). httptools parses.

A body is never in memory whole unless its reader asks for that: the parser is fed when the body is read.
"""

import json
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote

import httptools
import msgspec

from minirun import __version__
from minirun.api.json_bodies import decode

T = TypeVar("T")
_CHUNK = 65536
_MOST_HEAD = 1 << 20  # bytes of request line and headers: what Go's server takes
_MOST_JSON = 16 << 20  # bytes
_LONG_REST = 256 << 10  # bytes of a body that nobody wants, and
_GOODBYE = 0.5  # seconds in which they have to come: as Go's server has it
_PATIENCE = 60.0  # seconds for the rest of a head, and for the next part of a body
JSON = "application/json"


class ApiError(Exception):
    """An answer that tells of a failure: its status and its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class ClientGone(Exception):  # noqa: N818 - nobody sees it
    """The client has closed the connection, or stopped in the middle of a request."""


@dataclass
class Head:
    """What stands before a body."""

    method: str = ""
    url: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case
    keeps_alive: bool = True
    is_upgrade: bool = False


class _Incoming:
    """One request, as the parser fills it."""

    def __init__(self) -> None:
        self.head = Head()
        self.has_head = False
        self.pieces: deque[bytes] = deque()
        self.is_whole = False
        self.behind = 0  # bytes of a body that the parser takes for the other protocol

    def expect_body_behind(self) -> None:
        """For the parser, what is behind the head of a request that asks for another protocol is of that one."""
        length = self.head.headers.get("content-length", "0")
        self.behind = int(length) if length.isdigit() else 0


class Connection:
    """A client's connection. The parser's callbacks are the methods with `on_`."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._parser = httptools.HttpRequestParser(self)
        self._requests: deque[_Incoming] = deque()
        self._head_size = 0
        self._behind = b""  # what came behind a request that asks for another protocol
        self.is_open = True  # whether another request may follow
        self.has_answered = False  # whether the head of an answer has been sent

    def on_message_begin(self) -> None:
        self._requests.append(_Incoming())

    def on_url(self, url: bytes) -> None:
        self._requests[-1].head.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._requests[-1].head.headers[name.decode("latin-1").lower()] = value.decode("utf-8", "replace")

    def on_headers_complete(self) -> None:
        incoming = self._requests[-1]
        incoming.head.method = self._parser.get_method().decode()
        incoming.head.keeps_alive = self._parser.should_keep_alive()
        incoming.head.is_upgrade = self._parser.should_upgrade()
        incoming.has_head = True
        self._head_size = 0

    def on_body(self, data: bytes) -> None:
        self._requests[-1].pieces.append(data)

    def on_message_complete(self) -> None:
        self._requests[-1].is_whole = True

    def next_head(self, patience: float | None) -> "tuple[Head, Body] | None":
        """The next request; None when the client has closed the connection, or has sent nothing for `patience` seconds.

        ApiError for what is no HTTP.
        """
        while not (self._requests and self._requests[0].has_head):
            begun = bool(self._requests)
            self.socket.settimeout(_PATIENCE if begun else patience)
            try:
                if not self._feed():
                    return None
            except TimeoutError:
                if begun:
                    raise ApiError(HTTPStatus.REQUEST_TIMEOUT, "the request stopped within its headers") from None
                return None
        incoming = self._requests[0]
        self.has_answered = False
        return incoming.head, Body(self, incoming)

    def _feed(self) -> bool:
        """Read once. False at the end of the stream."""
        try:
            data = self.socket.recv(_CHUNK)
        except ConnectionError:
            data = b""
        if not data:
            return False
        self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._behind = data[upgrade.args[0] :]
            self._requests[-1].expect_body_behind()
        except httptools.HttpParserError as error:
            raise ApiError(HTTPStatus.BAD_REQUEST, f"this is no HTTP request: {error}") from None
        if self._requests and self._requests[-1].has_head:
            self._head_size = 0
        if self._head_size > _MOST_HEAD:
            raise ApiError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the headers are larger than 1 MiB")
        return True

    def read_body(self, incoming: _Incoming) -> bytes:
        """The next part of a body; b"" at its end."""
        self.socket.settimeout(_PATIENCE)
        while not incoming.pieces and not incoming.is_whole:
            try:
                if not self._feed():
                    raise ClientGone
            except TimeoutError:
                raise ApiError(HTTPStatus.REQUEST_TIMEOUT, "the request stopped within its body") from None
        if incoming.behind:
            return self._read_behind(incoming)
        return incoming.pieces.popleft() if incoming.pieces else b""

    def _read_behind(self, incoming: _Incoming) -> bytes:
        try:
            data = self._behind or self.socket.recv(_CHUNK)
        except TimeoutError:
            raise ApiError(HTTPStatus.REQUEST_TIMEOUT, "the request stopped within its body") from None
        if not data:
            raise ClientGone
        piece, self._behind = data[: incoming.behind], data[incoming.behind :]
        incoming.behind -= len(piece)
        return piece

    def finish(self) -> None:
        """Forget the request that has been answered. A long rest of its body that nobody has read ends the connection.

        That rest is read for a moment: a client that is still sending would see a reset, and not the answer.
        """
        incoming = self._requests.popleft()
        if self.is_open and not incoming.is_whole:
            self._discard(incoming)
        self.is_open &= incoming.is_whole and incoming.head.keeps_alive and not incoming.head.is_upgrade

    def _discard(self, incoming: _Incoming) -> None:
        """Read the rest of a body, as far as it comes soon."""
        ends_at, received = time.monotonic() + _GOODBYE, 0
        with suppress(ApiError, TimeoutError):
            while not incoming.is_whole and received < _LONG_REST and (left := ends_at - time.monotonic()) > 0:
                self.socket.settimeout(left)
                if not self._feed():
                    return
                received += sum(map(len, incoming.pieces))
                incoming.pieces.clear()
        if not incoming.is_whole:
            self.say_goodbye()

    def say_goodbye(self) -> None:
        """Send no more, and for a moment drop what still comes, so that the client reads the answer."""
        ends_at = time.monotonic() + _GOODBYE
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
            while (left := ends_at - time.monotonic()) > 0:
                self.socket.settimeout(left)
                if not self.socket.recv(_CHUNK):
                    return

    @property
    def is_quiet(self) -> bool:
        """Whether no part of another request has been read. One that has come meanwhile is for the next who reads."""
        return not self._requests

    def send(self, *parts: bytes) -> None:
        """Send all of it. ClientGone when nobody is there."""
        self.socket.settimeout(None)
        try:
            self.socket.sendall(b"".join(parts))
        except OSError:
            raise ClientGone from None

    def take_over(self) -> tuple[socket.socket, bytes]:
        """The connection for another protocol, and what has come of that already."""
        self.is_open = False
        self.has_answered = True
        self.socket.settimeout(None)
        behind, self._behind = self._behind, b""
        return self.socket, behind


class Body:
    """A request's body."""

    def __init__(self, connection: Connection, incoming: _Incoming) -> None:
        self._connection = connection
        self._incoming = incoming
        self._rest = b""
        self._expects = incoming.head.headers.get("expect", "").lower() == "100-continue"

    def read_some(self) -> bytes:
        """The next part; b"" at the end."""
        if self._expects:
            self._expects = False
            self._connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return self._connection.read_body(self._incoming)

    def read(self, size: int = -1) -> bytes:
        """As a file's: `size` bytes, less only at the end."""
        found = bytearray(self._rest)
        while (size < 0 or len(found) < size) and (piece := self.read_some()):
            found += piece
        self._rest = bytes(found[size:]) if size >= 0 else b""
        return bytes(found[:size]) if size >= 0 else bytes(found)

    def whole(self) -> bytes:
        """All of it. ApiError when it is too large for a description in JSON."""
        found = bytearray()
        while piece := self.read_some():
            found += piece
            if len(found) > _MOST_JSON:
                raise ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request's body is larger than 16 MiB")
        return bytes(found)

    def json(self, kind: type[T], default: T | None = None) -> T:
        """The body as a `kind`, whose unknown fields are ignored. ApiError when it is none.

        default: for an empty body
        """
        data = self.whole()
        if not data.strip():
            if default is not None:
                return default
            raise ApiError(HTTPStatus.BAD_REQUEST, "invalid JSON: got EOF while reading request body")
        try:
            return decode(data, kind)
        except (ValueError, RecursionError) as error:
            raise ApiError(HTTPStatus.BAD_REQUEST, f"invalid JSON: {error}") from None


class Query:
    """The parameters behind the question mark."""

    def __init__(self, text: str) -> None:
        try:
            self._values = parse_qs(text, keep_blank_values=True, max_num_fields=10_000, errors="strict")
        except ValueError as error:
            raise ApiError(HTTPStatus.BAD_REQUEST, f"invalid query: {error}") from None

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        """The first value."""
        return self._values.get(name, [default])[0]

    def all(self, name: str) -> list[str]:
        """Every value."""
        return self._values.get(name, [])

    def put(self, name: str, text: str) -> None:
        """Give a parameter another value."""
        self._values[name] = [text]

    def flag(self, name: str, default: bool = False) -> bool:
        """As Docker reads it: all but "", 0, no, false and none is true."""
        if name not in self._values:
            return default
        return self.text(name).strip().lower() not in ("", "0", "no", "false", "none")

    def number(self, name: str, default: int | None = None) -> int | None:
        """A whole number. ApiError when it is none."""
        text = self.text(name)
        if not text:
            return default
        try:
            return int(text)
        except ValueError:
            raise ApiError(HTTPStatus.BAD_REQUEST, f'strconv.Atoi: parsing "{text}": invalid syntax') from None

    def filters(self) -> dict[str, list[str]]:
        """`filters`, in either of its shapes: {"key": ["value"]} or {"key": {"value": true}}."""
        text = self.text("filters")
        if not text:
            return {}
        try:
            raw = json.loads(text)
            return {key: _filter_values(values) for key, values in raw.items()}
        except (ValueError, AttributeError, TypeError, RecursionError):
            raise ApiError(HTTPStatus.BAD_REQUEST, f"invalid filters: {text}") from None


def _filter_values(values: Any) -> list[str]:
    found = [key for key, wanted in values.items() if wanted] if isinstance(values, dict) else values
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise TypeError
    return found


Writing = Callable[["ChunkedBody"], None]


@dataclass(frozen=True)
class Response:
    """An answer.

    body: the bytes; or pieces of unknown number, which are sent as they come; or a function that writes them. As long
    as that has written nothing, what it raises is the answer.
    """

    status: int = HTTPStatus.OK
    body: bytes | Iterable[bytes] | Writing = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(value: Any, status: int = HTTPStatus.OK, **headers: str) -> Response:
    """An answer in JSON."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Response(status, msgspec.json.encode(value) + b"\n", JSON, named)


NO_CONTENT = Response(HTTPStatus.NO_CONTENT)
NOT_MODIFIED = Response(HTTPStatus.NOT_MODIFIED)


def send(connection: Connection, head: Head, response: Response, api_version: str) -> None:
    """Send an answer. A body of unknown length goes in chunks, each at once."""
    fields = {
        "Api-Version": api_version,
        "Docker-Experimental": "false",
        "Ostype": "linux",
        "Server": f"minirun/{__version__} (linux)",
        **response.headers,
    }
    bodiless = response.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
    if not bodiless and response.body != b"":
        fields["Content-Type"] = response.content_type
    if not head.keeps_alive:
        fields["Connection"] = "close"
    if isinstance(response.body, bytes):
        if not bodiless:
            fields.setdefault("Content-Length", str(len(response.body)))
        connection.has_answered = True
        connection.send(_head(response.status, fields), b"" if head.method == "HEAD" else response.body)
        return
    fields["Transfer-Encoding"] = "chunked"
    body = ChunkedBody(connection, _head(response.status, fields))
    if callable(response.body):
        response.body(body)
    else:
        body.flush()
        for piece in response.body:
            body.write(piece)
    body.end()


class ChunkedBody:
    """A body of unknown length, to write to as to a file. Each write is sent at once, the first with the head."""

    def __init__(self, connection: Connection, head: bytes) -> None:
        self._connection = connection
        self._head = head

    def write(self, data: bytes) -> int:
        """Send a chunk. ClientGone when nobody is there."""
        if data:
            self._connection.send(self._take_head(), b"%x\r\n" % len(data), data, b"\r\n")
        return len(data)

    def flush(self) -> None:
        """Send the head, if it is not sent yet."""
        self._connection.send(self._take_head())

    def end(self) -> None:
        """Send what ends the body."""
        self._connection.send(self._take_head(), b"0\r\n\r\n")

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        if head:
            self._connection.has_answered = True
        return head


def _head(status: int, fields: Mapping[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {int(status)} {HTTPStatus(status).phrase}",
        *(f"{name}: {text}" for name, text in fields.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")


def decoded(text: str) -> str:
    """A part of a path without percent signs. ApiError when it isn't UTF-8, or has a zero byte."""
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError:
        plain = "\0"
    if "\0" in plain:
        raise ApiError(HTTPStatus.BAD_REQUEST, "invalid path")
    return plain
