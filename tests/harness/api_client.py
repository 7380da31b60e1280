"""The Engine API of a throwaway host: its service, and a client that sees everything on the wire."""

import http.client
import json
import socket
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from tests.harness.host import MINIRUN, Host
from tests.harness.snapshot import eventually

SOCKET = "/run/docker.sock"  # /run/minirun is shared with other hosts: the fork server's socket is there
VERSION = "v1.51"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["message"])

    @property
    def objects(self) -> list[Any]:
        """Of a stream of JSON objects."""
        return [json.loads(line) for line in self.body.splitlines() if line.strip()]


class ApiClient:
    """`with ApiClient(host) as api: api.get("/containers/json").json`."""

    def __init__(self, host: Host, *options: str) -> None:
        self.host = host
        words = [MINIRUN, "--debug", "system", "service", *options, f"unix://{SOCKET}"]
        self._opened: list[socket.socket] = []
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the client
        self.process = host.popen(words, stdout=subprocess.DEVNULL, stderr=self._log)
        self.path = f"/proc/{host.pid}/root{SOCKET}"
        eventually(self._answers, 15)
        self.pid = int(host.sh("pgrep -n -f '[s]ystem service'"))  # the older one is the launcher

    def _answers(self) -> bool:
        try:
            return self.get("/_ping").body == b"OK"
        except (ConnectionError, http.client.HTTPException):  # of a killed one that had listened here
            return False

    def __enter__(self) -> "ApiClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()
        self.host.sh(f"kill -9 {self.pid} || true; rm -f {SOCKET}")
        self.process.communicate()
        self._log.close()

    def log(self) -> str:
        """What the service has said on standard error."""
        self._log.seek(0)
        return self._log.read().decode()

    def workers(self) -> list[str]:
        """The pids of all workers."""
        return self.host.sh("pgrep -f '^minirun-api' || true").split()

    def busy(self) -> list[str]:
        """The pids of the workers that serve a request."""
        return self.host.sh("pgrep -f '^minirun-api +[A-Z]' || true").split()

    def connect(self, timeout: float | None = 20) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        self._opened.append(sock)
        sock.connect(self.path)
        return sock

    def hang_up(self) -> None:
        """Close all connections."""
        while self._opened:
            self._opened.pop().close()

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, /, **query: Any
    ) -> Answer:
        """One request. `body`: JSON, unless it is bytes or an iterator of bytes. AssertionError when nobody listens."""
        connection = http.client.HTTPConnection("api", timeout=30)
        try:
            connection.sock = self.connect()
        except OSError as error:
            raise AssertionError(f"no API: {error}") from None
        is_raw = body is None or isinstance(body, bytes) or hasattr(body, "__next__")
        sent = body if is_raw else json.dumps(body).encode()
        kinds = {} if is_raw else {"Content-Type": "application/json"}
        connection.request(method, target(path, **query), sent, kinds | (headers or {}))
        found = connection.getresponse()
        answer = Answer(found.status, {name.lower(): text for name, text in found.getheaders()}, found.read())
        connection.close()
        return answer

    def get(self, path: str, /, **query: Any) -> Answer:
        return self.request("GET", path, **query)

    def post(self, path: str, body: Any = None, /, **query: Any) -> Answer:
        return self.request("POST", path, body, **query)

    def delete(self, path: str, /, **query: Any) -> Answer:
        return self.request("DELETE", path, **query)

    def create(self, *words: str, name: str = "", **fields: Any) -> str:
        """A new container's id."""
        body = {"Image": "busybox", "Cmd": list(words), "HostConfig": {"NetworkMode": "none"}} | fields
        answer = self.post("/containers/create", body, **({"name": name} if name else {}))
        assert answer.status == 201, answer.body
        return str(answer.json["Id"])

    def run(self, *words: str, name: str = "", **fields: Any) -> str:
        """A new container that was started."""
        container = self.create(*words, name=name, **fields)
        answer = self.post(f"/containers/{container}/start")
        assert answer.status == 204, answer.body
        return container

    def take_over(self, method: str, path: str, body: Any = None, /, upgrade: str = "tcp", **query: Any) -> "Stream":
        """A request whose connection becomes a stream."""
        sock = self.connect()
        sent = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {target(path, **query)} HTTP/1.1", "Host: api", f"Content-Length: {len(sent)}"]
        lines += ["Connection: Upgrade", f"Upgrade: {upgrade}"] if upgrade else []
        sock.sendall("\r\n".join([*lines, "", ""]).encode() + sent)
        return Stream(sock)


def target(path: str, /, **query: Any) -> str:
    """Path and query, with the version unless the path has one."""
    plain = path if path.startswith(("/v1", "/_ping")) else f"/{VERSION}{path}"
    return f"{plain}?{urlencode(query, doseq=True)}" if query else plain


class Stream:
    """A connection that was taken over."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(1) or _ended(head)
        self.head = head.decode()

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    def rest(self) -> bytes:
        """Everything until the end."""
        found = b""
        while data := self.socket.recv(65536):
            found += data
        return found

    def rest_of_answer(self) -> bytes:
        """Everything until the end of an answer in chunks, whose connection stays."""
        found = b""
        while not found.endswith(b"0\r\n\r\n"):
            found += self.socket.recv(65536) or _ended(found)
        return found

    def outputs(self) -> tuple[bytes, bytes]:
        """What came to the end on standard output and error."""
        return demultiplexed(self.rest())


def _ended(head: bytes) -> bytes:
    raise AssertionError(f"the connection ended within the head: {head!r}")


def demultiplexed(data: bytes) -> tuple[bytes, bytes]:
    """Standard output and error of a multiplexed stream."""
    found = {1: b"", 2: b""}
    while data:
        stream, length = struct.unpack_from(">BxxxI", data)
        found[stream] += data[8 : 8 + length]
        data = data[8 + length :]
    return found[1], found[2]
