"""Files of a container: GET, HEAD, PUT /containers/{name}/archive, and export."""

import base64
import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec

from minirun.api.http import ApiError, Body, ChunkedBody, Response
from minirun.api.request import Request
from minirun.archive.pack import CHUNK
from minirun.cli.container.files import mounted
from minirun.engine import copy
from minirun.engine.copy import PathStatus, container_tree
from minirun.engine.lifecycle import tell
from minirun.errors import MinirunError

_TAR = "application/x-tar"
# Go's os.FileMode: the kinds and the special bits have other places there than in st_mode.
_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
}
_SPECIAL = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}
_STATUS_OF = (
    ("Could not find the file", HTTPStatus.NOT_FOUND),
    ("lstat", HTTPStatus.BAD_REQUEST),
    ("destination", HTTPStatus.BAD_REQUEST),
    ("not a directory", HTTPStatus.BAD_REQUEST),
    ("container rootfs is marked read-only", HTTPStatus.FORBIDDEN),
    ("mounted volume is marked read-only", HTTPStatus.FORBIDDEN),
)


@contextmanager
def _side(request: Request) -> Iterator[copy.Side]:
    """The container's side of a copy. Its failures are answers of Docker's status."""
    path = request.query.text("path")
    if not path:
        raise ApiError(HTTPStatus.BAD_REQUEST, "bad parameter: path is empty")
    container = request.container()
    tree = container_tree(request.instance, container)
    try:
        with mounted(request.instance, container):
            yield copy.Side(tree, request.parameters["name"], path, container.spec.read_only)
    except MinirunError as error:
        status = next((status for text, status in _STATUS_OF if error.message.startswith(text)), None)
        if status is None:
            raise
        raise ApiError(status, error.message) from error


def _stat_header(status: PathStatus) -> dict[str, str]:
    mode = status.mode & 0o777 | _KINDS.get(stat.S_IFMT(status.mode), 0)
    mode |= sum(there for here, there in _SPECIAL.items() if status.mode & here)
    described: dict[str, Any] = {
        "name": status.name,
        "size": status.size,
        "mode": mode,
        "mtime": datetime.fromtimestamp(status.changed // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "linkTarget": status.link,
    }
    return {"X-Docker-Container-Path-Stat": base64.b64encode(msgspec.json.encode(described)).decode()}


def head(request: Request) -> Response:
    """HEAD /containers/{name}/archive."""
    with _side(request) as side:
        return Response(headers=_stat_header(copy.path_status(side)))


def get(request: Request) -> Response:
    """GET /containers/{name}/archive."""
    with _side(request) as side:
        headers = _stat_header(copy.path_status(side))

    def write(body: ChunkedBody) -> None:
        with _side(request) as side:
            copy.stream_out(side, False, body)
        tell(request.instance, request.container().id, "archive-path")

    return Response(body=write, content_type=_TAR, headers=headers)


def put(request: Request) -> Response:
    """PUT /containers/{name}/archive."""
    with _side(request) as side:
        copy.stream_in(side, io.BufferedReader(BodyFile(request.body), CHUNK))
    tell(request.instance, request.container().id, "extract-to-dir")
    return Response(HTTPStatus.OK)


def export(request: Request) -> Response:
    """GET /containers/{name}/export."""
    container = request.container()
    tree = container_tree(request.instance, container)

    def write(body: ChunkedBody) -> None:
        copy.export(tree, body)
        tell(request.instance, container.id, "export")

    return Response(body=write, content_type=_TAR)


class BodyFile(io.RawIOBase):
    """A request's body as a file to read."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._rest = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As a file's."""
        piece = self._rest or self._body.read_some()
        count = min(len(piece), len(buffer))
        buffer[:count] = piece[:count]
        self._rest = piece[count:]
        return count
