"""Every route with values that no client of good will sends, in bodies and queries of the right shape.

The answer says what is wrong ({"message"}) or does what was asked. It is never a traceback (conftest.py looks for one
in the log), and never one that does not come; and no worker stays. Of the wrong fields a third is sent;
HOSTILE_STEP=1 in the environment sends all.
"""

import json
import os
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from minirun.api import bodies, build, containers, execs, images, networks, volumes  # noqa: F401 - they define bodies
from minirun.api.routes import ROUTES, Route
from tests.harness import eventually
from tests.harness.api_client import ApiClient
from tests.integration.api.test_bad_input import talk

_EXAMPLES = 6  # of each route
_STEP = int(os.environ.get("HOSTILE_STEP", "3"))
_BUDGET = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
_TEXTS = ["", "x", "web", "0", "-1", "none", "host", "bridge", "container:", "container:web", "busybox", "/", ".."]
_TEXTS += [
    "a=b",
    ":",
    ",",
    "=",
    "\n",
    "\0",
    "\u00e9\u202e",
    "a" * 5000,
    "9" * 40,
    "{{.}}",
    "1/2/3",
    "80/tcp",
    "{",
    "[1]",
]
_TEXTS += ["fd00::1/64", "10.0.0.0/8", "CAP_X", "json-file", "1.5"]
_NUMBERS = [0, 1, -1, 2, 10**6, 2**31, 2**32, 2**63 - 1, 2**63, -(2**63), 10**40, 0.5, True, "1", None, [], {}]
_OTHERS: list[Any] = [None, 1, "x", [], {}, [None], {"x": None}, True, [[]], 1e308]
_QUERIES = """
    Container add all allPlatforms author buildargs cachefrom changes comment condition container copyUIDGID cpuperiod
    cpuquota cpusetcpus cpusetmems cpushares dangling detachKeys details digests dockerfile driver extrahosts filter
    filters follow force forcerm fromSrc h keep-storage labels limit link logs manifests memory memswap message names
    name networkmode noOverwriteDirNonDir nocache noprune one-shot outputs path pause platform port ps_args pull q quiet
    repo rm scope shared-size shmsize signal since size squash stderr stdin stdout t tag tail target term timestamps to
    type ulimits until v verbose version w
"""
_VALID = {"Image": "busybox", "Cmd": ["x"], "Container": "web", "Name": "made-here"}
_BODIES = {
    "/containers/create": "ContainerCreate",
    "/containers/{name}/update": "Resources",
    "/containers/{name}/exec": "ExecCreate",
    "/exec/{id}/start": "ExecStart",
    "/networks/create": "NetworkCreate",
    "/networks/{name}/connect": "NetworkConnect",
    "/networks/{name}/disconnect": "NetworkDisconnect",
    "/volumes/create": "VolumeCreate",
}
# What goes on until its client leaves.
_STREAMS = ("/events", "/attach", "/attach/ws", "/wait", "/logs", "/stats", "/start")
_LEFT_OUT = ("/minirun/doctor",)  # it looks at all of the host, for seconds
_NAMES = ["web", "made", "bridge", "busybox", "nothere", "%00", "a%2Fb", "%C3%A9", ".", "sha256:", "@", "x" * 300]


def _kinds() -> dict[str, inspect.Type]:
    found, kinds = {}, [bodies.Body]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        found[kind.__name__] = inspect.type_info(kind)
    return found


_KINDS = _kinds()


