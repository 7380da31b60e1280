"""examples/compose by docker compose, which talks to minirun as to a Docker engine."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.harness.api_client import SOCKET, ApiClient
from tests.harness.host import REPO
from tests.harness.snapshot import Snapshot, assert_same

PROJECT = REPO / "examples" / "compose"


def test_a_project_comes_up_answers_and_goes_down(api: ApiClient) -> None:
    found = find_spec("compose")
    if found is None or found.origin is None:
        pytest.skip("docker-compose has no wheel for this machine")
    program = Path(found.origin).with_name("docker-compose")

    def compose(*words: str) -> str:
        argv = ["env", f"DOCKER_HOST=unix://{SOCKET}", "HOME=/run", str(program), "--project-directory", str(PROJECT)]
        return str(api.host.run([*argv, *words], timeout=60).stdout)

    before = Snapshot.of(api.host)
    compose("up", "--detach", "--wait")
    assert api.host.sh("busybox wget -qO- http://127.0.0.1:8080/") == "the word of the database\n"
    assert compose("ps", "--format", "{{.Service}} {{.Health}}").splitlines() == ["database healthy", "web healthy"]
    assert compose("exec", "web", "nslookup", "db").count("Address") == 2
    assert [each["Name"] for each in api.get("/volumes").json["Volumes"]] == ["compose_pages"]
    compose("up", "--detach", "--wait")
    assert compose("restart", "web") == ""
    compose("down", "--volumes", "--timeout", "1")
    assert_same(api.host, before)
