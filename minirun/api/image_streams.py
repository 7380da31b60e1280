"""What images send while they work: a stream of JSON objects, one a line, as `docker pull` and `docker build` read it.

https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageCreate
"""

import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from minirun.api.http import ApiError, ChunkedBody, ClientGone, Connection, Response
from minirun.api.request import Request, message_of
from minirun.cli.output.table import size
from minirun.engine.build.run import ENDING_SIGNALS, RunFailedError
from minirun.errors import MinirunError, describe
from minirun.image.dockerfile.source import DockerfileError
from minirun.image.reference import Reference

_SHORT = 12  # digits of an id
_BETWEEN = 0.1  # seconds between two numbers about one layer
_BAR = 50  # characters
_GONE = 0x2000 | select.POLLHUP | select.POLLERR  # POLLRDHUP


class Messages:
    """The stream, to which several threads may write."""

    def __init__(self, body: ChunkedBody) -> None:
        self._body = body
        self._lock = threading.Lock()
        self.has_begun = False

    def put(self, **fields: Any) -> None:
        """Send an object. ClientGone when nobody is there."""
        with self._lock:
            self.has_begun = True
            self._body.write(msgspec.json.encode(fields) + b"\r\n")

    def text(self, text: str) -> None:
        """Send what is to be shown as it is."""
        self.put(stream=text)

    def fail(self, message: str, **details: Any) -> None:
        """Send why it has ended."""
        self.put(errorDetail={**details, "message": message}, error=message)


def streamed(request: Request, work: Callable[[Messages], None], always: bool = False) -> Response:
    """An answer whose body is what `work` sends. A failure before its first word is an answer; later it is an object.

    always: a failure is an object even then

    When the client goes away, KeyboardInterrupt is raised in `work`: it ends as a command does at Ctrl-C.
    """

    def write(body: ChunkedBody) -> None:
        messages = Messages(body)
        try:
            with ending_with_client(request.connection):
                work(messages)
        except ClientGone:
            raise
        except Exception as error:
            if not (messages.has_begun or always):
                raise
            messages.fail(_text_of(error), **_details(error))

    return Response(body=write)


def _text_of(error: Exception) -> str:
    if failed := _failed_run(error):  # as the classic builder says it, which clients look for
        return f"The command '{failed.command}' returned a non-zero code: {failed.exit_code}"
    if isinstance(error, ApiError):
        return error.message
    return message_of(error) if isinstance(error, MinirunError) else describe(error)


def _failed_run(error: Exception) -> RunFailedError | None:
    cause = error.__cause__ if isinstance(error, DockerfileError) else error
    return cause if isinstance(cause, RunFailedError) else None


def _details(error: Exception) -> dict[str, Any]:
    """What an error of a stream says besides its text: the exit code of RUN."""
    failed = _failed_run(error)
    return {"code": failed.exit_code} if failed else {}


@contextmanager
def ending_with_client(connection: Connection) -> Iterator[None]:
    """Raise KeyboardInterrupt in the block when the client goes away, as Ctrl-C would; ClientGone comes of it."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in ENDING_SIGNALS}
    try:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            watcher = threading.Thread(target=_watch, args=(connection, theirs), daemon=True)
            watcher.start()
            try:
                yield
            finally:
                ours.shutdown(socket.SHUT_RDWR)  # not close: processes that were forked meanwhile have it, too
                watcher.join()
    except KeyboardInterrupt:
        raise ClientGone from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(connection: Connection, ended: socket.socket) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    poll = select.poll()
    poll.register(connection.socket, _GONE)
    poll.register(ended, select.POLLIN)
    if connection.socket.fileno() in dict(poll.poll()):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


class TransferMessages:
    """Tells of a pull or push (image.pull.Progress)."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._told: dict[str, float] = {}  # when a layer's number was sent

    def found(self, reference: Reference) -> None:
        """The registry has it."""
        self._messages.put(status=f"Pulling from {reference.path}", id=reference.target)

    def state(self, layer: str, text: str) -> None:
        """What happens to a layer."""
        self._messages.put(status=text, progressDetail={}, id=layer[:_SHORT])

    def advance(self, layer: str, current: int, total: int) -> None:
        """How much of a layer has come, ten times a second."""
        now = time.monotonic()
        if current == total:
            self.state(layer, "Download complete")
        elif now - self._told.get(layer, 0) >= _BETWEEN:
            self._told[layer] = now
            self._messages.put(status="Downloading", **progress(current, total), id=layer[:_SHORT])

    def kept(self, size: int) -> None:
        """The next pull uses it; `image prune` removes it."""


def progress(current: int, total: int) -> dict[str, Any]:
    """The fields that say how far something is."""
    done = _BAR * current // total if total else 0
    bar = f"[{'=' * done}>{' ' * (_BAR - done)}] {size(current, 4):>8}/{size(total, 4)}"
    return {"progressDetail": {"current": current, "total": total}, "progress": bar}
