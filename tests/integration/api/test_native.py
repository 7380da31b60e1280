"""What only minirun has: map, trace, doctor, rules, ports of a running container, and what a request does."""

import json

import pytest

from tests.harness.api_client import ApiClient


@pytest.fixture(scope="module")
def web(api: ApiClient) -> str:
    command = ["sh", "-c", "echo hello >index.html; exec httpd -f -p 80"]
    return api.run(*command, name="web", HostConfig={"NetworkMode": "bridge"})


def test_ports_change_while_the_container_runs(api: ApiClient, web: str) -> None:
    def fetch() -> str:
        return str(api.host.sh("busybox wget -qO- http://127.0.0.1:8081 || echo refused"))

    assert fetch().strip() == "refused"
    made = api.post("/minirun/containers/web/ports", {"Add": ["8081:80"]})
    assert next((one["IP"], one["PublicPort"], one["PrivatePort"]) for one in made.json) == ("0.0.0.0", 8081, 80)
    assert fetch().strip() == "hello"
    assert any("8081" in rule["text"] for rule in api.get("/minirun/containers/web/rules").json)
    journey = api.get("/minirun/trace", to="8081").json
    assert journey["arrived"] is True, journey
    assert "web" in api.get("/minirun/trace", to="web:80", **{"from": "host"}, format="text").body.decode()
    assert api.post("/minirun/containers/web/ports", {"Add": ["8081:80"]}).status == 409
    assert api.post("/minirun/containers/web/ports", {"Remove": ["8081"]}).json == []
    assert fetch().strip() == "refused"
    assert api.post("/minirun/containers/web/ports", {"Add": ["x:80"]}).status == 400
    assert api.get("/minirun/trace").status == 400


def test_map_and_doctor(api: ApiClient, web: str) -> None:
    assert "web" in json.dumps(api.get("/minirun/map").json)
    kinds = {form: api.get("/minirun/map", format=form) for form in ("text", "svg", "mermaid", "dot")}
    assert all(b"web" in answer.body for answer in kinds.values())
    assert kinds["svg"].headers["content-type"] == "image/svg+xml"
    assert api.get("/minirun/map", format="png").status == 400
    api.host.sh("ip link set minirun0 down")
    problems = [one["what"] for one in api.get("/minirun/doctor", quick=1).json if one["level"] == "problem"]
    assert problems
    assert not [one for one in api.request("POST", "/minirun/doctor", quick=1).json if one["level"] == "problem"]
    assert "UP" in api.host.sh("ip -br link show minirun0")


def test_a_request_shows_what_it_does(api: ApiClient) -> None:
    asked = {"X-Minirun-Explain": "json"}
    made = api.request("POST", "/networks/create", {"Name": "shown"}, asked)
    steps = [operation["command"] for step in made.json["Steps"] for operation in step["operations"]]
    bridge = api.get(f"/networks/{made.json['Answer']['Id']}").json["Options"]["minirun.bridge.name"]
    assert made.status == 201
    assert any(command.startswith(f"ip link add {bridge}") for command in steps), steps
    removed = api.request("DELETE", "/networks/shown", None, {"X-Minirun-Explain": "script"})
    assert (removed.status, f"ip link del {bridge}" in removed.body.decode()) == (200, True), removed.body
    assert api.get("/networks/shown").status == 404
    assert api.request("GET", "/networks", None, {"X-Minirun-Explain": "poem"}).status == 400
    api.request("POST", "/networks/create", {"Name": "logged"}, {"X-Minirun-Explain": "log"})
    assert "POST /v1.51/networks/create\n" in api.log()
    assert "ip link add" in api.log()
