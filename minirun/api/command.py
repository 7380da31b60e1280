"""minirun system service, minirun system dial-stdio."""

import grp
import os
import socket
import ssl
import sys
import threading
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from typer import Argument, Option

from minirun.api.service import BACKLOG, Service, ServiceOptions, listen
from minirun.api.tls import server_context
from minirun.cli.completion.values import FILE
from minirun.cli.session import commands, require_root, session, warn
from minirun.engine.protocol import CHUNK
from minirun.errors import MinirunError
from minirun.forkserver.location import DIRECTORY
from minirun.init import prepared
from minirun.instance import Instance, state_root

DEFAULT_SOCKET = DIRECTORY / "docker.sock"
_FIRST_FD = 3  # sd_listen_fds(3)

app = commands()


@app.command("service")
def service(
    address: Annotated[str, Argument(metavar="[unix://PATH|fd://|tcp://HOST:PORT]")] = f"unix://{DEFAULT_SOCKET}",
    idle_time: Annotated[
        int, Option("--time", "-t", help="Seconds without a client until the service ends; 0: it stays")
    ] = 0,
    group: Annotated[str, Option("--group", "-G", help="The group that may use the socket")] = "root",
    ca: Annotated[
        str,
        Option("--tlscacert", help="Trust certs signed only by this CA: TCP clients must have one", click_type=FILE),
    ] = "",
    certificate: Annotated[str, Option("--tlscert", help="Path to TLS certificate file", click_type=FILE)] = "",
    key: Annotated[str, Option("--tlskey", help="Path to TLS key file", click_type=FILE)] = "",
) -> int:
    """Serve the Docker Engine API until it is told to end."""
    require_root()
    # Only now: with the routes come urllib3 and much else that no other command needs.
    from minirun.api.routes import prepare
    from minirun.api.worker import serve_connection

    tls = _tls(address, ca, certificate, key)
    root = state_root(session().root)
    Instance(root).store.close()  # a state root that cannot be used is told of now
    listeners, path = _listeners(address, group)
    _refuse_open_listeners(listeners, tls is not None)
    warn(f"minirun: the Docker Engine API is at {address}" if not path else f"minirun: DOCKER_HOST=unix://{path}")
    inode = path.stat().st_ino if path else 0
    try:
        prepared.decline()  # before workers are forked
        prepare()
        Service(listeners, ServiceOptions(root, idle_time, session().debug, tls), serve_connection).serve()
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
        path, number = Path(rest), _group_id(group)
        if number and path.parent == DIRECTORY:
            raise MinirunError(f"only root can enter {DIRECTORY}", "choose another directory for a socket of a group")
        try:
            return [listen(path, number)], path
        except OSError as error:
            raise MinirunError(f"cannot listen at {path}: {error.strerror}") from error
    if scheme == "tcp" and separator:
        return _tcp_listeners(rest), None
    raise MinirunError(f"invalid address '{address}'", f"such as unix://{DEFAULT_SOCKET}, tcp://HOST:PORT, or fd://")


def _tls(address: str, ca: str, certificate: str, key: str) -> ssl.SSLContext | None:
    if not (ca or certificate or key):
        return None
    if not (ca and certificate and key):
        raise MinirunError("--tlscacert, --tlscert and --tlskey are needed together: clients must have a certificate")
    if address.startswith("unix://"):
        raise MinirunError(f"{address}: TLS is for tcp://HOST:PORT; a file's owner and group protect a socket")
    return server_context(Path(ca), Path(certificate), Path(key))


def _tcp_listeners(place: str) -> list[socket.socket]:
    try:
        parts = urlsplit(f"//{place}")
        port = parts.port
    except ValueError as error:
        raise MinirunError(f"invalid address 'tcp://{place}': {error}") from None
    if not parts.hostname or not port or parts.path:
        raise MinirunError(f"invalid address 'tcp://{place}'", "such as tcp://127.0.0.1:2375, or tcp://0.0.0.0:2376")
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return [socket.create_server(address[:2], family=family, backlog=BACKLOG) for family, _, _, _, address in found]
    except OSError as error:
        raise MinirunError(f"cannot listen at tcp://{place}: {error.strerror}") from error


def _refuse_open_listeners(listeners: list[socket.socket], has_tls: bool) -> None:
    """MinirunError for TCP that reaches beyond this host, when not even a certificate is asked for."""
    for listener in listeners:
        if listener.family == socket.AF_UNIX or has_tls:
            continue
        host = str(listener.getsockname()[0])
        if not ip_address(host.partition("%")[0]).is_loopback:
            raise MinirunError(
                f"the API is not served at {host} without TLS: whoever reaches it is root on this host",
                "--tlscacert, --tlscert and --tlskey ask for certificates; DOCKER_HOST=ssh://HOST needs none",
            )


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
