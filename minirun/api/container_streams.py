"""Attach, wait, resize, logs."""

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus

import msgspec

from minirun.api import streams
from minirun.api.http import ApiError, Response
from minirun.api.request import Request, failing_with
from minirun.api.websocket import WebSocketStream, accept_websocket
from minirun.cli.container.attach_session import parse_detach_keys
from minirun.cli.container.log_details import text_of_details
from minirun.cli.container.logs import LogText, LogWindow, last_lines, wait_for_more
from minirun.cli.output.moments import moment
from minirun.engine.lifecycle import SHIM_LOST, tell
from minirun.engine.liveness import wait_until_started
from minirun.engine.log import Entry, LogReader
from minirun.engine.protocol import ATTACH_SOCKET, CHUNK, GIVES_STDIN, WANTS_OUTPUT, Kind, Parser, frame
from minirun.engine.stop import clean_up_lost_run, wait_for_cleanup
from minirun.engine.waiting_clients import WaitingClient
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel.sockets import control_connect, receive_until_end
from minirun.model import ACTIVE, Container, Status

_RESIZED = 1.0  # seconds to wait for a new size to be set
_LOOK = 0.5  # seconds between two looks whether a container that never started is still there
_RECENT = 1000  # events
_CONDITIONS = ("not-running", "next-exit", "removed")


class Joining:
    """The way to the shim of a container, which may not have started yet.

    Make it before the client is answered: from the answer on, the client may start the container.
    """

    def __init__(self, request: Request, container: Container, flags: int) -> None:
        """flags: of ATTACH"""
        self._request = request
        self._container = container
        self._flags = flags
        directory = request.instance.container_dir(container.id)
        self._waiting = None if container.status in ACTIVE else WaitingClient(directory, flags)

    def channel(self) -> socket.socket | None:
        """Wait for the start, if need be. None when the container has ended, or is removed without a start."""
        instance = self._request.instance
        if self._waiting is None:
            return _channel_now(instance, wait_until_started(instance, self._container), self._flags)
        try:
            return self._when_started(instance, self._waiting)
        finally:
            self._waiting.close()

    def _when_started(self, instance: Instance, waiting: WaitingClient) -> socket.socket | None:
        while True:
            self._request.wait([waiting.fileno()], _LOOK)
            if channel := waiting.channel():
                return channel
            current = instance.store.container(self._container.id)
            if current is None:
                return None
            if current.status is Status.RUNNING:  # it was being started before this began to wait
                return _channel_now(instance, current, self._flags)
            if current.status not in ACTIVE and current.started_at != self._container.started_at:
                return None  # that start has ended already


def _channel_now(instance: Instance, container: Container, flags: int) -> socket.socket | None:
    try:
        channel = control_connect(str(instance.container_dir(container.id)), ATTACH_SOCKET)
    except OSError:  # it has just ended
        return None
    with suppress(ConnectionError):  # it ends just now: what there is to read says so
        channel.sendall(frame(Kind.ATTACH, bytes([flags])))
    return channel


def attach(request: Request) -> None:
    """POST /containers/{name}/attach, GET /containers/{name}/attach/ws."""
    query = request.query
    with failing_with(HTTPStatus.BAD_REQUEST):
        keys = parse_detach_keys(query.text("detachKeys"))
    container = request.container()
    if container.paused:
        text = f"container {container.id} is paused, unpause the container before attach"
        raise ApiError(HTTPStatus.CONFLICT, text)
    tty, is_live = container.spec.tty, query.flag("stream")
    keys = keys if tty else b""
    wanted = {number for name, number in streams.NUMBERS.items() if query.flag(name)}
    stdin = query.flag("stdin") and container.spec.interactive and is_live
    flags = (WANTS_OUTPUT if wanted else 0) | (GIVES_STDIN if stdin else 0)
    joining = Joining(request, container, flags) if is_live else None
    if request.path.endswith("/ws"):
        client: streams.ClientStream = WebSocketStream(*accept_websocket(request), tty, wanted, stdin, keys)
    else:
        client = streams.ClientStream(*request.take_over(content_type(request, tty)), tty, wanted, stdin, keys)
    if query.flag("logs"):
        for entry in LogReader(request.instance.container_dir(container.id) / "log").entries():
            client.write(streams.NUMBERS[entry.stream], entry.data)
    channel = joining.channel() if joining else None
    if channel is None:
        client.close()
        return
    tell(request.instance, container.id, "attach")
    request.close()
    with channel:
        streams.carry(client, streams.ContainerSource(channel))
        client.close()


def content_type(request: Request, tty: bool) -> str:
    """Since 1.42 the type says whether the stream is multiplexed."""
    return streams.RAW if tty or request.version < (1, 42) else streams.MULTIPLEXED


def resize(request: Request) -> Response:
    """POST /containers/{name}/resize."""
    size = size_of(request)
    container = request.container()
    if container.status is not Status.RUNNING:
        raise ApiError(HTTPStatus.CONFLICT, f"container {container.id} is not running")
    channel = _channel_now(request.instance, container, 0)
    if channel is not None:
        with channel, suppress(OSError):
            channel.sendall(frame(Kind.RESIZE, size))
            channel.shutdown(socket.SHUT_WR)
            channel.settimeout(_RESIZED)
            while channel.recv(CHUNK):  # its end: the size is set
                pass
    tell(request.instance, container.id, "resize")
    return Response(HTTPStatus.OK)


