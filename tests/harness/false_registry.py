"""A small registry on loopback that misbehaves as a test says; and Debian's, which behaves."""

import base64
import hashlib
import itertools
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.harness.debian_packages import REGISTRY, fetch
from tests.harness.snapshot import eventually

CERTIFICATES = Path(__file__).with_name("certificates")
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
# "me" with the password "sesame"; bcrypt, as the registry wants it
HTPASSWD = "me:$2y$05$abcdefghijklmnopqrstuuKcS.CYWVYVaLiiCKrrc0A5s3mGesJ9O\n"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class FalseRegistry(ThreadingHTTPServer):
    """It has one repository, under any name; `with FalseRegistry() as registry: registry.cuts = [1000]`.

    blobs, manifests: what it has, by digest, and by tag or digest (media type, content)
    requests: what was asked: (method, path, headers)
    answers: what it answers to the next requests whose path contains a word: (word, status, headers, body)
    cuts: after how many bytes of a body it closes the connection, for the next blobs that are read or sent
    pause: seconds before each byte of a blob
    ignores_range: it sends a blob from its first byte on, whatever the range
    auth: "", "basic" or "bearer"; users: who may; token_uses: how often a token is accepted
    blobs_at: the URL of a server that has the blobs
    """

    daemon_threads = True

    def __init__(self, certificate: str = "", wants_client: bool = False, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.scheme = "http"
        if certificate:
            self.scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATES / f"{certificate}.pem")
            if wants_client:
                context.load_verify_locations(CERTIFICATES / "ca.crt")
                context.verify_mode = ssl.CERT_REQUIRED
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.answers: list[tuple[str, int, dict[str, str], bytes]] = []
        self.cuts: list[int] = []
        self.pause = 0.0
        self.ignores_range = self.keeps_uploads = False
        self.auth, self.blobs_at = "", ""
        self.users = {"me": "sesame"}
        self.identity_token = ""
        self.token_uses, self.tokens = 1000, {}  # type: int, dict[str, int]
        self.token_answer: dict[str, Any] = {}
        self.uploads: dict[str, bytes] = {}
        self.numbers = itertools.count()
        self.lock = threading.Lock()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    def __enter__(self) -> "FalseRegistry":
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that goes away is what some tests are about

    def add_blob(self, content: bytes) -> dict[str, Any]:
        self.blobs[digest(content)] = content
        return {
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "digest": digest(content),
            "size": len(content),
        }

    def add_manifest(self, data: dict[str, Any], tag: str = "", media_type: str = DOCKER_MANIFEST) -> dict[str, Any]:
        raw = json.dumps({"schemaVersion": 2, "mediaType": media_type, **data}).encode()
        for name in (digest(raw), *([tag] if tag else [])):
            self.manifests[name] = (media_type, raw)
        return {"mediaType": media_type, "digest": digest(raw), "size": len(raw)}

    def add_image(self, tag: str = "", *layers: bytes) -> dict[str, Any]:
        config = self.add_blob(json.dumps({"os": "linux", "architecture": "amd64", "tag": tag}).encode())
        config["mediaType"] = "application/vnd.docker.container.image.v1+json"
        return self.add_manifest({"config": config, "layers": [self.add_blob(layer) for layer in layers]}, tag)

    def asked(self, word: str, method: str = "") -> list[tuple[str, str, dict[str, str]]]:
        return [one for one in self.requests if word in one[1] and method in ("", one[0])]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FalseRegistry

    def log_message(self, *_: object) -> None:
        pass

    def _any(self) -> None:
        server = self.server
        with server.lock:
            server.requests.append((self.command, self.path, dict(self.headers.items())))
            found = next((one for one in server.answers if one[0] in self.path), None)
            if found:
                server.answers.remove(found)
        if found:
            self._read()
            self._answer(*found[1:])
        elif self.path.startswith("/token"):
            self._token()
        elif self.command == "CONNECT":
            self._answer(403)
        elif self._is_let_in():
            self._serve()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_CONNECT = _any  # noqa: N815

    def _answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        headers = {"Content-Length": str(len(body)), **(headers or {})}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        self._answer(status, headers, json.dumps({"errors": [{"code": code, "message": message}]}).encode())

    def _is_let_in(self) -> bool:
        server, header = self.server, self.headers.get("Authorization", "")
        if not server.auth:
            return True
        if server.auth == "basic":
            challenge, right = 'Basic realm="test"', [_basic(*pair) for pair in server.users.items()]
        else:
            scope = f"repository:{self.path.split('/')[2]}:pull" if self.path != "/v2/" else ""
            challenge = f'Bearer realm="{server.url}/token",service="test",scope="{scope}"'
            with server.lock:
                token = header.removeprefix("Bearer ")
                right = [header] if server.tokens.get(token, 0) > 0 else []
                server.tokens[token] = server.tokens.get(token, 0) - 1
        if header in right:
            return True
        self._read()
        self._refuse(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": challenge})
        return False

    def _token(self) -> None:
        server, header = self.server, self.headers.get("Authorization", "")
        form = parse_qs(self._read().decode())
        if header and header not in [_basic(*pair) for pair in server.users.items()]:
            self._answer(401, body=b'{"details": "incorrect username or password"}')
            return
        if form and form["refresh_token"] != [server.identity_token]:
            self._answer(401, body=b'{"details": "refresh token is invalid"}')
            return
        with server.lock:
            token = f"token-{next(server.numbers)}"
            server.tokens[token] = server.token_uses
        answer = {
            "token": token,
            **({"refresh_token": server.identity_token} if header and server.identity_token else {}),
        }
        self._answer(200, body=json.dumps({**answer, **server.token_answer}).encode())

    def _serve(self) -> None:
        kind, _, name = self.path.partition("?")[0].rpartition("/")
        if self.path == "/v2/":
            self._answer(200, body=b"{}")
        elif "/uploads" in self.path:
            self._upload()
        elif kind.endswith("/manifests"):
            self._manifest(name)
        elif self.server.blobs_at:
            self._answer(307, {"Location": self.server.blobs_at + self.path})
        elif name in self.server.blobs:
            self._blob(self.server.blobs[name])
        else:
            self._refuse(404, "BLOB_UNKNOWN", "blob unknown to registry")

    def _manifest(self, name: str) -> None:
        if self.command == "PUT":
            raw = self._read()
            self.server.manifests[name] = (self.headers["Content-Type"], raw)
            self._answer(201, {"Docker-Content-Digest": digest(raw)})
        elif name in self.server.manifests:
            media_type, raw = self.server.manifests[name]
            self._answer(200, {"Content-Type": media_type}, raw)
        else:
            self._refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")

    def _blob(self, content: bytes) -> None:
        start, status, headers = 0, 200, {}
        wanted = self.headers.get("Range", "")
        if wanted and not self.server.ignores_range:
            start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        body = content[start:]
        self._answer(status, {**headers, "Content-Length": str(len(body))})
        if self.command == "HEAD":
            return
        cut = self.server.cuts.pop(0) if self.server.cuts else None
        if self.server.pause:
            for byte in body:
                time.sleep(self.server.pause)
                self.wfile.write(bytes([byte]))
        self.wfile.write(body[:cut] if not self.server.pause else b"")
        if cut is not None:
            self._hang_up()

    def _upload(self) -> None:
        server, location = self.server, self.path.partition("?")[0]
        query = parse_qs(urlsplit(self.path).query)
        if self.command == "POST":
            if query.get("mount", [""])[0] in server.blobs:
                self._answer(201)
                return
            location = f"{self.path.partition('?')[0]}{len(server.uploads)}"
            server.uploads[location] = b""
            self._answer(202, {"Location": f"{location}?state=x", "Range": "0-0"})
            return
        if self.command == "GET" and server.keeps_uploads:
            self._answer(204, {"Location": location, "Range": f"0-{len(server.uploads[location]) - 1}"})
            return
        if self.command == "GET":
            self._refuse(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
            return
        cut = server.cuts.pop(0) if server.cuts and self.headers["Content-Length"] != "0" else None
        server.uploads[location] += self._read(cut)
        if cut is not None:
            self._hang_up()
        elif self.command == "PATCH":
            self._answer(202, {"Location": location})
        elif digest(server.uploads[location]) != query["digest"][0]:
            self._refuse(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        else:
            server.blobs[query["digest"][0]] = server.uploads[location]
            self._answer(201)

    def _read(self, most: int | None = None) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length if most is None else min(length, most))

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@contextmanager
def debian_registry(
    directory: Path,
    start: Callable[..., "subprocess.Popen[bytes]"] = subprocess.Popen,
    port: int = 0,
    password: bool = False,
    tls: bool = False,
    extra: str = "",
) -> Iterator[str]:
    """Debian's docker-registry on loopback, of this machine or of the throwaway host whose `popen` starts it.

    Yields HOST:PORT. The test is skipped where the package is not to be had.

    password: only who has HTPASSWD's may use it
    extra: is added to its configuration
    """
    port = port or _free_port()
    program = fetch(REGISTRY) / "usr/bin/docker-registry"
    pem, config, passwords = CERTIFICATES / "server.pem", directory / "registry.yml", directory / "htpasswd"
    passwords.write_text(HTPASSWD)
    config.write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {directory}/storage}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'{f', tls: {{certificate: {pem}, key: {pem}}}' if tls else ''}}}\n"
        + (f"auth: {{htpasswd: {{realm: test, path: {passwords}}}}}\n" if password else "")
        + extra
    )
    argv = [str(program) if program.exists() else shutil.which("docker-registry") or "", "serve", str(config)]
    process = start(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        listening = f":{port:04X} 00000000:0000 0A"
        eventually(lambda: listening in Path(f"/proc/{process.pid}/net/tcp").read_text(), 20)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
