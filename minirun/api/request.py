"""One request of a client, as the routes' functions get it."""

import select
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from pathlib import Path

from minirun.api.http import ApiError, Body, ClientGone, Connection, Head, Query, Response
from minirun.engine.reconcile import reconcile
from minirun.errors import ConflictError, MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.kernel.sockets import await_reader
from minirun.model import Container
from minirun.store.lookup import find_container

Version = tuple[int, int]
_POLLRDHUP = 0x2000
_HEAD_READ = 0.1  # seconds in which a client reads the head of an answer


@dataclass
class Request:
    """A request.

    path: without the version
    version: of the API that the client speaks
    parameters: the parts of the path that the route names
    root: the state root
    """

    head: Head
    path: str
    version: Version
    query: Query
    body: Body
    connection: Connection
    root: Path
    parameters: Mapping[str, str] = field(default_factory=dict)
    is_taken_over: bool = False

    @cached_property
    def instance(self) -> Instance:
        """The records, and the host repaired if it needs that, as at each command."""
        instance = Instance(self.root)
        reconcile(instance)
        return instance

    @cached_property
    def unrepaired(self) -> Instance:
        """The records, and the host as it is: for what shows problems."""
        instance = Instance(self.root)
        reconcile(instance, repairs=False, revives=False)
        return instance

    def close(self) -> None:
        """Close the records, if they were opened."""
        for name in ("instance", "unrepaired"):
            if name in self.__dict__:
                getattr(self, name).store.close()

    def container(self) -> Container:
        """The container that the path names."""
        return find_container(self.instance.store, self.parameters["name"])

    def header(self, name: str) -> str:
        """A header's value, or ""."""
        return self.head.headers.get(name.lower(), "")

    def take_over(self, content_type: str, **headers: str) -> tuple[socket.socket, bytes]:
        """Answer, and use the connection as a stream from now on: 101 for a client that asks for that, else a bare 200.

        Returns the socket, and what the client has sent already.
        """
        lines = ["HTTP/1.1 200 OK"]
        if self.head.is_upgrade and self.header("upgrade"):
            lines = ["HTTP/1.1 101 UPGRADED", "Connection: Upgrade", f"Upgrade: {self.header('upgrade')}"]
        lines += [f"Content-Type: {content_type}"] if content_type else []
        lines += [f"{name}: {text}" for name, text in headers.items()]
        self.connection.send("\r\n".join([*lines, "", ""]).encode())
        self.is_taken_over = True
        sock, behind = self.connection.take_over()
        # docker-py reads the head through a buffer, and loses what of the stream comes with it.
        await_reader(sock, _HEAD_READ)
        return sock, behind

    def wait(self, fds: list[int], seconds: float | None = None) -> bool:
        """Wait until one of the descriptors is readable, `seconds` at most. Return whether one is.

        ClientGone when the client has closed the connection meanwhile; one that was taken over may be closed by half.
        """
        poll = select.poll()
        poll.register(self.connection.socket, 0 if self.is_taken_over else _POLLRDHUP)
        for fd in fds:
            poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(None if seconds is None else max(0, int(seconds * 1000)))}
        if self.connection.socket.fileno() in ready:
            raise ClientGone
        return bool(ready)


Handler = Callable[[Request], Response | None]


@contextmanager
def failing_with(status: int) -> Iterator[None]:
    """A MinirunError in here is an answer of this status, unless it says more about itself."""
    try:
        yield
    except (NotFoundError, ConflictError):
        raise
    except MinirunError as error:
        raise ApiError(status, message_of(error)) from error


def message_of(error: MinirunError) -> str:
    """The text of an answer: the message, and the hint on a line of its own."""
    return f"{error.message}\n{error.hint}" if error.hint else error.message


def status_of(error: MinirunError) -> int:
    """The status that Docker has for such an error."""
    if isinstance(error, NotFoundError):
        return HTTPStatus.NOT_FOUND
    return HTTPStatus.CONFLICT if isinstance(error, ConflictError) else HTTPStatus.INTERNAL_SERVER_ERROR