def _values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Values that are mostly of a type, and rarely as they should be."""
    match kind:
        case inspect.StructType():
            fields = {field.encode_name: _values(field.type) for field in kind.fields}
            whole = st.fixed_dictionaries({}, optional=fields)
            return whole | st.sampled_from(_OTHERS)
        case inspect.ListType():
            return st.lists(_values(kind.item_type), max_size=2) | st.sampled_from(_OTHERS)
        case inspect.DictType():
            values = st.dictionaries(st.sampled_from(_TEXTS), _values(kind.value_type), max_size=2)
            return values | st.sampled_from(_OTHERS)
        case inspect.UnionType():
            return st.one_of(*(_values(one) for one in kind.types if not isinstance(one, inspect.NoneType)))
        case inspect.StrType():
            return st.sampled_from(_TEXTS)
        case inspect.IntType():
            return st.sampled_from(_NUMBERS)
        case inspect.BoolType():
            return st.booleans()
    return st.sampled_from(_OTHERS)


def _body(route: Route) -> st.SearchStrategy[Any]:
    kind = _KINDS.get(_BODIES.get(route.path, ""))
    if kind is None:
        return st.sampled_from(_OTHERS)
    return _values(kind).map(lambda body: {**_VALID, **body} if isinstance(body, dict) else body)


def _each(kind: inspect.Type) -> Iterator[Any]:
    """Values in which one thing is wrong, or unusual: each field in turn has each value."""
    match kind:
        case inspect.StructType():
            for field in kind.fields:
                yield from ({field.encode_name: value} for value in _each(field.type))
            yield from _OTHERS
        case inspect.ListType():
            yield from ([value] for value in _each(kind.item_type))
        case inspect.DictType():
            yield from ({"x": value} for value in _each(kind.value_type))
            yield from ({text: value} for text in _TEXTS for value in list(_each(kind.value_type))[:2])
        case inspect.UnionType():
            for one in kind.types:
                yield from _each(one)
        case inspect.StrType():
            yield from _TEXTS
        case inspect.IntType():
            yield from _NUMBERS
        case inspect.NoneType():
            yield None
        case _:
            yield from _OTHERS


@pytest.fixture
def busy_api(api: ApiClient) -> ApiClient:
    """With a container that runs, and one that does not."""
    web = api.get("/containers/web/json")
    if web.status == 404 or web.json["State"]["Status"] != "running":
        api.delete("/containers/web", force=1)
        api.run("sleep", "1000", name="web")
    if api.get("/containers/made/json").status == 404:
        api.create("true", name="made")
    return api


@pytest.mark.parametrize(
    "route", [one for one in ROUTES if one.path not in _LEFT_OUT], ids=lambda route: f"{route.method}-{route.path}"
)
def test_hostile_values(busy_api: ApiClient, route: Route) -> None:
    api, is_stream = busy_api, route.path.endswith(_STREAMS)
    before = len(api.log())

    @_BUDGET
    @given(
        names=st.lists(st.sampled_from(_NAMES), min_size=2, max_size=2),
        query=st.dictionaries(st.sampled_from(_QUERIES.split()), st.sampled_from([*_TEXTS, "1", "true"]), max_size=6),
        body=_body(route),
    )
    def ask(names: list[str], query: dict[str, str], body: Any) -> None:
        path = route.path
        for part, name in zip(("{name}", "{name:*}", "{id}", "{rest:*}"), [*names, *names], strict=True):
            path = path.replace(part, name)
        sent = b"" if route.method in ("GET", "HEAD", "DELETE") else json.dumps(body).encode()
        head = f"{route.method} /v1.51{quote(path, safe='/%:@{}')}?{urlencode(query)} HTTP/1.1\r\nHost: x\r\n"
        head += f"Connection: close\r\nContent-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
        answer = talk(api, head.encode(), sent, ends=False, timeout=0.3 if is_stream else 20, may_go_on=is_stream)
        if not answer and is_stream:
            return
        top, _, rest = answer.partition(b"\r\n\r\n")
        status = int(top.split()[1])
        assert status != 500 or b"message" in rest, answer
        if status >= 400 and route.method != "HEAD":
            assert json.loads(rest)["message"], answer

    ask()
    _looked_at(api, before)


@pytest.mark.parametrize("path", _BODIES)
def test_each_field_with_each_value(busy_api: ApiClient, path: str) -> None:
    api, before = busy_api, len(busy_api.log())
    place = path.replace("{name}", "bridge" if "networks" in path else "web")
    if "{id}" in place:
        place = place.replace("{id}", api.post("/containers/web/exec", {"Cmd": ["true"]}).json["Id"])
    for body in _each(_KINDS[_BODIES[path]]):
        if zlib.crc32(repr(body).encode()) % _STEP:
            continue
        answer = api.post(place, {**_VALID, **body} if isinstance(body, dict) else body)
        assert answer.status < 500 or answer.message, body
        if answer.status == 201 and path != "/containers/{name}/exec":
            made = answer.json.get("Id") or answer.json["Name"]
            query = {"force": 1, "v": 1} if "containers" in path else {}
            api.delete(f"{path.removesuffix('/create')}/{made}", **query)
    _looked_at(api, before)


def _looked_at(api: ApiClient, before: int) -> None:
    """No worker stays, and since the log was so long there was no traceback."""
    eventually(lambda: not api.busy(), 20)
    log = api.log()[before:]
    assert "Traceback" not in log, log[log.find("Traceback") :][:3000]
