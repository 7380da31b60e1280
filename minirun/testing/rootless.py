"""A lab that belongs to the test process (`minirun lab`), and the ways from this process into it."""

import json
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

from minirun.testing.broker import SIZE
from minirun.testing.failures import HostError

_BROKER = str(Path(__file__).with_name("broker.py"))
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_CHUNK = 65536  # bytes


class HeldLab:
    """A lab that ends at `close`, and when this process ends, however it does. `pid` is a process in it.

    With `path` it ends only with the process `owner`, and other processes of the user attach to it by a socket there.

    Published ports of containers are ports of the lab; `forward` gives each one on this machine's 127.0.0.1, too.
    """

    def __init__(self, program: str, python: str, owner: int = 0, path: Path | None = None) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        command = [program, "lab", python, "-I", "-S", _BROKER]
        with theirs:
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/"
            )
        if not self._greeted():
            self._line.close()
            text = self._process.communicate()[1].decode("utf-8", "replace").strip()
            raise HostError(text or "the lab ended at once", command, self._process.returncode)
        with ExitStack() as given:
            fds = [os.pidfd_open(owner or os.getpid())]
            given.callback(os.close, fds[0])
            if path:
                listener = given.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                with _short(path) as name:
                    listener.bind(name)
                listener.listen(128)
                fds.append(listener.fileno())
            socket.send_fds(self._line, [b"owner"], fds)

    @classmethod
    def attached(cls, path: Path) -> "HeldLab":
        """Return a lab that another process has made with `path`. It is not closed by this one."""
        lab = cls.__new__(cls)
        lab._process = None
        lab._line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lab._line.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        with _short(path) as name:
            lab._line.connect(name)
        if not lab._greeted():
            raise HostError("the lab that the workers of this run share has ended")
        return lab

    def _greeted(self) -> bool:
        """Wait for the first message from the lab. Return whether there is one."""
        self._lock = threading.Lock()
        self._listeners: dict[int, socket.socket] = {}
        message, ancillary, _, _ = self._line.recvmsg(SIZE, socket.CMSG_SPACE(_CREDENTIALS.size))
        if message:
            self.pid: int = _CREDENTIALS.unpack(ancillary[0][2])[0]  # the kernel tells it as this process sees it
        return bool(message)

    def close(self) -> None:
        """End the lab, and wait until nothing of it is left."""
        with self._lock:
            listeners, self._listeners = list(self._listeners.values()), {}
        for listener in listeners:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # its thread returns from accept(2), and closes it
        with self._process or nullcontext():  # waits for it
            self._line.close()

    def connect(self, address: str, port: int, timeout: float | None) -> socket.socket:
        """Connect to a port in the lab. OSError."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                request = {"address": address, "port": port, "timeout": timeout}
                socket.send_fds(self._line, [json.dumps(request).encode()], [theirs.fileno()])
            message, fds, _, _ = socket.recv_fds(ours, SIZE, 1)
        if not fds:
            answer = json.loads(message or b"{}")
            raise OSError(answer.get("errno", 0), answer.get("text", "the lab has ended"))
        made = socket.socket(fileno=fds[0])
        made.settimeout(timeout)
        return made

    def forward(self, port: int) -> int:
        """Return the port of this machine's 127.0.0.1 that leads to a TCP port of the lab's 127.0.0.1."""
        with self._lock:
            if port not in self._listeners:
                self._listeners[port] = socket.create_server(("127.0.0.1", 0), backlog=128)
                threading.Thread(target=self._serve, args=(self._listeners[port], port), daemon=True).start()
            return int(self._listeners[port].getsockname()[1])

    def _serve(self, listener: socket.socket, port: int) -> None:
        with listener, suppress(OSError):
            while True:
                client = listener.accept()[0]
                threading.Thread(target=self._carry, args=(client, port), daemon=True).start()

    def _carry(self, client: socket.socket, port: int) -> None:
        """Carry the bytes of a connection both ways. One that is refused in the lab is reset here."""
        with client:
            try:
                server = self.connect("127.0.0.1", port, None)
            except OSError:
                _reset(client)
                return
            with server:
                back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)
                back.join()


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Yield another name of `path`, for a socket: there 107 bytes are the most (unix(7))."""
    directory = os.open(path.parent, os.O_PATH)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy until `source` has no more to say, and tell `target` so. A reset is passed on."""
    try:
        while data := source.recv(_CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for each in (source, target):
            _reset(each)
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread of the other direction


def _reset(connection: socket.socket) -> None:
    """Let close(2) send a reset."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("2i", 1, 0))
