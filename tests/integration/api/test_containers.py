"""Containers by the API: what a client sees, byte by byte where that matters."""

import json
import os
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto import events as websocket

from tests.harness import eventually
from tests.harness.api_client import ApiClient, demultiplexed
from tests.harness.snapshot import Snapshot, assert_same


@pytest.fixture(autouse=True)
def nothing_is_left(api: ApiClient) -> Any:
    before = Snapshot.of(api.host)
    yield
    api.hang_up()
    for one in api.get("/containers/json", all=1).json:
        api.delete(f"/containers/{one['Id']}", force=1)
    assert_same(api.host, before)


def test_a_life(api: ApiClient) -> None:
    ports = {"NetworkMode": "bridge", "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}}
    body = {
        "Image": "busybox",
        "Cmd": ["sh", "-c", "echo $A; trap 'exit 3' TERM; while :; do sleep 0.05; done"],
        "Env": ["A=b"],
        "Labels": {"of": "test"},
        "HostConfig": ports | {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}},
        "NoSuchField": 1,
    }
    created = api.post("/containers/create", body, name="web")
    assert (created.status, list(created.json)) == (201, ["Id", "Warnings"])
    name = created.json["Id"]
    assert api.post("/containers/create", body, name="web").status == 409
    assert (api.post("/containers/web/start").status, api.post("/containers/web/start").status) == (204, 304)
    (shown,) = api.get("/containers/json", filters=json.dumps({"label": {"of=test": True}})).json
    assert shown["Names"] == ["/web"]
    assert shown["Ports"] == [{"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}]
    assert shown["State"] == "running"
    described = api.get("/containers/web/json").json
    assert described["Id"] == name
    assert described["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    assert described["Config"]["Env"][-1] == "A=b"
    assert api.post("/containers/web/pause").status == 204
    assert api.post("/containers/web/pause").status == 409
    assert api.post("/containers/web/unpause").status == 204
    assert api.post("/containers/web/rename", name="shop").status == 204
    titles = api.get("/containers/shop/top").json
    assert titles["Titles"][0] == "UID"
    assert any("sleep" in row[-1] or "sh" in row[-1] for row in titles["Processes"])
    assert (api.post("/containers/shop/stop", t=5).status, api.post("/containers/shop/stop").status) == (204, 304)
    assert api.post("/containers/shop/wait").json == {"StatusCode": 3}
    assert api.post("/containers/shop/kill").status == 409
    assert demultiplexed(api.get("/containers/shop/logs", stdout=1).body) == (b"b\n", b"")
    assert api.delete("/containers/shop").status == 204
    missing = api.get("/containers/shop/json")
    assert (missing.status, missing.message) == (404, "No such container: shop")


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({}, 400, "no image was specified"),
        ({"Image": "nothere"}, 404, "No such image: nothere:latest"),
        ({"Image": 1}, 400, "Expected `str"),
        ({"Image": "busybox", "Cmd": "true", "HostConfig": {"Memory": "1g"}}, 400, "$.HostConfig.Memory"),
        ({"Image": "busybox", "HostConfig": {"Binds": ["./x:/y"]}}, 400, "a relative path"),
        ({"Image": "busybox", "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "x"}]}}}, 400, "x"),
        ({"Image": "busybox", "HostConfig": {"DeviceRequests": [{}]}}, 400, "--gpus is not supported"),
        ({"Image": "busybox", "HostConfig": {"Runtime": "runsc"}}, 400, "invalid runtime name: runsc"),
        ({"Image": "busybox", "HostConfig": {"CapAdd": ["NOPE"]}}, 400, "CAP_NOPE"),
        ({"Image": "busybox", "HostConfig": {"NetworkMode": "x=\ny"}}, 400, 'for "--network" flag: new-line character'),
        ({"Image": "busybox", "Healthcheck": {"Test": ["NOPE"]}}, 400, "Unknown healthcheck type"),
        ({"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "nothere"}}, 400, "nothere"),
        *(
            ({"Image": "busybox", "Cmd": ["true"]} | fields, 400, says)
            for fields, says in [
                ({"HostConfig": {"VolumesFrom": ["nothere"]}}, "No such container: nothere"),
                ({"HostConfig": {"PidMode": "container:nothere"}}, "No such container: nothere"),
                ({"HostConfig": {"NetworkMode": "container:nothere"}}, "No such container: nothere"),
                ({"HostConfig": {"Links": ["nothere"]}}, "No such container: nothere"),
                (
                    {"HostConfig": {"NetworkMode": "host", "Links": ["x"]}},
                    "host type networking can't be used with links",
                ),
                (
                    {"HostConfig": {"NetworkMode": "container:x", "Links": ["x"]}},
                    "container type network can't be used",
                ),
                (
                    {
                        "HostConfig": {"NetworkMode": "container:x", "PortBindings": {"80/tcp": None}},
                        "ExposedPorts": {"80/tcp": {}},
                    },
                    "port publishing and the container type network mode",
                ),
                (
                    {"HostConfig": {"NetworkMode": "container:x"}, "MacAddress": "02:42:ac:11:00:09"},
                    "mac-address and the network mode",
                ),
                ({"HostConfig": {"NetworkMode": "container:x"}, "Hostname": "name"}, "hostname and the network mode"),
                *(
                    (
                        {
                            "HostConfig": {"NetworkMode": mode},
                            "NetworkingConfig": {
                                "EndpointsConfig": {mode: {"IPAMConfig": {"IPv4Address": "172.17.0.9"}}}
                            },
                        },
                        f"invalid config for network {'bridge' if mode == 'default' else mode}",
                    )
                    for mode in ("host", "none", "default", "container:x")
                ),
                (
                    {
                        "HostConfig": {"NetworkMode": "host"},
                        "NetworkingConfig": {"EndpointsConfig": {"host": {}, "other": {}}},
                    },
                    "cannot attach to host and to other networks",
                ),
            ]
        ),
    ],
)
def test_what_is_refused(api: ApiClient, body: dict[str, Any], status: int, says: str) -> None:
    answer = api.post("/containers/create", body)
    assert (answer.status, says in answer.message) == (status, True), answer.body


@pytest.mark.parametrize(
    ("words", "host"),
    [
        (["true"], {"PortBindings": {"80/tcp": [{"HostPort": "8078"}], "81/tcp": [{"HostPort": "8078"}]}}),
        (["/not/there"], {"NetworkMode": "none"}),
    ],
    ids=["port", "program"],
)
def test_with_auto_remove_a_container_that_cannot_start_is_removed(
    api: ApiClient, words: list[str], host: dict[str, Any]
) -> None:
    """A client that ran it with --rm waits for that."""
    container = api.create(*words, HostConfig={**host, "AutoRemove": True}, Volumes={"/v": {}})
    wait = api.take_over("POST", f"/containers/{container}/wait", upgrade="", condition="removed")
    assert api.post(f"/containers/{container}/start").status >= 400
    wait.rest_of_answer()
    assert api.get(f"/containers/{container}/json").status == 404
    assert api.get("/volumes").json["Volumes"] == []
    kept = api.create(*words, HostConfig=host)
    assert api.post(f"/containers/{kept}/start").status >= 400
    assert api.delete(f"/containers/{kept}").status == 204


@pytest.mark.parametrize("removes", [False, True])
def test_the_exit_code_of_a_container_whose_shim_is_killed(api: ApiClient, removes: bool) -> None:
    container = api.create("sleep", "1000", HostConfig={"NetworkMode": "none", "AutoRemove": removes})
    condition = "removed" if removes else "next-exit"
    wait = api.take_over("POST", f"/containers/{container}/wait", upgrade="", condition=condition)
    assert api.post(f"/containers/{container}/start").status == 204
    shim = json.loads(api.host.minirun("inspect", container).stdout)[0]["State"]["MonitorPid"]
    api.host.sh(f"kill -9 {shim}")
    assert b'{"StatusCode":137}' in wait.rest_of_answer()
    assert api.delete(f"/containers/{container}").status == (404 if removes else 204)


def test_a_mount_of_each_kind_and_all_that_is_a_text(api: ApiClient) -> None:
    mounts = [
        {"Type": "bind", "Source": "/etc", "Target": "/e", "ReadOnly": True},
        {"Type": "volume", "Source": "data,x", "Target": "/d"},
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o700}},
    ]
    refused = api.post("/containers/create", {"Image": "busybox", "HostConfig": {"Mounts": mounts}})
    assert (refused.status, "data,x" in refused.message) == (400, True), "the comma is the name's"
    mounts[1]["Source"] = "data"
    missing = {"Type": "bind", "Source": "/run/made", "Target": "/m"}
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "Mounts": [missing]}}
    assert api.post(f"/containers/{api.post('/containers/create', body).json.get('Id')}/start").status != 204
    missing["BindOptions"] = {"CreateMountpoint": True}  # type: ignore[assignment]
    api.run("true", HostConfig=body["HostConfig"])
    assert api.host.sh("rmdir /run/made && echo made") == "made\n"
    host = {
        "NetworkMode": "none",
        "Mounts": mounts,
        "Tmpfs": {"/u": "size=64k"},
        "Ulimits": [{"Name": "nofile", "Soft": 99, "Hard": 100}],
        "ExtraHosts": ["other:192.0.2.1"],
        "Sysctls": {"kernel.msgmax": "1234"},
        "SecurityOpt": ["no-new-privileges", 'seccomp={"defaultAction": "SCMP_ACT_ALLOW"}'],
    }
    script = "ulimit -n; grep -c other /etc/hosts; cat /proc/sys/kernel/msgmax"
    script += "; grep -E 'NoNewPrivs|Seccomp:' /proc/self/status; mount | grep -cE ' /(e|d|t|u) '"
    container = api.create("sh", "-c", script, HostConfig=host)
    stream = api.take_over("POST", f"/containers/{container}/attach", stream=1, stdout=1, stderr=1)
    assert api.post(f"/containers/{container}/start").status == 204
    assert stream.outputs() == (b"99\n1\n1234\nNoNewPrivs:\t1\nSeccomp:\t2\n4\n", b"")
    api.delete(f"/containers/{container}", v=1)
    api.host.minirun("volume", "rm", "data")


def test_inspect_says_mounts_and_security_options_as_they_were_given(api: ApiClient) -> None:
    """Clients compare them with what they would ask for, to see whether a container has to be made anew."""
    host = {
        "NetworkMode": "none",
        "Binds": ["/etc:/rw:rw", "/etc:/plain", "/etc:/ro:ro,rprivate", "kept:/named", "kept:/mode:nocopy"],
        "Mounts": [
            {"Type": "bind", "Source": "/etc", "Target": "/bound", "ReadOnly": True},
            {"Type": "volume", "Source": "", "Target": "/unnamed"},
        ],
        "SecurityOpt": ["no-new-privileges:true", "apparmor=unconfined", "seccomp=unconfined"],
    }
    found = api.get(f"/containers/{api.create('true', name='source', HostConfig=host, Volumes={'/v': {}})}/json").json
    assert {one["Destination"]: one["Mode"] for one in found["Mounts"]} == {
        "/rw": "rw",
        "/plain": "",
        "/ro": "ro,rprivate",
        "/named": "z",
        "/mode": "nocopy",
        "/bound": "",
        "/unnamed": "z",
        "/v": "",
    }
    assert found["HostConfig"]["Binds"] == host["Binds"]
    assert found["HostConfig"]["SecurityOpt"] == host["SecurityOpt"]
    sharing = {"NetworkMode": "none", "VolumesFrom": ["source:ro"], "Privileged": True}
    found = api.get(f"/containers/{api.create('true', name='sharing', HostConfig=sharing)}/json").json
    assert {(one["Mode"], one["RW"]) for one in found["Mounts"]} == {("", False)}
    assert len(found["Mounts"]) == 8
    asked = found["HostConfig"]
    assert (asked["Binds"], asked["Mounts"], asked["VolumesFrom"]) == (None, [], ["source:ro"])
    assert asked["SecurityOpt"] == ["label=disable"]
    profile = {
        "NetworkMode": "none",
        "SecurityOpt": ["no-new-privileges=false", 'seccomp={"defaultAction": "SCMP_ACT_ALLOW"}'],
    }
    found = api.get(f"/containers/{api.create('true', name='profile', HostConfig=profile)}/json").json
    assert found["HostConfig"]["SecurityOpt"] == profile["SecurityOpt"]
    for name in ("sharing", "source", "profile"):
        assert api.delete(f"/containers/{name}", v=1).status == 204
    assert api.delete("/volumes/kept").status == 204


@pytest.mark.parametrize("upgrade", ["tcp", ""])
def test_attached_before_the_start_it_misses_nothing(api: ApiClient, upgrade: str) -> None:
    """And the end of the client's input is the program's."""
    container = api.create(
        "sh", "-c", "echo first; echo bad >&2; cat; exit 4", OpenStdin=True, StdinOnce=True, AttachStdin=True
    )
    stream = api.take_over(
        "POST", f"/containers/{container}/attach", upgrade=upgrade, stream=1, stdin=1, stdout=1, stderr=1
    )
    assert stream.status == (101 if upgrade else 200)
    assert "multiplexed-stream" in stream.head
    wait = api.take_over("POST", f"/containers/{container}/wait", upgrade="", condition="next-exit")
    assert wait.status == 200, "the head comes before the end"
    assert api.post(f"/containers/{container}/start").status == 204
    stream.socket.sendall(b"typed\n")
    stream.socket.shutdown(1)
    assert stream.outputs() == (b"first\ntyped\n", b"bad\n")
    assert b'{"StatusCode":4}' in wait.socket.recv(1000)


def test_a_client_that_waits_for_a_start_is_told_that_none_comes(api: ApiClient) -> None:
    container = api.create("true")
    stream = api.take_over("POST", f"/containers/{container}/attach", stream=1, stdout=1)
    gone = api.take_over("POST", f"/containers/{container}/attach", stream=1, stdout=1)
    gone.socket.close()
    assert api.delete(f"/containers/{container}").status == 204
    assert stream.rest() == b""


def test_a_terminal_is_raw_and_has_a_size(api: ApiClient) -> None:
    container = api.create("sh", "-c", "read x; stty size; echo $x", Tty=True, OpenStdin=True, AttachStdin=True)
    stream = api.take_over("POST", f"/containers/{container}/attach", stream=1, stdin=1, stdout=1)
    assert "raw-stream" in stream.head
    assert api.post(f"/containers/{container}/resize", h=33, w=77).status == 409, "it does not run yet"
    api.post(f"/containers/{container}/start")
    assert api.post(f"/containers/{container}/resize", h=33, w=77).status == 200
    stream.socket.sendall(b"typed\n")
    assert stream.rest() == b"typed\r\n33 77\r\ntyped\r\n"


def test_detach_keys_leave_it_running(api: ApiClient) -> None:
    container = api.run("cat", Tty=True, OpenStdin=True)
    stream = api.take_over(
        "POST", f"/containers/{container}/attach", stream=1, stdin=1, stdout=1, detachKeys="ctrl-a,b"
    )
    stream.socket.sendall(b"\x01b")
    assert stream.rest() == b""
    assert api.get(f"/containers/{container}/json").json["State"]["Running"]


def test_exec(api: ApiClient) -> None:
    container = api.run("sleep", "100")
    asked = {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Env": ["A=b"], "WorkingDir": "/tmp"}
    words = ["sh", "-c", "pwd; echo $A >&2; cat; exit 5"]
    name = api.post(f"/containers/{container}/exec", asked | {"Cmd": words}).json["Id"]
    assert api.get(f"/exec/{name}/json").json["ExitCode"] is None
    stream = api.take_over("POST", f"/exec/{name}/start", {"Detach": False})
    eventually(lambda: api.get(f"/exec/{name}/json").json["Running"])
    assert api.get(f"/containers/{container}/json").json["ExecIDs"] == [name]
    stream.socket.sendall(b"typed\n")
    stream.socket.shutdown(1)
    assert stream.outputs() == (b"/tmp\ntyped\n", b"b\n")
    assert api.get(f"/exec/{name}/json").json["ExitCode"] == 5
    assert api.post(f"/exec/{name}/start", {}).status == 409
    nope = api.post(f"/containers/{container}/exec", {"AttachStdout": True, "Cmd": ["nope"]}).json["Id"]
    assert b"executable file not found" in api.take_over("POST", f"/exec/{nope}/start", {}).rest()
    assert api.get(f"/exec/{nope}/json").json["ExitCode"] == 127
    away = api.post(f"/containers/{container}/exec", {"Cmd": ["sh", "-c", "exit 9"]}).json["Id"]
    assert api.post(f"/exec/{away}/start", {"Detach": True}).status == 200
    eventually(lambda: api.get(f"/exec/{away}/json").json["ExitCode"] == 9)
    assert api.get("/exec/0123/json").status == 404


def test_nothing_of_an_exec_stays_open_in_its_worker(api: ApiClient) -> None:
    """A worker serves one connection after another."""
    container = api.run("sleep", "100")

    def run_one() -> int:
        asked = {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Cmd": ["true"]}
        name = api.post(f"/containers/{container}/exec", asked).json["Id"]
        stream = api.take_over("POST", f"/exec/{name}/start", {})
        stream.socket.shutdown(1)
        assert stream.outputs() == (b"", b"")
        api.hang_up()
        return max(open_files(pid) for pid in api.workers())

    def open_files(pid: str) -> int:
        with suppress(FileNotFoundError):  # it has ended since
            return len(os.listdir(f"/proc/{api.host.pid}/root/proc/{pid}/fd"))
        return 0

    first = run_one()
    assert max(run_one() for _ in range(40)) <= first + 5
    # The end of the last one may still be under way.
    eventually(lambda: not api.host.sh(f"ls /var/lib/minirun/containers/{container} | grep '^exec[.]' || true"))


def test_attached_by_websocket(api: ApiClient) -> None:
    container = api.create("cat", OpenStdin=True, StdinOnce=True, AttachStdin=True)
    client = WSConnection(ConnectionType.CLIENT)
    path = f"/v1.51/containers/{container}/attach/ws?stream=1&stdin=1&stdout=1"
    sock = api.connect()
    sock.sendall(client.send(websocket.Request(host="api", target=path)))
    client.receive_data(sock.recv(65536))
    assert isinstance(next(client.events()), websocket.AcceptConnection)
    api.post(f"/containers/{container}/start")
    sock.sendall(client.send(websocket.TextMessage("typed")))
    client.receive_data(sock.recv(65536))
    assert [event.data for event in client.events()] == [b"typed"]
    api.post(f"/containers/{container}/kill")
    client.receive_data(sock.recv(65536))
    assert isinstance(next(client.events()), websocket.CloseConnection)


def test_a_worker_that_is_killed_while_it_waits_holds_up_no_start(api: ApiClient) -> None:
    container = api.create("sleep", "100")
    stream = api.take_over("POST", f"/containers/{container}/attach", stream=1, stdout=1)
    directory = f"/var/lib/minirun/containers/{container}"
    assert api.host.sh(f"ls {directory} | grep waiting"), "it waits before it answers"
    for pid in api.busy():
        api.host.sh(f"kill -9 {pid}")
    assert stream.rest() == b""
    assert api.post(f"/containers/{container}/start").status == 204
    assert not api.host.sh(f"ls {directory} | grep waiting || true")


def test_the_size_of_an_execs_terminal(api: ApiClient) -> None:
    container = api.run("sleep", "100")
    asked = {"AttachStdin": True, "AttachStdout": True, "Tty": True, "Cmd": ["sh", "-c", "read x; stty size"]}
    name = api.post(f"/containers/{container}/exec", asked).json["Id"]
    stream = api.take_over("POST", f"/exec/{name}/start", {"Tty": True, "ConsoleSize": [20, 30]})
    eventually(lambda: api.get(f"/exec/{name}/json").json["Running"])
    assert api.post(f"/exec/{name}/resize", h=44, w=55).status == 200
    stream.socket.sendall(b"\n")
    assert stream.rest().endswith(b"44 55\r\n")


def test_files_go_both_ways(api: ApiClient) -> None:
    container = api.run("sleep", "100")
    made = BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        entry = tarfile.TarInfo("file")
        entry.size, entry.mode = 5, 0o640
        archive.addfile(entry, BytesIO(b"12345"))
    pieces = iter([made.getvalue()[:700], made.getvalue()[700:]])
    assert api.request("PUT", f"/containers/{container}/archive", pieces, path="/tmp").status == 200
    found = api.get(f"/containers/{container}/archive", path="/tmp/file")
    with tarfile.open(fileobj=BytesIO(found.body)) as archive:
        assert [(one.name, one.size, oct(one.mode)) for one in archive] == [("file", 5, "0o640")]
    head = api.request("HEAD", f"/containers/{container}/archive", path="/tmp/file")
    assert head.headers["x-docker-container-path-stat"] == found.headers["x-docker-container-path-stat"]
    assert api.get(f"/containers/{container}/archive", path="/nothere").status == 404
    assert api.request("PUT", f"/containers/{container}/archive", made.getvalue(), path="/tmp/file").status == 400
    assert {"Path": "/tmp/file", "Kind": 1} in api.get(f"/containers/{container}/changes").json
    with tarfile.open(fileobj=BytesIO(api.get(f"/containers/{container}/export").body)) as archive:
        assert "tmp/file" in archive.getnames()


def test_logs_are_followed(api: ApiClient) -> None:
    container = api.run("sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.3; done")
    began = time.time()
    assert demultiplexed(api.get(f"/containers/{container}/logs", stdout=1, follow=1).body)[0] == b"1\n2\n3\n"
    assert demultiplexed(api.get(f"/containers/{container}/logs", stdout=1, tail=1).body)[0] == b"3\n"
    stamped = demultiplexed(api.get(f"/containers/{container}/logs", stdout=1, timestamps=1, since=int(began) - 9).body)
    assert stamped[0].count(b"Z ") == 3
    assert api.get(f"/containers/{container}/logs").status == 400


def test_stats(api: ApiClient) -> None:
    container = api.run("sh", "-c", "while :; do :; done")
    once = api.get(f"/containers/{container}/stats", **{"stream": 0, "one-shot": 1}).json
    again = api.get(f"/containers/{container}/stats", stream=0).json
    assert once["id"] == container
    assert again["cpu_stats"]["cpu_usage"]["total_usage"] > once["cpu_stats"]["cpu_usage"]["total_usage"]
    assert again["precpu_stats"]["cpu_usage"]["total_usage"] > 0
    api.post(f"/containers/{container}/kill")
    assert api.get(f"/containers/{container}/stats", stream=0).json["pids_stats"] == {}


def test_health_is_seen_without_a_program_in_the_image(api: ApiClient) -> None:
    """The label says which port has to be listened on; a command that is given comes first."""
    words = ["sh", "-c", "sleep 1; exec httpd -f -p 81"]
    container = api.run(*words, Labels={"minirun.health": "listening:81"})
    assert api.get(f"/containers/{container}/json").json["State"]["Health"]["Status"] == "starting"
    eventually(lambda: api.get(f"/containers/{container}/json").json["State"]["Health"]["Status"] == "healthy", 15)
    checked = api.create("true", Labels={"minirun.health": "listening:81"}, Healthcheck={"Test": ["CMD", "true"]})
    assert api.get(f"/containers/{checked}/json").json["Config"]["Healthcheck"]["Test"] == ["CMD", "true"]
    refused = api.post("/containers/create", {"Image": "busybox", "Labels": {"minirun.health": "http:81"}})
    assert (refused.status, "invalid label minirun.health=http:81" in refused.message) == (400, True)


def test_inspect_has_what_was_asked_for_also_where_it_changes_nothing(api: ApiClient) -> None:
    host = {
        "NetworkMode": "none",
        "Isolation": "default",
        "Runtime": "runc",
        "VolumeDriver": "nothere",  # there is no volume that it would make
        "Tmpfs": {"/a": "size=3M", "/b": "rw,noatime", "/c": ""},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
    }
    container = api.create("sh", "-c", "env; stat -fc %b /a", HostConfig=host, Env=["A=b", "PATH", "B="])
    shown = api.get(f"/containers/{container}/json").json
    assert {name: shown["HostConfig"][name] for name in host} == host
    assert sorted(shown["Config"]["Env"][-3:]) == ["A=b", "B=", "PATH"]
    plain = api.get(f"/containers/{api.create('true')}/json").json["HostConfig"]
    assert (plain["Runtime"], plain["Isolation"], plain["VolumeDriver"]) == ("minirun", "", "")
    assert plain["Runtime"] == api.get("/info").json["DefaultRuntime"]
    assert ("/proc/kcore" in plain["MaskedPaths"], "/proc/sys" in plain["ReadonlyPaths"]) == (True, True)
    bare = {"NetworkMode": "none", "MaskedPaths": [], "ReadonlyPaths": []}
    shown = api.get(f"/containers/{api.create('true', HostConfig=bare)}/json").json["HostConfig"]
    assert (shown["MaskedPaths"], shown["ReadonlyPaths"]) == ([], [])
    assert api.create("true", HostConfig=plain), "what inspect shows can be asked for"
    one = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"VolumeDriver": "nothere", "Binds": ["data:/data"]}}
    refused = api.post("/containers/create", one)
    assert (refused.status, 'plugin "nothere" not found' in refused.message) == (400, True)
    api.post(f"/containers/{container}/start")
    api.post(f"/containers/{container}/wait")
    printed = demultiplexed(api.get(f"/containers/{container}/logs", stdout=1).body)[0].decode().split("\n")
    assert {"A=b", "B="} <= set(printed)
    assert str((3 << 20) // os.sysconf("SC_PAGE_SIZE")) in printed


def test_log_options(api: ApiClient) -> None:
    """max-file without max-size rotates nothing, as in Docker."""
    script = "i=0; while [ $i -lt 3000 ]; do echo $i-0123456789; i=$((i+1)); done"
    log = {"Type": "", "Config": {"max-file": "2"}}
    container = api.run("sh", "-c", script, HostConfig={"NetworkMode": "none", "LogConfig": log})
    api.post(f"/containers/{container}/wait")
    assert len(demultiplexed(api.get(f"/containers/{container}/logs", stdout=1).body)[0].splitlines()) == 3000
    shown = api.get(f"/containers/{container}/json").json["HostConfig"]["LogConfig"]
    assert shown == {"Type": "json-file", "Config": {"max-file": "2"}}
    wrong = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"LogConfig": {"Type": "asdf"}}}
    refused = api.post("/containers/create", wrong)
    assert (refused.status, refused.message) == (400, 'error looking up logging plugin asdf: plugin "asdf" not found')


