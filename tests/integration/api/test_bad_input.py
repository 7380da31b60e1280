"""Input that no client of good will sends: an answer that says what is wrong, or the end of the connection.

Never a traceback, an answer of 500, a process that stays, or a descriptor that the service keeps.
"""

import json
import socket
from contextlib import suppress
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import eventually
from tests.harness.api_client import ApiClient

_BUDGET = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
_PATHS = [
    *("/networks/create", "/networks/bridge/connect", "/networks/bridge/disconnect", "/volumes/create"),
    *("/containers/create", "/exec/x/start", "/containers/x/exec", "/containers/x/update"),
    *("/minirun/containers/x/ports", "/networks/prune", "/volumes/prune"),
]
_FIELDS = [
    *(
        "Name",
        "Driver",
        "IPAM",
        "Config",
        "Options",
        "Labels",
        "Container",
        "EndpointConfig",
        "Image",
        "Cmd",
        "HostConfig",
    ),
    *("EnableIPv6", "DriverOpts", "Add", "Remove", "Subnet", "Force", "ConfigFrom", "NetworkingConfig", "Healthcheck"),
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_FIELDS), inner, max_size=4),
    max_leaves=8,
)
_WORD = st.text(max_size=12) | st.sampled_from(
    ["..", "%2f", "../../etc/passwd", "%00", "\ud7ff", "{", '{"a":', "-1", "9" * 40]
)


def talk(api: ApiClient, *parts: bytes, ends: bool = True, timeout: float = 20, may_go_on: bool = False) -> bytes:
    """Send, close the writing side, and read until the service closes its own.

    may_go_on: an answer that has not ended in time is cut off
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(api.path)
        found = b""
        with suppress(ConnectionError):  # it may have answered already
            for part in parts:
                sock.sendall(part)
            if ends:
                sock.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError, *([TimeoutError] if may_go_on else [])):
            while data := sock.recv(65536):
                found += data
        return found


def _head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""]).encode()


def _status(answer: bytes) -> int:
    return int(answer.split()[1]) if answer else 0


@_BUDGET
@given(path=st.sampled_from(_PATHS), body=_JSON)
def test_json_of_any_shape(api: ApiClient, path: str, body: object) -> None:
    sent = json.dumps(body).encode()
    head = _head("POST", f"/v1.51{path}", "Content-Type: application/json", f"Content-Length: {len(sent)}")
    answer = talk(api, head, sent)
    assert _status(answer) in (200, 201, 400, 403, 404, 409), answer


@_BUDGET
@given(
    root=st.sampled_from(
        ["networks", "volumes", "containers", "minirun", "swarm", "plugins", "v1.51/events", "system"]
    ),
    words=st.lists(_WORD, max_size=3),
    query=st.dictionaries(
        st.sampled_from(["filters", "type", "since", "until", "to", "format", "all"]), _WORD, max_size=3
    ),
)
def test_paths_and_queries(api: ApiClient, root: str, words: list[str], query: dict[str, str]) -> None:
    path = "/".join(["", root, *(quote(word, safe="%") for word in words)])
    text = "&".join(f"{key}={quote(value)}" for key, value in {"until": "1", **query}.items())
    answer = talk(api, _head("GET", f"{path}?{text}"))
    assert _status(answer) in (200, 301, 400, 404, 501, 503), answer


@_BUDGET
@given(
    request=st.sampled_from(
        [
            _head("POST", "/networks/create", "Content-Length: 30") + b'{"Name":',
            _head("POST", "/volumes/create", "Transfer-Encoding: chunked") + b'5\r\n{"Dri\r\nzz\r\n',
            _head("POST", "/volumes/create", "Transfer-Encoding: chunked") + b'5\r\n{"Dri\r\n',
            _head("POST", "/volumes/create", "Transfer-Encoding: chunked", "Content-Length: 3")
            + b"1\r\n{\r\n0\r\n\r\n",
            _head("POST", "/volumes/create", "Content-Length: -1"),
            _head("POST", "/volumes/create", "Content-Length: 1", "Content-Length: 2") + b"{}",
            _head("GET", "/v9.99/networks"),
            _head("GET", "/v1.10/networks"),
            _head("GET", "/v1.51/networks", "Upgrade: tcp", "Connection: Upgrade"),
            _head("GET", "/networks/..%2f..%2fetc"),
            _head("GET", "//networks/../../x"),
            _head("BREW", "/networks"),
            b"GET / HTTP/9.9\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ]
    ),
    cut=st.integers(0, 200),
    noise=st.binary(max_size=5),
)
def test_half_requests_and_what_is_no_http(api: ApiClient, request: bytes, cut: int, noise: bytes) -> None:
    answer = talk(api, request[:cut] if cut < len(request) else request, noise)
    assert _status(answer) in (0, 101, 200, 301, 400, 404, 408), answer


def test_heads_without_end_deep_json_and_what_is_left_behind(api: ApiClient) -> None:
    huge = talk(api, b"GET /_ping HTTP/1.1\r\nHost: x\r\n", *[b"X-Long: " + b"a" * 65000 + b"\r\n"] * 40, ends=False)
    assert _status(huge) in (0, 400, 431), huge[:300]  # 0: what was still being sent has cut off the answer
    deep = b"[" * 100_000 + b"]" * 100_000
    answer = talk(api, _head("POST", "/networks/create", f"Content-Length: {len(deep)}"), deep)
    assert _status(answer) == 400
    assert api.get("/v1.99/networks").message.startswith("client version 1.99 is too new")
    assert api.get("/networks/..%2f..%2fetc").status == 404
    led = api.get("/v1.51//containers/./../networks//", all=1)
    assert (led.status, led.headers["location"]) == (301, "/v1.51/networks/?all=1")
    assert api.get(led.headers["location"]).status == 200
    assert b"Location: /x.example/networks\r\n" in talk(api, _head("GET", "//x.example/networks")), "not another host's"
    assert api.get("/containers/%00/json").status == 400
    eventually(lambda: not api.workers(), 20)
    opened = api.host.sh(f"ls /proc/{api.pid}/fd").split()
    assert len(opened) < 20, opened
    assert "Traceback" not in api.log()
