"""TLS in front of the service: for each client a process that decrypts what it sends, and encrypts the answers.

Behind it the service has a socket like any other, which can be passed on, waited for and closed by half.
"""

import select
import socket
import ssl
import time
from contextlib import suppress
from pathlib import Path

from minirun.errors import MinirunError

_HANDSHAKE = 10.0  # seconds
_PIECE = 65536
_MOST_PENDING = 1 << 18  # bytes that one side has not taken yet: the other is not read meanwhile


def server_context(ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """Clients must have a certificate of this authority: whoever may use the service is root on this host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(ca)
    except OSError as error:  # ssl.SSLError is one
        raise MinirunError(f"cannot use the certificates: {error}", f"{ca}, {certificate} and {key}") from error
    context.verify_mode = ssl.CERT_REQUIRED
    return context


class Relay:
    """One client's connection, and the socket that the service has of it."""

    def __init__(self, client: socket.socket, service: socket.socket, context: ssl.SSLContext) -> None:
        self._client = client
        self._service = service
        self._received, self._sent = ssl.MemoryBIO(), ssl.MemoryBIO()  # encrypted
        self._tls = context.wrap_bio(self._received, self._sent, server_side=True)
        self._to_service, self._to_client = bytearray(), bytearray()
        self._client_sends = self._service_sends = True  # False: it has ended its direction

    def run(self) -> int:
        """Carry until the service has closed its side, or the client is gone. Returns the process's exit code."""
        with suppress(OSError):  # ssl.SSLError is one: no TLS, no certificate, or nobody there
            self._handshake()
            self._client.setblocking(False)
            self._service.setblocking(False)
            while self._service_sends or self._to_client:
                self._turn()
        return 0

    def _handshake(self) -> None:
        deadline = time.monotonic() + _HANDSHAKE
        while True:
            self._client.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._client.sendall(self._sent.read())
                data = self._client.recv(_PIECE)
                if not data:
                    raise ConnectionResetError from None
                self._received.write(data)
            except ssl.SSLError:
                self._client.sendall(self._sent.read())  # the alert, which says why
                raise
            else:
                self._client.sendall(self._sent.read())
                break
        self._decrypt()  # what came with the end of the handshake

    def _turn(self) -> None:
        """Wait until something can be read or written, and do it."""
        poll = select.poll()
        poll.register(self._client, _wanted(self._client_sends, self._to_service, self._to_client))
        poll.register(self._service, _wanted(self._service_sends, self._to_client, self._to_service))
        for fd, ready in poll.poll():
            if fd == self._client.fileno():
                self._serve_client(ready)
            else:
                self._serve_service(ready)

    def _serve_client(self, ready: int) -> None:
        if ready & (select.POLLERR | select.POLLHUP) and not (self._client_sends and ready & select.POLLIN):
            raise ConnectionResetError
        if ready & select.POLLOUT:
            _write(self._client, self._to_client)
        if self._client_sends and ready & select.POLLIN:
            data = self._client.recv(_PIECE)
            if data:
                self._received.write(data)
            else:
                self._received.write_eof()
            self._decrypt()

    def _serve_service(self, ready: int) -> None:
        if ready & select.POLLOUT:
            _write(self._service, self._to_service)
            self._end_service_input()
        if self._service_sends and ready & (select.POLLIN | select.POLLHUP):
            data = self._service.recv(_PIECE)
            if data:
                self._tls.write(data)
            else:
                self._service_sends = False
                with suppress(ssl.SSLError):
                    self._tls.unwrap()  # tells the client that this was all; its own end isn't waited for
            self._to_client += self._sent.read()

    def _decrypt(self) -> None:
        try:
            while data := self._tls.read(_PIECE):
                self._to_service += data
            self._client_sends = False
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._client_sends = False
        self._to_client += self._sent.read()
        self._end_service_input()

    def _end_service_input(self) -> None:
        """The client has ended its direction: once the service has all of it, it is told."""
        if not self._client_sends and not self._to_service:
            with suppress(OSError):
                self._service.shutdown(socket.SHUT_WR)


def _wanted(sends: bool, unread: bytearray, unwritten: bytearray) -> int:
    """What to wait for at a side: `unread` of it waits for the other side, `unwritten` for it."""
    reads = sends and len(unread) < _MOST_PENDING
    return (select.POLLIN if reads else 0) | (select.POLLOUT if unwritten else 0)


def _write(sock: socket.socket, pending: bytearray) -> None:
    with suppress(BlockingIOError):
        del pending[: sock.send(pending)]
