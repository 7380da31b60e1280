"""Images by the API: what a client sees of them, and of what registries send and get."""

import base64
import json
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.harness import eventually
from tests.harness.api_client import ApiClient, target
from tests.harness.false_registry import debian_registry
from tests.integration.image.image_tools import archive


def imported(api: ApiClient, name: str, *changes: str, content: str = "") -> str:
    """The id of an image that is made of one small file."""
    query = {"fromSrc": "-", "repo": name, "tag": "1", "message": "made", "changes": list(changes)}
    answer = api.request("POST", "/images/create", iter([archive(("file", content or name))]), **query)
    assert answer.status == 200, answer.body
    return str(answer.objects[-1]["status"])


def refs(api: ApiClient, **query: Any) -> list[str]:
    return [tag for one in api.get("/images/json", **query).json for tag in one["RepoTags"]]


def test_a_list_removes_what_is_left_of_a_load_that_was_killed(api: ApiClient) -> None:
    image = imported(api, "me/left")
    api.host.sh("mkdir /var/lib/minirun/layers/00ff00ff00ff00ff; echo x > /var/lib/minirun/layers/00ff00ff00ff00ff/x")
    assert refs(api, filters=json.dumps({"reference": ["me/left"]})) == ["me/left:1"]
    assert "00ff00ff00ff00ff" not in api.host.sh("ls /var/lib/minirun/layers")
    assert api.delete(f"/images/{image}").status == 200


def test_a_life(api: ApiClient) -> None:
    image = imported(api, "me/box", "ENV A=b", "LABEL of=test", 'CMD ["true"]')
    (shown,) = api.get("/images/json", filters=json.dumps({"label": {"of=test": True}}), **{"shared-size": 1}).json
    assert (shown["Id"], shown["RepoTags"], shown["SharedSize"], shown["Containers"]) == (image, ["me/box:1"], 0, -1)
    assert "VirtualSize" not in shown
    (old,) = api.get("/v1.43/images/json", filters=json.dumps({"reference": ["me/*"]})).json
    assert old["VirtualSize"] == old["Size"] == len("me/box")
    described = api.get("/images/me/box:1/json").json
    assert described["Config"]["Env"] == ["A=b"]
    assert {"Container", "ContainerConfig", "VirtualSize"}.isdisjoint(described)
    assert "Hostname" not in described["Config"]
    older = api.get("/v1.43/images/me/box:1/json").json
    assert (older["ContainerConfig"]["Cmd"], older["VirtualSize"], older["Config"]["Tty"]) == (None, 6, False)
    arm = json.dumps({"os": "linux", "architecture": "s390x"})
    for what in ("json", "history", "get"):
        assert api.get(f"/images/me/box:1/{what}", platform=arm).status == 404
    (step,) = api.get("/images/me/box:1/history").json
    assert (step["Id"], step["Tags"], step["Comment"]) == (image, ["me/box:1"], "made")
    assert api.post("/images/me/box:1/tag", repo="localhost:5000/a/b", tag="x").status == 201
    assert api.post("/images/me/box:1/tag", repo="BAD").status == 400
    assert api.post("/images/me/none/tag", repo="b").status == 404
    assert api.get("/images/localhost:5000/a/b:x/json").json["Id"] == image
    assert api.delete(f"/images/{image}").status == 409, "it has two names"
    assert api.delete("/images/localhost:5000/a/b:x").json == [{"Untagged": "localhost:5000/a/b:x"}]
    assert api.delete("/images/me/box:1").json[:2] == [{"Untagged": "me/box:1"}, {"Deleted": image}]
    missing = api.get("/images/me/box:1/json")
    assert (missing.status, missing.message) == (404, "No such image: me/box:1")
    assert api.get("/images/json", filters='{"nope": ["x"]}').status == 400


def test_prune_takes_dangling_ones_unless_all_are_meant(api: ApiClient) -> None:
    first, second = imported(api, "box"), imported(api, "other")
    api.post("/images/box:1/tag", repo="other", tag="1")
    answer = api.post("/images/prune").json
    assert answer["ImagesDeleted"][0] == {"Deleted": second}
    assert answer["SpaceReclaimed"] >= len("other")
    everything = api.post("/images/prune", filters=json.dumps({"dangling": {"false": True}, "label!": ["x"]})).json
    assert {"Deleted": first} in everything["ImagesDeleted"]


def test_archives_go_out_and_come_back(api: ApiClient) -> None:
    first, second = imported(api, "box"), imported(api, "other")
    assert api.get("/images/get", names=["box:1", "nothere"]).status == 404
    saved = api.get("/images/get", names=["box:1", "other:1"])
    assert saved.headers["content-type"] == "application/x-tar"
    assert api.get("/images/box:1/get").body != saved.body
    with tarfile.open(fileobj=BytesIO(saved.body)) as tar:
        manifest = json.load(tar.extractfile("manifest.json") or BytesIO())
    assert [one["RepoTags"] for one in manifest] == [["box:1"], ["other:1"]]
    for image in (first, second):
        api.delete(f"/images/{image}")
    halves = iter([saved.body[:5000], saved.body[5000:]])
    loaded = api.request("POST", "/images/load", halves, quiet=1)
    assert [one["stream"] for one in loaded.objects] == ["Loaded image: box:1\n", "Loaded image: other:1\n"]
    assert api.get("/images/other:1/json").json["Id"] == second
    damaged = api.request("POST", "/images/load", iter([b"no archive"]))
    assert "archive" in damaged.objects[0]["error"], damaged.body
    assert api.post("/images/create", fromSrc="http://192.0.2.1/x").status == 400
    empty = api.post("/images/create", fromSrc="-", repo="empty").objects[-1]["status"]
    assert api.get("/images/empty/json").json["Size"] == 0
    api.delete(f"/images/{empty}")


