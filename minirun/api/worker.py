"""What a process of the service does with one connection: it reads requests, calls their functions, and answers."""

import posixpath
import socket
import sys
import time
import traceback
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from minirun.api.explain import explaining
from minirun.api.http import NO_CONTENT, ApiError, Body, ClientGone, Connection, Head, Query, Response, answer, send
from minirun.api.request import Request, message_of, status_of
from minirun.api.routes import ROUTES, find_route
from minirun.api.versions import NEWEST, differences, older, path_and_version
from minirun.errors import MinirunError, describe
from minirun.kernel.process_attributes import ProcessName

_OWN_NAMES = ("localhost", "127.0.0.1", "::1")
_LINGER = 0.01  # seconds: clients often send several requests, each when the last one is answered


def serve_connection(sock: socket.socket, root: Path, debug: bool) -> bool:
    """Answer the requests that come, until none comes for a moment. Return whether more may come later.

    root: the state root
    debug: each request is a line on standard error
    """
    connection = Connection(sock)
    patience: float | None = None
    try:
        while connection.is_open:
            found = connection.next_head(patience)
            if found is None:
                return connection.is_quiet and patience is not None
            patience = _LINGER
            _serve(connection, *found, root, debug)
    except ApiError as error:  # what came was no request
        send(connection, Head(keeps_alive=False), answer({"message": error.message}, error.status), NEWEST)
        connection.say_goodbye()
    except ClientGone:
        pass
    finally:
        _be_named()
    return False


def _be_named(*words: bytes) -> None:
    """Show in ps(1) what is asked for; the shim of a container that is started shows it, too."""
    ProcessName().take([b"minirun-api", *words], "minirun-api")


def _serve(connection: Connection, head: Head, body: Body, root: Path, debug: bool) -> None:
    began = time.monotonic()
    _be_named(head.method.encode(), head.url.partition(b"?")[0])
    try:
        status = _answer(connection, head, body, root)
    except ApiError as error:
        status = _tell(connection, head, error.status, error.message)
    except MinirunError as error:
        status = _tell(connection, head, status_of(error), message_of(error))
    except ClientGone:
        raise
    except Exception as error:  # noqa: BLE001 - the client gets an answer, and the log says where it came from
        print(f"minirun: {head.method} {_shown(head)}: {describe(error)}", file=sys.stderr)
        if debug:
            traceback.print_exc()
        status = _tell(connection, head, HTTPStatus.INTERNAL_SERVER_ERROR, describe(error))
    connection.finish()
    if debug:
        took = (time.monotonic() - began) * 1000
        print(f"{head.method} {_shown(head)} {int(status)} {took:.1f} ms", file=sys.stderr)


def _answer(connection: Connection, head: Head, body: Body, root: Path) -> int:
    """Call the route's function and send what it returns. Returns the status."""
    _refuse_web_pages(connection, head)
    try:
        url = head.url.decode("ascii")
        # The name of a host is in an address as proxies send it, and is not in one that begins with //.
        parts = urlsplit(f"//host{url}" if url.startswith("/") else url)
    except ValueError:
        raise ApiError(HTTPStatus.BAD_REQUEST, "invalid path") from None
    if (clean := _clean(parts.path)) != parts.path:
        place = f"{clean}?{parts.query}" if parts.query else clean
        send(connection, head, Response(HTTPStatus.MOVED_PERMANENTLY, headers={"Location": place}), NEWEST)
        return HTTPStatus.MOVED_PERMANENTLY
    path, version = path_and_version(parts.path)
    with closing(Request(head, path, version, Query(parts.query), body, connection, root)) as request:
        route, request.parameters = find_route(ROUTES, head.method, path)
        found = differences(version, route.method, route.path)
        for one in found:
            one.query(request.query)
        with explaining(head.headers, root, f"{head.method} {_shown(head)}") as explained:
            response = route.call(request) or NO_CONTENT
            if request.is_taken_over:
                return HTTPStatus.SWITCHING_PROTOCOLS
            response = explained(older(response, found))
        send(connection, head, response, NEWEST)
        return response.status


def _clean(path: str) -> str:
    """The path without empty parts, . and .. : a client that sends one of those is led to it, as by Docker."""
    return "/" + posixpath.normpath(path).lstrip("/") + ("/" if path.endswith("/") and path.strip("/") else "")


def _refuse_web_pages(connection: Connection, head: Head) -> None:
    """By TCP without TLS a web page could ask, in a browser on this host. Its requests show where they come from."""
    if connection.socket.family == socket.AF_UNIX:
        return
    name = head.headers.get("host", "").rpartition(":")[0].strip("[]") or head.headers.get("host", "")
    if "origin" in head.headers or name not in _OWN_NAMES:
        raise ApiError(HTTPStatus.FORBIDDEN, f"requests of web pages are refused: Host is one of {_OWN_NAMES}")


def _tell(connection: Connection, head: Head, status: int, message: str) -> int:
    """Answer with a failure. One whose answer has begun is told of by the end of the connection."""
    if connection.has_answered:
        raise ClientGone
    send(connection, head, answer({"message": message}, status), NEWEST)
    return status


def _shown(head: Head) -> str:
    return head.url.decode("utf-8", "replace")
