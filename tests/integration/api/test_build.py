"""POST /build: the words of Docker's classic builder, and nothing left of a build whose client goes away."""

import gzip
import json
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived

from tests.harness import eventually
from tests.harness.api_client import ApiClient, target
from tests.integration.image.image_tools import archive

DOCKERFILE = """ARG BASE=busybox
FROM $BASE AS first
ARG NAME=none
ENV A=b
RUN echo "made by $NAME" > /made; cat /made; echo bad >&2
FROM first
COPY file /copied
CMD ["cat", "/copied"]
"""


def build(api: ApiClient, dockerfile: str, /, *files: tuple[str, str], **query: Any) -> list[dict[str, Any]]:
    """What a build sends."""
    packed = gzip.compress(archive(("Dockerfile", dockerfile), *files))
    return api.request("POST", "/build", iter([packed]), {"Content-Type": "application/x-tar"}, **query).objects


def streamed(objects: list[dict[str, Any]]) -> str:
    return "".join(one.get("stream", "") for one in objects)


def test_the_words_of_the_classic_builder(api: ApiClient) -> None:
    query = {
        "t": ["built:1", "built:2"],
        "buildargs": json.dumps({"NAME": "me", "BASE": None}),
        "labels": json.dumps({"of": "test"}),
        "rm": 1,
        "version": 1,
    }
    told = build(api, DOCKERFILE, ("file", "content"), **query)
    (built,) = [one["aux"]["ID"] for one in told if "aux" in one]
    lines = streamed(told).splitlines()
    assert lines[0] == "Step 1/8 : ARG BASE=busybox"
    assert "Step 2/8 : FROM $BASE AS first" in lines
    assert "Step 4/8 : ENV A=b" in lines
    assert "made by me" in lines
    assert {"stream": "\033[91mbad\n\033[0m"} in told
    id_ = built.removeprefix("sha256:")[:12]
    assert lines[-3:] == [f"Successfully built {id_}", "Successfully tagged built:1", "Successfully tagged built:2"]
    described = api.get("/images/built:2/json").json
    assert (described["Id"], described["Config"]["Labels"]) == (built, {"of": "test"})
    assert described["Config"]["Cmd"] == ["cat", "/copied"]
    again = streamed(build(api, DOCKERFILE, ("file", "content"), **query))
    assert again.count(" ---> Using cache\n") == 2
    quiet = build(api, DOCKERFILE, ("file", "content"), q=1, **query)
    assert quiet[0]["stream"].startswith("sha256:")
    assert len(quiet) == 1
    assert "Using cache" not in streamed(build(api, DOCKERFILE, ("file", "content"), nocache=1, **query))
    target_ = build(api, DOCKERFILE, ("file", "content"), target="first")
    assert "Step 5/5 : RUN" in streamed(target_)
    api.delete("/images/built:1")
    api.delete("/images/built:2")
    api.post("/images/prune")  # those without a name have the same layers
    pruned = api.post("/build/prune", all=1).json
    assert pruned["CachesDeleted"]
    assert pruned["SpaceReclaimed"] > 0


def test_a_step_that_fails_ends_the_stream_with_its_code(api: ApiClient) -> None:
    told = build(api, "FROM busybox\nRUN echo out; exit 3\n", q=1)
    assert "out\n" in streamed(told), "what -q has held back"
    assert told[-1]["errorDetail"]["code"] == 3
    assert told[-1]["error"] == told[-1]["errorDetail"]["message"]
    assert told[-1]["error"] == "The command '/bin/sh -c echo out; exit 3' returned a non-zero code: 3"


def test_what_a_client_must_send_and_ignores_is_not_copied(api: ApiClient) -> None:
    """docker sends the Dockerfile of `-f -` under a name that it adds to .dockerignore."""
    files = [("kept", ""), (".file.1", "FROM busybox\nCOPY . /x\nRUN ls -A /x\n"), (".dockerignore", ".*\n")]
    packed = archive(("Dockerfile", "FROM scratch\n"), *files).rstrip(b"\0")  # nor does it end the archive
    told = api.request("POST", "/build", iter([packed]), dockerfile=".file.1").objects
    assert "Dockerfile\nkept\n" in streamed(told)
    assert ".file.1" not in streamed(told)