def test_the_volumes_of_an_image_need_their_driver(api: ApiClient) -> None:
    image = imported(api, "me/volumes", "VOLUME /data", 'CMD ["true"]')
    body = {"Image": image, "HostConfig": {"VolumeDriver": "nothere"}}
    refused = api.post("/containers/create", body)
    assert (refused.status, 'plugin "nothere" not found' in refused.message) == (400, True)
    api.delete(f"/images/{image}")


def test_commit_completes_the_configuration_that_it_is_given(api: ApiClient) -> None:
    container = api.create("sh", "-c", "echo x > /made", Env=["A=b", "C=d"], Labels={"l": "1"})
    api.post(f"/containers/{container}/start")
    assert api.post(f"/containers/{container}/wait").json["StatusCode"] == 0
    body = {"Env": ["A=new"], "Entrypoint": ["cat"], "Labels": {"m": "2"}}
    query = {"container": container, "repo": "made", "comment": "why", "author": "me", "changes": "WORKDIR /w"}
    answer = api.post("/commit", body, **query)
    assert answer.status == 201, answer.body
    described = api.get(f"/images/{answer.json['Id']}/json").json
    config = described["Config"]
    assert (config["Entrypoint"], config["Cmd"], config["WorkingDir"]) == (["cat"], None, "/w")
    assert {"A=new", "C=d"} <= set(config["Env"])
    assert (config["Labels"], described["RepoTags"]) == ({"l": "1", "m": "2"}, ["made:latest"])
    assert (described["Comment"], described["Author"]) == ("why", "me")
    plain = api.request("POST", "/commit", b"null", container=container)
    assert api.get(f"/images/{plain.json['Id']}/json").json["Config"]["Cmd"] == ["sh", "-c", "echo x > /made"]
    assert api.post("/commit", container="nothere").status == 404
    api.delete(f"/containers/{container}")
    for image in (answer, plain):
        api.delete(f"/images/{image.json['Id']}", force=1)


def test_registries(api: ApiClient, tmp_path: Path) -> None:
    image = imported(api, "box", content="pushed")
    with debian_registry(tmp_path, api.host.popen, password=True) as registry:
        auth = {"username": "me", "password": "sesame", "serveraddress": registry}
        header = {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()}
        name = f"{registry}/a/box"
        api.post("/images/box:1/tag", repo=name, tag="1")
        assert api.post("/auth", auth).json == {"Status": "Login Succeeded", "IdentityToken": ""}
        assert api.post("/auth", auth | {"password": "wrong"}).status == 401
        refused = api.post(f"/images/{name}/push", tag="1").objects
        assert "unauthorized" in refused[-1]["error"], refused
        pushed = api.request("POST", f"/images/{name}/push", None, header, tag="1").objects
        assert pushed[0]["status"] == f"The push refers to repository [{name}]"
        assert {"Preparing", "Pushed"} <= {one.get("status") for one in pushed}
        digest = pushed[-1]["aux"]["Digest"]
        known = api.request("GET", f"/distribution/{name}:1/json", None, header).json
        assert (known["Descriptor"]["digest"], known["Platforms"][0]["os"]) == (digest, "linux")
        api.delete(f"/images/{image}", force=1)
        assert api.post("/images/create", fromImage=name, tag="1").status == 404
        pulled = api.request("POST", "/images/create", None, header, fromImage=name, tag="1").objects
        assert pulled[0] == {"status": "Pulling from a/box", "id": "1"}
        assert {"Pulling fs layer", "Download complete", "Pull complete"} <= {one["status"] for one in pulled}
        assert [one["status"] for one in pulled[-2:]] == [
            f"Digest: {digest}",
            f"Status: Downloaded newer image for {name}:1",
        ]
        assert api.get(f"/images/{name}@{digest}/json").json["Id"] == image
        found = api.request("GET", "/images/search", None, header, term=f"{registry}/bo").json
        assert [one["name"] for one in found] == ["a/box"]
        api.delete(f"/images/{image}", force=1)


def test_a_pull_whose_client_is_gone_ends(api: ApiClient) -> None:
    """Even while a registry says nothing."""
    silent = "import socket, time; s = socket.create_server(('127.0.0.1', 5001)); time.sleep(1000)"
    registry = api.host.popen([sys.executable, "-c", silent])
    eventually(lambda: ":1389" in api.host.sh("cat /proc/net/tcp"))
    working = "pgrep -f '^minirun-api POST /v1.51/images/create' || true"
    sock = api.connect()
    sock.sendall(f"POST {target('/images/create', fromImage='127.0.0.1:5001/x', tag=1)} HTTP/1.1\r\n\r\n".encode())
    eventually(lambda: api.host.sh(working))
    eventually(lambda: api.host.sh("grep -c ':1389.* 01 ' /proc/net/tcp || true").strip() != "0")
    sock.close()
    eventually(lambda: not api.host.sh(working), 5)
    registry.kill()
    registry.wait()