def size_of(request: Request) -> bytes:
    """The size of a terminal in a query, as RESIZE has it."""
    rows, columns = request.query.number("h"), request.query.number("w")
    if rows is None or columns is None or not (0 <= rows < 1 << 16 and 0 <= columns < 1 << 16):
        raise ApiError(HTTPStatus.BAD_REQUEST, "h and w have to be the rows and columns of a terminal")
    return struct.pack("HH", rows, columns)


def wait(request: Request) -> Response:
    """POST /containers/{name}/wait. The head is sent before the container ends."""
    condition = request.query.text("condition") or "not-running"
    if condition not in _CONDITIONS:
        raise ApiError(HTTPStatus.BAD_REQUEST, f'invalid condition: "{condition}"')
    container = request.container()
    is_awaited = container.status in ACTIVE or condition != "not-running"
    joining = Joining(request, container, 0) if is_awaited else None
    return Response(body=_exit(request, container, condition, joining))


def _exit(request: Request, container: Container, condition: str, joining: Joining | None) -> Iterator[bytes]:
    """The end as JSON, after an empty piece, with which the head goes out."""
    yield b""
    instance = request.instance
    code, text = container.exit_code, ""
    if joining is not None:
        channel = joining.channel()
        found = _end_told(request, channel) if channel is not None else None
        code, text = found or _code_on_record(instance, container)
    while condition == "removed" and instance.store.container(container.id) is not None:
        request.wait([], 0.05)
        code = _code_in_events(instance, container)  # it may have been started again
    error = {"Error": {"Message": text}} if text else {}
    yield msgspec.json.encode({"StatusCode": code, **error}) + b"\n"


def _end_told(request: Request, channel: socket.socket) -> tuple[int, str] | None:
    """(exit code, why it never ran) as the shim tells; None when it is killed."""
    parser = Parser()
    while request.wait([channel.fileno()]):
        data = receive_until_end(channel, CHUNK)
        for kind, body in parser.feed(data):
            if kind in (Kind.EXITED, Kind.FAILED):
                return body[0], body[1:].decode("utf-8", "replace") if kind is Kind.FAILED else ""
        if not data:
            break
    return None


def _code_on_record(instance: Instance, container: Container) -> tuple[int, str]:
    """Of a run whose shim has not told its end: it ended before this could ask it, or was killed."""
    current = instance.store.container(container.id)  # `container` is from before the start
    try:
        if current is not None and current.status in ACTIVE:
            clean_up_lost_run(instance, current)
        else:
            wait_for_cleanup(instance, current or container)
    except MinirunError as error:
        return container.exit_code, error.message
    current = instance.store.container(container.id)
    if current is None or current.status in ACTIVE:  # removed, or started again
        return _code_in_events(instance, container), ""
    # An error is for a program that never ran: clients then say 125, and not the exit code.
    return current.exit_code, "" if current.error == SHIM_LOST else current.error


def _code_in_events(instance: Instance, container: Container) -> int:
    """Of a container that ended and was removed before anybody could ask it (--rm)."""
    recent = instance.store.events(max(0, instance.store.last_event() - _RECENT))
    ends = [event for event in recent if event.actor == container.id and event.action == "die"]
    return int(ends[-1].attributes.get("exitCode", "0")) if ends else 0


def logs(request: Request) -> Response:
    """GET /containers/{name}/logs."""
    query = request.query
    container = request.container()
    wanted = {name for name in ("stdout", "stderr") if query.flag(name)}
    if not wanted:
        raise ApiError(HTTPStatus.BAD_REQUEST, "Bad parameters: you must choose at least one stream")
    if container.spec.logging.driver == "none":
        raise ApiError(HTTPStatus.NOT_IMPLEMENTED, "configured logging driver does not support reading")
    with failing_with(HTTPStatus.BAD_REQUEST):
        window = LogWindow(_stamp(query.text("since")), _stamp(query.text("until")))
    details = f"{text_of_details(container)} ".encode() if query.flag("details") else b""
    text = LogText(query.flag("timestamps"), details)
    reader = LogReader(request.instance.container_dir(container.id) / "log")
    reader.open()
    entries = _entries(request, container, reader, window)
    tty = container.spec.tty

    def piece(entry: Entry) -> bytes:
        data = text.of(entry)
        return data if tty else streams.multiplexed(streams.NUMBERS[entry.stream], data)

    pieces = (piece(entry) if entry else None for entry in entries if entry is None or entry.stream in wanted)
    return Response(body=_joined(pieces), content_type=content_type(request, tty))


def _stamp(text: str) -> str:
    """0, which clients send for no limit, is none."""
    return moment(text) if text and text.strip("0.") else ""


def _entries(request: Request, container: Container, reader: LogReader, window: LogWindow) -> Iterator[Entry | None]:
    """What is there, and with follow=1 what comes. None: nothing more for now."""
    yield from last_lines(reader.entries(), window, request.query.text("tail") or "all")
    while request.query.flag("follow") and not window.is_over():
        yield None
        is_running = wait_for_more(request.instance, container)
        request.wait([], 0)
        yield from (entry for entry in reader.entries() if window.has(entry))
        if not is_running:
            return


def _joined(pieces: Iterator[bytes | None]) -> Iterator[bytes]:
    """Small pieces together, up to a chunk; what waits goes out with None."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece or b""
        if piece is None or len(waiting) >= CHUNK:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)
