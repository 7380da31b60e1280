"""Networks through the API: their shapes, and what the host and the containers have of them."""

import json
from typing import Any

import pytest

from tests.harness.api_client import SOCKET, Answer, ApiClient
from tests.harness.debian_packages import DOCKER, overlay_packages


def _create(api: ApiClient, name: str, **fields: Any) -> str:
    answer = api.post("/networks/create", {"Name": name, **fields})
    assert answer.status == 201, answer.body
    assert answer.json["Warning"] == ""
    return str(answer.json["Id"])


def _names(api: ApiClient, **filters: Any) -> list[str]:
    return sorted(one["Name"] for one in api.get("/networks", filters=json.dumps(filters)).json)


def test_a_network_has_what_was_asked_for_and_goes_again(api: ApiClient) -> None:
    pools = [
        {
            "Subnet": "10.71.0.0/24",
            "IPRange": "10.71.0.128/25",
            "Gateway": "10.71.0.9",
            "AuxiliaryAddresses": {"a": "10.71.0.5"},
        },
        {"Subnet": "fd71::/64"},
    ]
    fields = {
        "Driver": "bridge",
        "CheckDuplicate": True,
        "Internal": True,
        "Attachable": True,
        "EnableIPv6": True,
        "IPAM": {"Driver": "default", "Config": pools},
        "Options": {"com.docker.network.bridge.name": "br-full"},
        "Labels": {"k": "v"},
        "Unknown": 1,
    }
    identity = _create(api, "full", **fields)
    shown = api.get("/networks/full", verbose=True, scope="local").json
    assert "inet 10.71.0.9/24" in api.host.sh("ip address show br-full")
    assert (shown["Id"], shown["IPAM"]["Config"][0], shown["Labels"]) == (identity, pools[0], {"k": "v"})
    assert (shown["IPAM"]["Config"][1]["Subnet"], shown["EnableIPv4"], shown["EnableIPv6"]) == ("fd71::/64", True, True)
    assert (shown["Internal"], shown["Attachable"], shown["ConfigOnly"], shown["Scope"]) == (True, True, False, "local")
    assert api.delete(f"/networks/{identity[:12]}").status == 204
    assert "br-full" not in api.host.sh("ip -o link")
    assert api.get("/networks/full").status == 404


def test_filters_in_both_shapes(api: ApiClient) -> None:
    _create(api, "one", Labels={"side": "left"})
    _create(api, "two", Labels={"side": "right"}, Options={"com.docker.network.bridge.enable_icc": "false"})
    builtin = ["bridge", "host", "none"]
    assert {"one", "two", *builtin} <= set(_names(api))
    assert _names(api, label=["side=left"]) == ["one"]
    assert _names(api, label={"side": True}) == ["one", "two"]
    assert _names(api, type={"builtin": True}) == builtin
    assert _names(api, name=["tw"], driver=["bridge"], scope=["local"], dangling=["true"]) == ["two"]
    assert _names(api, scope=["swarm"]) == []
    assert api.get("/networks", filters='{"foo":["x"]}').message == "invalid filter 'foo'"
    assert api.get("/networks", filters="{").status == 400
    removed = api.post("/networks/prune", filters=json.dumps({"label": ["side=left"]})).json["NetworksDeleted"]
    assert (removed, _names(api, label=["side"])) == (["one"], ["two"])
    assert api.delete("/networks/two").status == 204


def test_a_running_container_joins_with_its_settings_and_leaves(api: ApiClient) -> None:
    _create(api, "club", IPAM={"Config": [{"Subnet": "10.72.0.0/24"}]})
    web = api.run("sleep", "100", name="web", HostConfig={"NetworkMode": "bridge"})
    settings = {
        "IPAMConfig": {"IPv4Address": "10.72.0.77"},
        "Aliases": ["shop"],
        "MacAddress": "02:42:00:00:00:77",
        "GwPriority": 5,
        "DriverOpts": {"com.docker.network.endpoint.ifname": "club0"},
    }
    assert api.post("/networks/club/connect", {"Container": "web", "EndpointConfig": settings}).status == 200
    shown = api.get("/containers/web/json").json["NetworkSettings"]["Networks"]["club"]
    addresses = api.host.minirun("exec", "web", "ip", "address", "show", "club0").stdout
    assert "10.72.0.77/24" in addresses
    assert "02:42:00:00:00:77" in addresses
    assert "default via 10.72.0.1" in api.host.minirun("exec", "web", "ip", "route").stdout
    assert (shown["Aliases"], shown["GwPriority"], shown["DriverOpts"]) == (["shop"], 5, settings["DriverOpts"])
    assert api.get("/networks/club").json["Containers"][web]["IPv4Address"] == "10.72.0.77/24"
    assert all(one["Containers"] == {} for one in api.get("/networks").json)
    again = api.post("/networks/club/connect", {"Container": "web"})
    assert (again.status, again.message) == (403, "endpoint with name web already exists in network club")
    busy = api.delete("/networks/club")
    assert busy.status == 403
    assert "has active endpoints" in busy.message
    assert api.post("/networks/club/disconnect", {"Container": web, "Force": True}).status == 200
    assert "club0" not in api.host.minirun("exec", "web", "ip", "link").stdout
    assert api.post("/networks/club/disconnect", {"Container": "web"}).status == 403
    assert api.post("/networks/club/disconnect", {"Container": "gone"}).status == 404
    assert api.delete("/networks/club").status == 204
    assert api.delete("/containers/web", force=1).status == 204


