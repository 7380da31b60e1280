"""What the tests ask of the servers, by their own protocols; and the servers' command lines."""

import struct
import urllib.request
from socket import create_connection
from typing import IO

IMAGE = "bench-servers"
_BIN = "/usr/lib/postgresql/15/bin"
HTTPD = ["busybox", "httpd", "-f", "-p", "80", "-h", "/www"]
REDIS = ["redis-server", "--save", "", "--protected-mode", "no", "--bind", "0.0.0.0"]
_DATABASE = f"""PATH={_BIN}:$PATH
if [ ! -e /data/db ]; then
    initdb -D /data/db -A trust >/dev/null && echo host all all all trust >>/data/db/pg_hba.conf
fi
exec postgres -D /data/db -h 0.0.0.0 -k /tmp"""
POSTGRES = ["sh", "-c", _DATABASE]
POSTGRES_READY = "database system is ready to accept connections"
_PROTOCOL = 196608  # 3.0
_SECONDS = 5


def http_get(host: str, port: int) -> str:
    """Return a page."""
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=_SECONDS) as answer:
        return str(answer.read().decode())


def redis(host: str, port: int, *words: str) -> bytes:
    """Run a command of Redis and return its answer as it comes."""
    with create_connection((host, port), _SECONDS) as line:
        line.sendall(
            b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)
        )
        return line.recv(4096)


def query(host: str, port: int, text: str) -> bytes:
    """Run SQL as postgres and return the messages of its answer (PostgreSQL: Frontend/Backend Protocol)."""
    with create_connection((host, port), _SECONDS) as line, line.makefile("rwb") as stream:
        start = struct.pack("!i", _PROTOCOL) + b"user\0postgres\0database\0postgres\0\0"
        stream.write(struct.pack("!i", len(start) + 4) + start)
        stream.flush()
        _until_ready(stream)
        data = text.encode() + b"\0"
        stream.write(b"Q" + struct.pack("!i", len(data) + 4) + data)
        stream.flush()
        return _until_ready(stream)


def _until_ready(stream: IO[bytes]) -> bytes:
    found = b""
    while True:
        kind = stream.read(1)
        body = stream.read(struct.unpack("!i", stream.read(4))[0] - 4)
        if kind in (b"Z", b""):
            return found
        found += kind + body
