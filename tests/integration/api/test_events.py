"""Events as they happen, and what the service tells of itself and of the host."""

import http.client
import json
import os

import pytest

from tests.harness import eventually
from tests.harness.api_client import ApiClient, target

_INFO = {
    *(
        "ID",
        "Containers",
        "Images",
        "Driver",
        "DriverStatus",
        "Plugins",
        "MemoryLimit",
        "SwapLimit",
        "PidsLimit",
        "NFd",
    ),
    *("SystemTime", "LoggingDriver", "CgroupDriver", "CgroupVersion", "KernelVersion", "OperatingSystem", "OSVersion"),
    *("OSType", "Architecture", "IndexServerAddress", "RegistryConfig", "MemTotal", "DockerRootDir", "Name", "Swarm"),
    *("ServerVersion", "Runtimes", "DefaultRuntime", "LiveRestoreEnabled", "ContainerdCommit", "RuncCommit"),
    *("InitCommit", "SecurityOptions", "FirewallBackend", "Warnings"),
}


def test_events_stream_from_now_on_until_the_client_leaves(api: ApiClient) -> None:
    api.post("/volumes/create", {"Name": "before"})
    connection = http.client.HTTPConnection("api")
    connection.sock = api.connect()
    connection.request("GET", target("/events", filters='{"type":["volume","network"]}'))
    stream = connection.getresponse()  # its head comes before the first event
    api.post("/volumes/create", {"Name": "seen", "Labels": {"k": "v"}})
    event = json.loads(stream.readline())
    assert (event["Type"], event["Action"], event["Actor"]["ID"], event["scope"]) == (
        "volume",
        "create",
        "seen",
        "local",
    )
    assert event["timeNano"] // 10**9 == event["time"]
    assert api.busy()
    api.hang_up()
    stream.close()
    eventually(lambda: not api.busy())


def test_past_events_are_chosen_by_time_and_filters(api: ApiClient) -> None:
    began = api.host.sh("date +%s.%N").strip()
    container = api.run("true", name="short", Labels={"team": "a"})
    api.post(f"/containers/{container}/wait")
    api.post("/networks/create", {"Name": "passing"})
    api.delete("/networks/passing")
    ended = api.host.sh("date +%s.%N").strip()
    everything = api.get("/events", since=began, until=ended).objects
    assert [
        one["Action"]
        for one in everything
        if one["Type"] == "network" and one["Actor"]["Attributes"]["name"] == "passing"
    ] == [
        "create",
        "destroy",
    ]
    of_team = api.get(
        "/events", since=began, until=ended, filters='{"label":{"team=a":true},"event":["start"]}'
    ).objects
    assert [(one["Actor"]["ID"], one["Actor"]["Attributes"]["team"]) for one in of_team] == [(container, "a")]
    assert api.get("/events", since=began, until=ended, filters='{"scope":["swarm"]}').objects == []
    assert api.get("/events", until=began).objects == []
    assert api.get("/events", since="yesterday").status == 400
    assert api.get("/events", filters='{"foo":["x"]}').status == 400


def test_info_version_and_disk_usage_have_dockers_fields(api: ApiClient) -> None:
    told = api.get("/info").json
    assert told["NCPU"] == os.cpu_count()
    assert told["ID"] == api.get("/info").json["ID"]
    assert set(told) >= _INFO
    assert told["Swarm"]["LocalNodeState"] == "inactive"
    usage = api.get("/system/df").json
    busybox = next(one for one in usage["Images"] if "busybox:latest" in one["RepoTags"])
    assert (busybox["SharedSize"], busybox["Containers"] > 0) == (0, True)
    assert usage["LayersSize"] >= busybox["Size"] > 0
    assert all("SizeRw" in one for one in usage["Containers"])
    assert set(usage) == {"LayersSize", "Images", "Containers", "Volumes", "BuildCache"}
    assert api.get("/v1.41/system/df").json["BuilderSize"] == 0
    (image,) = api.get("/v1.43/system/df", type="image").json["Images"]
    assert image["VirtualSize"] == image["Size"]
    assert "VirtualSize" not in usage["Images"][0]
    assert api.get("/system/df", type="foo").status == 400
    assert api.get("/version").json["ApiVersion"] == "1.51"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/swarm", 503),
        ("POST", "/swarm/leave", 503),
        ("GET", "/nodes", 503),
        ("GET", "/services/x/logs", 503),
        ("POST", "/secrets/create", 503),
        ("DELETE", "/configs/x", 503),
        ("GET", "/tasks", 503),
        ("POST", "/swarm/init", 501),
        ("GET", "/plugins", 200),
        ("GET", "/plugins/x/json", 404),
        ("PUT", "/networks", 404),
        ("POST", "/session", 404),
        ("POST", "/grpc", 400),
    ],
)
def test_there_is_no_swarm_no_plugin_and_no_buildkit(api: ApiClient, method: str, path: str, status: int) -> None:
    assert api.request(method, path, {} if method == "POST" else None).status == status
