"""The Engine API: docker's client with minirun's service in place of dockerd. Its numbers stand in minirun's column."""

import http.client
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench import namespaces
from bench.clock import SETTLE, say
from bench.commands import rounds, shuffled
from bench.contenders import Contender, UnableError
from bench.memory import pss
from bench.results import Results
from bench.rows import GROUPS, ROWS

_RUN = ("run", "--rm", "busybox", "true")
_LISTED = 100
_ATTACHED = ("run", "--rm", "--net=none", "busybox", "dd", "if=/dev/zero", "bs=1M", "count=1024", "status=none")
_GIB = 1 << 30
_SETTLE = 8.0  # seconds until the service has no worker left


def measure(engines: Sequence[Contender], work: Path, results: Results, repeat: int) -> None:
    rows = [row for row in GROUPS["api"].rows if row in results.rows]
    sockets = {"docker": work / "docker.sock", "minirun": work / "minirun.sock"}
    clients = [_client(one, work, sockets[one.name]) for one in engines if one.name in sockets] if rows else []
    if len(clients) < 2:
        if rows:
            say("the API is not measured: docker's client and dockerd are needed")
        return
    for one in clients:
        one.must(*_RUN)
    if "api-list" in rows:
        for one in clients:
            with namespaces.within(one.host):
                _create_many(sockets[one.name])
    for turn in rounds("API", repeat):
        for one in shuffled(clients, turn):
            for row in rows:
                try:
                    results.add(row, one.name, _measured(row, one, sockets[one.name]))
                except (OSError, UnableError) as error:
                    results.fail(row, one.name)
                    say(f"{one.name}, {ROWS[row].title}: {error}")
                time.sleep(SETTLE)


def _client(one: Contender, work: Path, path: Path) -> Contender:
    """docker's client with the engine's socket; of minirun, the service is started."""
    client = shutil.which("docker", path="/usr/bin") or shutil.which("docker") or "docker"
    if one.name == "minirun":
        with namespaces.within(one.host), (work / "service.log").open("wb") as log:
            words = [one.command[0], "system", "service", f"unix://{path}"]
            subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(100):
            if path.exists():
                break
            time.sleep(0.05)
    os.environ["DOCKER_CONFIG"] = str(work / "home")
    return replace(one, command=(client, "-H", f"unix://{path}"))


def _measured(row: str, one: Contender, path: Path) -> float:
    if row == "api-run":
        seconds, error = one.run(*_RUN)
        if error is not None:
            raise UnableError(error)
        return 1000 * seconds
    if row == "api-list":
        return 1000 * _list(path)
    if row == "api-attach":
        return _rate(one)
    time.sleep(_SETTLE)
    return sum(pss(pid) for pid in _serving(one)) / 1024


def _connection(path: Path) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("api")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(path))
    return connection


def _create_many(path: Path) -> None:
    connection = _connection(path)
    body = '{"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}'
    for _ in range(_LISTED):
        connection.request("POST", "/v1.41/containers/create", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != http.client.CREATED:
            raise UnableError(answer.read().decode())
        answer.read()


def _list(path: Path) -> float:
    """Seconds of one request, the second one on its connection."""
    connection = _connection(path)
    for _ in range(2):
        began = time.monotonic()
        connection.request("GET", "/v1.41/containers/json?all=1")
        connection.getresponse().read()
    return time.monotonic() - began


def _rate(one: Contender) -> float:
    """Of 1 GiB of output by docker's client, in MiB/s."""
    began = time.monotonic()
    with namespaces.within(one.host):
        process = subprocess.Popen([*one.command, *_ATTACHED], stdout=subprocess.PIPE)
        assert process.stdout is not None
        received = 0
        while data := process.stdout.read(1 << 20):
            received += len(data)
        process.wait()
    if received != _GIB:
        raise UnableError(f"{received} of {_GIB} bytes came")
    return _GIB / (1 << 20) / (time.monotonic() - began)


def _serving(one: Contender) -> list[int]:
    """The processes of dockerd and containerd, or of minirun's service: not those that each command has anyway."""
    wanted = (b"dockerd", b"containerd") if one.name == "docker" else (b"system\0service", b"minirun-api")
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if any(word in line for word in wanted) and b"shim" not in line:
            found.append(int(path.parent.name))
    return found
