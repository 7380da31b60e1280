"""minirun system service, minirun system dial-stdio."""

import grp
import os
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from minirun.api.service import Service, ServiceOptions, listen
from minirun.cli.session import commands, require_root, session, warn
from minirun.engine.protocol import CHUNK
from minirun.errors import MinirunError
from minirun.instance import Instance, state_root

DEFAULT_SOCKET = Path("/run/minirun/docker.sock")
_FIRST_FD = 3  # sd_listen_fds(3)

app = commands()


@app.command("service")
def service(
    address: Annotated[str, Argument(metavar="[unix://PATH|fd://]")] = f"unix://{DEFAULT_SOCKET}",
    idle_time: Annotated[
        int, Option("--time", "-t", help="Seconds without a client until the service ends; 0: it stays")
    ] = 0,
    group: Annotated[str, Option("--group", "-G", help="The group that may use the socket")] = "root",
) -> int:
    """Serve the Docker Engine API until it is told to end."""
    require_root()
    root = state_root(session().root)
    Instance(root).store.close()  # a state root that cannot be used is told of now
    listeners, path = _listeners(address, group)
    warn(f"minirun: the Docker Engine API is at {address}" if not path else f"minirun: DOCKER_HOST=unix://{path}")
    inode = path.stat().st_ino if path else 0
    try:
        Service(listeners, ServiceOptions(root, idle_time, session().debug)).serve()
    finally:
        if path and path.exists() and path.stat().st_ino == inode:
            path.unlink()
    return 0


def _listeners(address: str, group: str) -> tuple[list[socket.socket], Path | None]:
    """The sockets to listen at, and the path of one that is made here."""
    scheme, separator, rest = address.partition("://")
    if scheme == "fd" and separator:
        return _given_listeners(), None
    if scheme == "unix" and rest.startswith("/"):
        path = Path(rest)
        try:
            return [listen(path, _group_id(group))], path
        except OSError as error:
            raise MinirunError(f"cannot listen at {path}: {error.strerror}") from error
    if scheme == "tcp" and separator:
        raise MinirunError(
            "the API is not served by TCP: whoever reaches it is root on this host",
            "DOCKER_HOST=ssh://HOST uses `minirun system dial-stdio` over ssh",
        )
    raise MinirunError(f"invalid address '{address}'", f"such as unix://{DEFAULT_SOCKET}, or fd:// from systemd")


def _given_listeners() -> list[socket.socket]:
    """Those of a systemd socket unit."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not os.environ.get("LISTEN_FDS", "").isdigit():
        raise MinirunError("fd:// is for a service that systemd starts: it passes the sockets", "see packaging/")
    count = int(os.environ["LISTEN_FDS"])
    return [socket.socket(fileno=_FIRST_FD + number) for number in range(count)]


def _group_id(name: str) -> int:
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise MinirunError(f"there is no group '{name}' on this host", "make it with groupadd") from None


@app.command("dial-stdio")
def dial_stdio() -> int:
    """Carry standard input and output to the API's socket: for DOCKER_HOST=ssh://."""
    path = Path(os.environ.get("DOCKER_HOST", f"unix://{DEFAULT_SOCKET}").removeprefix("unix://"))
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(str(path))
    except OSError as error:
        raise MinirunError(f"cannot connect to {path}: {error.strerror}", "minirun system service starts it") from error
    return _carry(sock)


def _carry(sock: socket.socket) -> int:
    """Copy both ways until the service has closed its side."""
    threading.Thread(target=_send_input, args=(sock,), daemon=True).start()
    while data := sock.recv(CHUNK):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    return 0


def _send_input(sock: socket.socket) -> None:
    with suppress(OSError):  # the service is gone, which the other direction notices
        while data := os.read(0, CHUNK):
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