def test_a_stopped_container_joins_again_with_other_settings_and_a_link_to_one_that_comes_later(
    api: ApiClient,
) -> None:
    _create(api, "club", IPAM={"Config": [{"Subnet": "10.72.0.0/24"}]})
    api.create("sleep", "100", name="web", HostConfig={"NetworkMode": "club"})
    settings = {"IPAMConfig": {"IPv4Address": "10.72.0.78"}, "Links": ["later:friend"]}
    assert api.post("/networks/club/connect", {"Container": "web", "EndpointConfig": settings}).status == 200
    assert api.post("/containers/web/start").status == 204
    shown = api.get("/containers/web/json").json["NetworkSettings"]["Networks"]
    assert list(shown) == ["club"]
    assert (shown["club"]["IPAddress"], shown["club"]["Links"]) == ("10.72.0.78", ["later:friend"])
    assert api.host.minirun("exec", "web", "ping", "-c1", "-W1", "friend", check=False).returncode != 0
    api.run("sleep", "100", name="later", HostConfig={"NetworkMode": "club"})
    api.host.minirun("exec", "web", "ping", "-c1", "-W2", "friend")
    assert api.post("/networks/club/connect", {"Container": "web"}).status == 403, "it runs"
    for name in ("web", "later"):
        assert api.delete(f"/containers/{name}", force=1).status == 204
    assert api.delete("/networks/club").status == 204


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"Name": "taken"}, 409, "network with name taken already exists"),
        ({"Name": "host"}, 403, "operation is not permitted on predefined host network"),
        ({"Name": "", "Driver": "bridge"}, 400, "Invalid network name"),
        ({"Name": "x1", "Driver": "nope"}, 404, "could not find plugin nope"),
        ({"Name": "x1", "IPAM": {"Driver": "nope"}}, 404, "IPAM driver nope"),
        ({"Name": "x1", "IPAM": {"Config": [{"Subnet": "10.0.0.0/99"}]}}, 400, "10.0.0.0/99"),
        ({"Name": "x1", "Scope": "swarm"}, 400, "there is no swarm"),
        ({"Name": "x1", "EnableIPv4": False}, 400, "EnableIPv4"),
        ({"Name": "x1", "ConfigFrom": {"Network": "taken"}}, 400, "is not a configuration network"),
        ({"Name": 7}, 400, "invalid JSON"),
        ([], 400, "invalid JSON"),
    ],
)
def test_what_cannot_be_made_is_refused_and_leaves_nothing(
    api: ApiClient, body: Any, status: int, message: str
) -> None:
    api.post("/networks/create", {"Name": "taken"})
    before = api.host.sh("ip -o link | cut -d: -f2; nft list ruleset")
    answer: Answer = api.post("/networks/create", body)
    assert (answer.status, message in answer.message) == (status, True), answer.body
    assert api.host.sh("ip -o link | cut -d: -f2; nft list ruleset") == before


def test_configuration_networks_and_predefined_ones(api: ApiClient) -> None:
    _create(api, "plan", ConfigOnly=True, IPAM={"Config": [{"Subnet": "10.73.0.0/24"}]})
    _create(api, "built", ConfigFrom={"Network": "plan"})
    shown = api.get("/networks/built").json
    assert (shown["ConfigFrom"], shown["IPAM"]["Config"][0]["Subnet"]) == ({"Network": "plan"}, "10.73.0.0/24")
    assert api.get("/networks/plan").json["ConfigOnly"] is True
    for name in ("bridge", "host", "none"):
        assert api.delete(f"/networks/{name}").message == f"{name} is a pre-defined network and cannot be removed"
        assert api.get(f"/networks/{name}", scope="swarm").status == 404
    assert [api.delete(f"/networks/{name}").status for name in ("built", "plan")] == [204, 204]


def test_dockers_own_command_line(api: ApiClient) -> None:
    overlay_packages(api.host, DOCKER)

    def docker(*words: str) -> str:
        return str(api.host.run(["docker", "-H", f"unix://{SOCKET}", *words]).stdout)

    made = docker("network", "create", "--subnet", "10.74.0.0/24", "--label", "a=b", "cli").strip()
    api.run("sleep", "100", name="guest", HostConfig={"NetworkMode": "bridge"})
    docker("network", "connect", "--ip", "10.74.0.9", "--alias", "x", "cli", "guest")
    assert "10.74.0.9/24" in docker("network", "inspect", "cli")
    assert made[:12] in docker("network", "ls", "--filter", "label=a=b")
    docker("network", "disconnect", "cli", "guest")
    docker("rm", "-f", "guest")
    assert "cli" in docker("network", "prune", "-f", "--filter", "label=a")
    docker("volume", "create", "--label", "a=b", "shelf")
    assert '"a": "b"' in docker("volume", "inspect", "shelf")
    assert docker("volume", "ls", "-q", "--filter", "label=a").split() == ["shelf"]
    assert docker("volume", "rm", "shelf") == "shelf\n"
    assert "create (driver=local)" not in docker("events", "--since", "1h", "--until", "0s", "--filter", "type=network")
    assert "network create" in docker("events", "--since", "1h", "--until", "0s", "--filter", "type=network")
    assert "Server Version" in docker("info")
    assert "Build Cache" in docker("system", "df")
    assert "Local Volumes space usage" in docker("system", "df", "-v")
