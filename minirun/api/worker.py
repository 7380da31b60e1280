"""What a process of the service does with one connection: it reads requests, calls their functions, and answers."""

import socket
import sys
import time
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from minirun.api.http import ApiError, Body, ClientGone, Connection, Head, Query, Response, answer, send
from minirun.api.request import Request, message_of, status_of
from minirun.api.routes import ROUTES, Route, find_route
from minirun.api.versions import NEWEST, path_and_version
from minirun.errors import MinirunError, describe

_LINGER = 0.05  # seconds: clients often send several requests, each when the last one is answered


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
    except ClientGone:
        pass
    return False


def _serve(connection: Connection, head: Head, body: Body, root: Path, debug: bool) -> None:
    began = time.monotonic()
    request: Request | None = None
    try:
        request = _request(connection, head, body, root)
        status = _answer(request)
    except ApiError as error:
        status = error.status
        send(connection, head, answer({"message": error.message}, status), NEWEST)
    finally:
        if request is not None:
            request.close()
    connection.finish()
    if debug:
        took = (time.monotonic() - began) * 1000
        print(f"{head.method} {head.url.decode('utf-8', 'replace')} {status} {took:.1f} ms", file=sys.stderr)


def _request(connection: Connection, head: Head, body: Body, root: Path) -> Request:
    try:
        parts = urlsplit(head.url.decode("ascii"))
    except ValueError:
        raise ApiError(HTTPStatus.BAD_REQUEST, "invalid path") from None
    path, version = path_and_version(parts.path)
    return Request(head, path, version, Query(parts.query), body, connection, root)


def _answer(request: Request) -> int:
    """Call the route's function and send what it returns. Returns the status."""
    try:
        route = _route(request)
        response = route.call(request)
    except (ApiError, ClientGone):
        raise
    except MinirunError as error:
        response = answer({"message": message_of(error)}, status_of(error))
    except Exception as error:
        print(f"minirun: {request.head.method} {request.path}: {describe(error)}", file=sys.stderr)
        response = answer({"message": describe(error)}, HTTPStatus.INTERNAL_SERVER_ERROR)
    if request.is_taken_over:
        return HTTPStatus.SWITCHING_PROTOCOLS
    response = response or Response(HTTPStatus.NO_CONTENT)
    send(request.connection, request.head, response, NEWEST)
    return response.status


def _route(request: Request) -> Route:
    route, request.parameters = find_route(ROUTES, request.head.method, request.path)
    return route
