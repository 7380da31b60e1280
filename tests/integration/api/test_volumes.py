"""Volumes through the API."""

import json

from tests.harness.api_client import ApiClient


def test_volumes_are_made_listed_shown_and_removed(api: ApiClient) -> None:
    made = api.post("/volumes/create", {"Name": "data", "Labels": {"k": "v"}, "Driver": "local"})
    unnamed = api.post("/volumes/create", {}).json
    assert (made.status, made.json["Name"], made.json["Labels"], made.json["Scope"]) == (
        201,
        "data",
        {"k": "v"},
        "local",
    )
    assert api.host.sh(f"ls -d {made.json['Mountpoint']}").strip() == made.json["Mountpoint"]
    assert api.post("/volumes/create", {"Name": "data", "Labels": {"other": ""}}).json["Labels"] == {"k": "v"}
    assert api.get("/volumes/data").json == made.json
    listed = api.get("/volumes", filters=json.dumps({"dangling": {"true": True}})).json
    assert {"data", unnamed["Name"]} <= {one["Name"] for one in listed["Volumes"]}
    assert [one["Name"] for one in api.get("/volumes", filters='{"label":["k=v"]}').json["Volumes"]] == ["data"]
    user = api.create("true", HostConfig={"NetworkMode": "none", "Binds": ["data:/data"]})
    busy = api.delete("/volumes/data", force=1)
    assert (busy.status, user in busy.message) == (409, True)
    usage = api.get("/system/df", type="volume").json
    assert [one["UsageData"]["RefCount"] for one in usage["Volumes"] if one["Name"] == "data"] == [1]
    assert usage["Images"] is None
    assert api.delete(f"/containers/{user}").status == 204
    pruned = api.post("/volumes/prune").json
    assert unnamed["Name"] in pruned["VolumesDeleted"]
    assert "data" not in pruned["VolumesDeleted"]
    assert api.post("/v1.41/volumes/prune").json["VolumesDeleted"] == ["data"]  # named ones, too: before 1.42
    assert (api.get("/volumes/data").status, api.delete("/volumes/data").status) == (404, 404)
    assert api.delete("/volumes/data", force=1).status == 204


def test_what_cannot_be_made_is_refused(api: ApiClient) -> None:
    bodies = ({"Driver": "nfs3"}, {"Name": "/etc"}, {"Name": "vv", "DriverOpts": {"foo": "1"}}, {"Labels": 3})
    answers = [api.post("/volumes/create", body) for body in bodies]
    assert [answer.status for answer in answers] == [404, 400, 400, 400]
    assert answers[0].message.startswith('error looking up volume plugin nfs3: plugin "nfs3" not found')
    assert api.request("PUT", "/volumes/vv", {}).status == 503
    assert api.get("/volumes/vv").status == 404
