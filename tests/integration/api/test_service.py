"""The service's life: it holds nothing, keeps connections cheaply, and ends when nobody needs it."""

import http.client
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.harness import Host, eventually
from tests.harness.api_client import SOCKET, ApiClient, demultiplexed


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as made:
        yield made


def test_killed_in_the_midst_it_ends_no_container_and_another_answers(host: Host) -> None:
    with ApiClient(host) as first:
        container = first.run("sh", "-c", "sleep 1; echo done; sleep 100", name="web")
        attached = first.take_over("POST", f"/containers/{container}/attach", stream=1, stdout=1)
        waiting = first.take_over("POST", f"/containers/{container}/wait", upgrade="", condition="removed")
        asked = {"AttachStdout": True, "Cmd": ["sleep", "100"]}
        name = first.post(f"/containers/{container}/exec", asked).json["Id"]
        first.take_over("POST", f"/exec/{name}/start", {})
        following = first.take_over("GET", f"/containers/{container}/logs", upgrade="", stdout=1, follow=1)
        eventually(lambda: first.get(f"/exec/{name}/json").json["Running"])
        shim = first.get("/containers/web/json").json["State"]["MonitorPid"]
        for pid in [first.pid, *(int(worker) for worker in first.workers())]:
            host.sh(f"kill -9 {pid} || true" if pid != shim else "true")
        for stream in (attached, waiting, following):
            stream.rest()
        with ApiClient(host) as second:
            assert second.get("/containers/web/json").json["State"]["Running"]
            logs = "/containers/web/logs"
            eventually(lambda: demultiplexed(second.get(logs, stdout=1).body)[0] == b"done\n")
            assert second.get(f"/exec/{name}/json").json["Running"] in (True, False)
            assert second.delete("/containers/web", force=1).status == 204


def test_connections_that_wait_cost_no_process_and_hold_up_nobody(host: Host) -> None:
    with ApiClient(host) as api:
        held = [api.connect() for _ in range(200)]
        held[0].sendall(b"GET /_ping HTTP/1.1\r\nHo")  # half a request
        asked = b"GET /v1.51/containers/json HTTP/1.1\r\nHost: x\r\n\r\n"
        for sock in held[1:]:
            sock.sendall(asked)
        assert all(sock.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n") for sock in held[1:])
        eventually(lambda: len(api.workers()) <= 1, 20)
        for sock in held[1:20]:
            sock.sendall(asked)
            assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n"), "the connection is still good"
        api.hang_up()
        eventually(lambda: not api.workers(), 20)
        eventually(lambda: len(os.listdir(f"/proc/{host.pid}/root/proc/{api.pid}/fd")) < 20)


def test_containers_start_at_the_same_time() -> None:
    """Each by a worker of its own, and none by what the fork server had forked ahead for the service's command."""
    with Host(own_server=True) as host:
        host.minirun("run", "--rm", "busybox", "true")
        time.sleep(0.5)  # the fork server has time to fork something ahead
        with ApiClient(host) as api, ThreadPoolExecutor(4) as threads:
            made = [f"/containers/{api.create('sleep', '100')}" for _ in range(4)]
            started = threads.map(lambda path: api.post(f"{path}/start").status, made)
            assert list(started) == [204] * 4
            assert len(api.get("/containers/json").json) == 4
            removed = threads.map(lambda path: api.delete(path, force=1).status, made)
            assert list(removed) == [204] * 4


def test_an_answer_comes_also_while_the_client_still_sends(host: Host) -> None:
    with ApiClient(host) as api:
        for size in (1 << 10, 8 << 20):  # what the service reads to its end, and what it does not
            sock = api.connect()
            head = f"POST /v1.51/swarm/leave HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
            sock.sendall(head.encode())
            time.sleep(0.1)
            with suppress(BrokenPipeError):
                sock.sendall(b"x" * size)
            assert sock.recv(65536).startswith(b"HTTP/1.1 503 ")


def test_requests_on_one_connection_and_a_body_that_nobody_reads(host: Host) -> None:
    with ApiClient(host) as api:
        connection = http.client.HTTPConnection("api")
        connection.sock = api.connect()
        for _ in range(3):
            connection.request("GET", "/v1.40/version")
            assert json.load(connection.getresponse())["MinAPIVersion"] == "1.24"
            time.sleep(0.1)  # longer than a process waits for the next one
        sock = api.connect()
        sock.sendall(
            b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\nGET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        received = b""
        while data := sock.recv(65536):
            received += data
        assert received.count(b"HTTP/1.1 200 OK") == 2


def test_it_ends_when_it_is_idle_or_told_to(host: Host) -> None:
    with ApiClient(host, "--time", "1") as api:
        assert api.process.wait(10) == 0
        assert host.sh(f"ls {SOCKET} || true") == ""
    with ApiClient(host, "--group", "daemon") as api:
        assert host.sh(f"stat -c '%a %U %G' {SOCKET}") == "660 root daemon\n"
        refused = host.minirun("system", "service", f"unix://{SOCKET}", check=False)
        assert (refused.returncode, "another service listens there" in refused.stderr) == (1, True)
        assert json.loads(api.get("/version").body)["ApiVersion"] == "1.51"
        host.sh(f"kill {api.pid}")
        api.process.wait(10)
        assert host.sh(f"ls {SOCKET} || true") == ""


def test_dial_stdio(host: Host) -> None:
    with ApiClient(host):
        request = "GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        there = {**os.environ, "DOCKER_HOST": f"unix://{SOCKET}"}
        done = host.minirun("system", "dial-stdio", input=request, env=there)
        assert done.stdout.splitlines()[0] == "HTTP/1.1 200 OK"
        assert done.stdout.endswith("OK")
    refused = host.minirun("system", "dial-stdio", env=there, check=False)
    assert (refused.returncode, f"cannot connect to {SOCKET}" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("tcp://0.0.0.0:2375", "whoever reaches it is root"),
        ("unix://relative", "invalid address"),
        ("fd://", "for a service that systemd starts"),
    ],
)
def test_where_it_does_not_listen(host: Host, address: str, says: str) -> None:
    refused = host.minirun("system", "service", address, check=False)
    assert (refused.returncode, says in refused.stderr) == (1, True), refused.stderr