def test_what_cannot_be_pulled_is_told_of_behind_its_step(api: ApiClient) -> None:
    told = build(api, "FROM 127.0.0.1:1/none\n", cachefrom='["x"]')
    assert "cachefrom changes nothing" in told[0]["stream"]
    assert told[1]["stream"] == "Step 1/1 : FROM 127.0.0.1:1/none"
    assert "connection refused" in told[-1]["error"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"squash": 1}, "squash is not supported"),
        ({"outputs": '[{"Type": "local"}]'}, "outputs is not supported"),
        ({"version": 2}, "DOCKER_BUILDKIT=0"),
        ({"remote": "https://192.0.2.1/x.git"}, "a remote build context is not supported"),
        ({"t": "BAD NAME"}, "not a valid repository/tag"),
        ({"buildargs": "{"}, "error reading buildargs"),
        ({"target": "nothere"}, "nothere"),
        ({"memory": 1}, "emory"),
        ({"dockerfile": "Other"}, "Other"),
    ],
)
def test_what_is_refused(api: ApiClient, query: dict[str, Any], says: str) -> None:
    packed = archive(("Dockerfile", "FROM busybox\n"))
    answer = api.request("POST", "/build", iter([packed]), **query)
    assert (answer.status, says in answer.message) == (400, True), answer.body


def test_ulimits_hosts_and_networks_are_those_of_run(api: ApiClient) -> None:
    script = "FROM busybox\nRUN ulimit -n; grep other /etc/hosts; ls /sys/class/net\n"
    told = build(
        api,
        script,
        nocache=1,
        ulimits=json.dumps([{"Name": "nofile", "Soft": 99, "Hard": 100}]),
        extrahosts=["other:192.0.2.7"],
        networkmode="none",
    )
    text = streamed(told)
    assert "error" not in told[-1], told[-1]
    assert "\n99\n192.0.2.7" in text, text
    assert "eth0" not in text


@pytest.mark.parametrize("ends", ["client", "worker"])
def test_nothing_is_left_of_a_build_whose_client_or_worker_is_gone(api: ApiClient, ends: str) -> None:
    packed = archive(("Dockerfile", "FROM busybox\nRUN echo be''gun; sleep 1000\n"))
    sock = api.connect()
    head = f"POST {target('/build', t='never')} HTTP/1.1\r\nHost: api\r\nContent-Length: {len(packed)}\r\n\r\n"
    sock.sendall(head.encode() + packed)
    received = b""
    while b"begun" not in received:
        received += sock.recv(65536)
    assert [one["State"] for one in api.get("/containers/json").json] == ["running"]
    if ends == "client":
        sock.close()
    else:
        worker = api.host.sh("pgrep -o -f '^minirun-api POST /v1.51/build'").strip()
        api.host.sh(f"kill -9 {worker}")
    eventually(lambda: api.get("/containers/json", all=1).json == [], 10)
    assert "sleep 1000" not in api.host.sh("ps -o args")
    assert api.get("/images/never/json").status == 404
    api.hang_up()


def test_buildkits_protocol_is_refused_with_what_to_do(api: ApiClient) -> None:
    """buildx and compose show the message of gRPC. Without it, they would run a builder of their own in a container."""
    stream = api.take_over("POST", "/grpc", upgrade="h2c")
    assert stream.status == 101
    client = H2Connection(H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    asked = {
        ":method": "POST",
        ":scheme": "http",
        ":authority": "api",
        "content-type": "application/grpc",
    }
    refused: dict[int, dict[str, str]] = {}
    for call in (1, 3):  # a second call on the same connection has its answer, too
        path = "/moby.buildkit.v1.Control/ListWorkers"
        client.send_headers(call, list(({":path": path} | asked).items()), end_stream=True)
        while call not in refused:
            stream.socket.sendall(client.data_to_send())
            for event in client.receive_data(stream.socket.recv(65536)):
                if isinstance(event, ResponseReceived):
                    refused[call] = dict(event.headers)  # type: ignore[arg-type]
    assert refused[1] == refused[3]
    assert refused[1]["grpc-status"] == "12", "UNIMPLEMENTED"
    assert "DOCKER_BUILDKIT=0" in refused[1]["grpc-message"]
    stream.socket.close()
    eventually(lambda: not api.busy())
    garbage = api.take_over("POST", "/grpc", upgrade="h2c")
    garbage.socket.sendall(b"no HTTP/2 at all" * 100)
    garbage.rest()  # it ends
    assert "h2c" in api.request("POST", "/grpc").message