def test_the_names_of_fields_in_any_case(api: ApiClient) -> None:
    """Go's decoder takes them, and docker-py relies on it."""
    container = api.run("cat", Tty=True, OpenStdin=True)
    asked = {"attachstdin": True, "AttachStdout": True, "tty": True, "CMD": ["cat"], "detachKeys": "ctrl-x"}
    made = api.post(f"/containers/{container}/exec", asked).json["Id"]
    stream = api.take_over("POST", f"/exec/{made}/start", {"TTY": True})
    stream.socket.sendall(b"\x18")
    assert stream.rest() == b""
    refused = api.post("/containers/create", {"image": "busybox", "hostconfig": {"memory": "1g"}})
    assert (refused.status, "$.HostConfig.Memory" in refused.message) == (400, True), refused.body


def test_a_link_is_removed(api: ApiClient) -> None:
    api.run("sleep", "100", name="db", HostConfig={"NetworkMode": "bridge"})
    links = {"NetworkMode": "bridge", "Links": ["db:store", "db:other"], "ExtraHosts": ["store.example:192.0.2.1"]}
    api.run("sleep", "100", name="app", HostConfig=links)
    api.host.minirun("exec", "app", "ping", "-c1", "-W2", "store")
    assert api.delete("/containers/app/store", link=1).status == 204
    hosts = api.host.minirun("exec", "app", "cat", "/etc/hosts").stdout
    assert ("other" in hosts, "store.example" in hosts, "\tstore" in hosts.replace("store.example", "")) == (
        True,
        True,
        False,
    )
    shown = api.get("/containers/app/json").json["NetworkSettings"]["Networks"]["bridge"]["Links"]
    assert shown == ["db:other"]
    again = api.delete("/containers/app/store", link=1)
    assert (again.status, again.message) == (404, "No such link: app/store")
    assert api.delete("/containers/app", link=1).status == 409
    assert api.host.minirun("rm", "--link", "app/other").stdout == "app/other\n"
    assert "db" not in api.host.minirun("exec", "app", "cat", "/etc/hosts").stdout.split()
    assert api.get("/containers/app/json").json["HostConfig"]["Links"] is None
    missing = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Links": ["nothere:x"]}}
    refused = api.post("/containers/create", missing)
    assert (refused.status, refused.message) == (400, "could not get container for nothere: No such container: nothere")


def test_a_stream_waits_until_its_head_is_read(api: ApiClient) -> None:
    """docker-py reads the head through a buffer, and would lose what comes with it."""
    container = api.run("echo", "hello")
    api.post(f"/containers/{container}/wait")
    sock = api.connect()
    sock.sendall(
        f"POST /containers/{container}/attach?logs=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        "Upgrade: tcp\r\nContent-Length: 0\r\n\r\n".encode()
    )
    time.sleep(0.05)
    head = sock.recv(65536)
    assert head.endswith(b"\r\n\r\n")
    assert demultiplexed(sock.recv(65536)) == (b"hello\n", b"")


def test_several_starts_of_one_container_start_it_once(api: ApiClient) -> None:
    for _ in range(3):
        container = api.create("sleep", "1000")
        with ThreadPoolExecutor(4) as clients:
            answers = list(clients.map(lambda _, it=container: api.post(f"/containers/{it}/start").status, range(4)))
        assert sorted(answers) == [204, 304, 304, 304]
        api.delete(f"/containers/{container}", force=1)
