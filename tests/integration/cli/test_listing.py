"""What lists and describes: ps with its filters and forms, inspect, events, info, system df, and the prunes."""

import json
import re
import sys

import pytest

from tests.harness import Host


def names(host: Host, *words: str) -> list[str]:
    return list(host.minirun("ps", "--format", "{{.Names}}", *words).stdout.split())


RUNNING = ["well", "still", "side", "db", "web"]


ALL = ["made", "failed", *RUNNING]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([], ALL),
        (["name=we"], ["well", "web"]),
        (["name=^/web$"], ["web"]),
        (["name=^web$", "name=^db$"], ["db", "web"]),
        (["label=tier"], ["well", "db"]),
        (["label=tier=back"], ["db"]),
        (["label=tier", "label=x"], ["db"]),
        (["exited=3"], ["failed"]),
        (["exited=0"], []),
        (["status=paused"], ["still"]),
        (["status=running"], ["well", "side", "db", "web"]),
        (["status=created", "status=exited"], ["made", "failed"]),
        (["ancestor=busybox"], ALL),
        (["ancestor=busybox:latest", "status=paused"], ["still"]),
        (["ancestor=nothing"], []),
        (["before=db"], ["web"]),
        (["since=well"], ["made", "failed"]),
        (["volume=/mnt"], ["side"]),
        (["volume=/usr"], ["side"]),
        (["network=database"], ["db"]),
        (["network=bridge"], ["made", "web"]),
        (["network=host"], ["well"]),
        (["network=web"], []),
        (["publish=8080"], ["web"]),
        (["publish=8081"], []),
        (["publish=8081/udp"], ["web"]),
        (["publish=8000-9000"], ["web"]),
        (["publish=80"], []),
        (["expose=80"], ["web"]),
        (["expose=90"], ["web"]),
        (["expose=90/udp"], []),
        (["publish=1", "expose=90"], ["web"]),
        (["health=healthy"], ["well"]),
        (["health=none", "status=running"], ["side", "db", "web"]),
    ],
    ids=str,
)
def test_ps_filters(peopled: Host, filters: list[str], found: list[str]) -> None:
    assert names(peopled, "-a", *(word for text in filters for word in ("--filter", text))) == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("status=nonsense", "invalid filter 'status=nonsense'"),
        ("health=ill", "invalid filter 'health=ill'"),
        ("exited=x", "invalid filter 'exited=x'"),
        ("publish=http", "invalid filter 'publish=http'"),
        ("publish=80:80", "invalid filter 'publish=80:80'"),
        ("expose=9-3", "invalid filter 'expose=9-3'"),
        ("name=(", "invalid filter 'name=('"),
        ("color=red", "invalid filter 'color'"),
        ("status", "bad format of filter"),
        ("since=nosuch", "No such container: nosuch"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(peopled: Host, text: str, says: str) -> None:
    done = peopled.minirun("ps", "--filter", text, check=False)
    assert (done.returncode, done.stdout) == (1 if "=" in text else 125, "")
    assert says in done.stderr


def test_ps_chooses_by_state_and_count(peopled: Host) -> None:
    assert names(peopled) == RUNNING
    assert names(peopled, "-a") == ALL
    assert names(peopled, "-l") == ALL[:1]
    assert names(peopled, "-n", "3") == ALL[:3]
    assert names(peopled, "-n", "0") == RUNNING  # as docker: no limit, and no states added
    assert names(peopled, "-n", "1", "--filter", "name=web") == ["web"]
    assert names(peopled, "--filter", "status=exited") == ["failed"]


def test_ps_prints_docker_s_columns(peopled: Host) -> None:
    header, *rows = peopled.minirun("ps", "-a").stdout.splitlines()
    assert re.split(" {2,}", header) == ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    web = next(row for row in rows if row.endswith("web"))
    start = header.index("PORTS")
    ports = web[start : header.index("NAMES")].strip().split(", ")
    published = [f"{address}:{port}" for port in ("8080->80/tcp", "8081->81/udp") for address in ("0.0.0.0", "[::]")]
    assert ports == ["90/tcp", *published]
    status = header.index("STATUS")
    states = {row.split()[-1]: row[status:start].strip() for row in rows}
    assert states["made"] == "Created"
    assert re.fullmatch(r"Exited \(3\) .* ago", states["failed"])
    assert re.fullmatch(r"Up .* \(Paused\)", states["still"])
    assert re.fullmatch(r"Up .* \(healthy\)", states["well"])


def test_ps_quiet_whole_and_with_sizes(peopled: Host) -> None:
    ids = peopled.minirun("ps", "-aq", "--no-trunc").stdout.split()
    assert [len(one) for one in ids] == [64] * len(ALL)
    assert peopled.minirun("ps", "-aq").stdout.split() == [one[:12] for one in ids]
    whole = peopled.minirun("ps", "-a", "--no-trunc", "--filter", "name=failed").stdout
    assert "\"sh -c 'echo 12345 > /x; exit 3'\"" in whole
    assert '"sh -c \'echo 12345 >…"' in peopled.minirun("ps", "-a", "--filter", "name=failed").stdout
    sized = peopled.minirun("ps", "-as", "--filter", "name=failed").stdout
    assert "SIZE" in sized.splitlines()[0]
    assert re.search(r"6B \(virtual [\d.]+MB\)$", sized)


PS_KEYS = (
    "Command CreatedAt ID Image Labels LocalVolumes Mounts Names Networks Platform Ports RunningFor Size State Status"
)
IMAGE_KEYS = "Containers CreatedAt CreatedSince Digest ID Repository SharedSize Size Tag UniqueSize VirtualSize"
VOLUME_KEYS = "Availability Driver Group Labels Links Mountpoint Name Scope Size Status"
EVENT_KEYS = "Type Action Actor scope time timeNano"


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        ("images", IMAGE_KEYS),
        ("volume ls", VOLUME_KEYS),
        ("network ls", "CreatedAt Driver ID IPv4 IPv6 Internal Labels Name Scope"),
        ("history busybox", "Comment CreatedAt CreatedBy CreatedSince ID Size"),
        ("stats --no-stream", "BlockIO CPUPerc Container ID MemPerc MemUsage Name NetIO PIDs"),
        ("system df", "Active Reclaimable Size TotalCount Type"),
        ("events --since=1h --until=0s --filter=event=die", f"status id from {EVENT_KEYS}"),
        ("events --since=1h --until=0s --filter=type=network", EVENT_KEYS),
    ],
)
def test_json_has_docker_s_keys(peopled: Host, words: str, keys: str) -> None:
    peopled.minirun("volume", "create", "kept", check=False)
    line = peopled.minirun(*words.split(), "--format", "json").stdout.splitlines()[0]
    assert list(json.loads(line)) == keys.split()


def test_json_of_the_whole_disk_usage(peopled: Host) -> None:
    peopled.minirun("volume", "create", "kept", check=False)
    found = json.loads(peopled.minirun("system", "df", "-v", "--format", "json").stdout)
    keys = {"Images": IMAGE_KEYS, "Containers": PS_KEYS, "Volumes": VOLUME_KEYS}
    assert {kind: " ".join(rows[0]) for kind, rows in found.items() if rows} == keys
    assert found["BuildCache"] == []
    assert [len(found[kind][0]["ID"]) for kind in ("Images", "Containers")] == [71, 64]


def test_times_are_written_as_docker_writes_them(peopled: Host) -> None:
    form = ("--format", "{{.CreatedAt}}")
    made = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    networks = peopled.minirun("network", "ls", *form, "--filter", "type=custom").stdout
    assert re.fullmatch(rf"{made}\.\d{{1,9}} \+0000 UTC\n", networks)
    assert re.match(rf"{made} [+-]\d{{4}} \w+\n", peopled.minirun("ps", *form).stdout)
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n", peopled.minirun("history", "busybox", *form).stdout)


def test_lists_are_sorted_and_folded(primed: Host) -> None:
    labels = [word for label in ("z=1", "a=2", "m") for word in ("--label", label)]
    primed.minirun("network", "create", *labels, "net")
    primed.minirun("volume", "create", *labels, "vol")
    ports = ["-p", "3300-3302:3300-3302", "-p", "127.0.0.1:8081:81", "--expose=9000-9002", "--expose=3301"]
    primed.minirun("run", "-d", "--name", "many", *ports, *labels, "busybox", "sleep", "1000")
    for words in (["ps"], ["network", "ls", "--filter", "name=net"], ["volume", "ls"]):
        assert primed.minirun(*words, "--format", '{{.Labels}} {{.Label "z"}}').stdout == "a=2,m=,z=1 1\n"
    shown = primed.minirun("ps", "--format", "{{.Ports}}").stdout.strip().split(", ")
    assert [text for text in shown if "::" not in text] == [
        *("0.0.0.0:3300-3302->3300-3302/tcp", "9000-9002/tcp", "127.0.0.1:8081->81/tcp")
    ]
    listed = primed.minirun("port", "many").stdout.splitlines()
    assert [line for line in listed if "::" not in line] == [
        *("81/tcp -> 127.0.0.1:8081", "3300/tcp -> 0.0.0.0:3300", "3301/tcp -> 0.0.0.0:3301"),
        "3302/tcp -> 0.0.0.0:3302",
    ]


def test_endpoints_have_ids_and_names(peopled: Host) -> None:
    containers = {one: json.loads(peopled.minirun("inspect", one).stdout)[0] for one in ("web", "db")}
    for name, network in (("web", "bridge"), ("db", "database")):
        endpoint = containers[name]["NetworkSettings"]["Networks"][network]
        described = json.loads(peopled.minirun("network", "inspect", network).stdout)[0]
        assert re.fullmatch("[0-9a-f]{64}", endpoint["EndpointID"])
        assert described["Containers"][containers[name]["Id"]]["EndpointID"] == endpoint["EndpointID"]
        names = [name, containers[name]["Id"][:12]]
        assert endpoint["DNSNames"] == (None if name == "web" else names)
        default = {key for key in described["Options"] if key.startswith("com.docker.network.")}
        assert len(default) == (6 if network == "bridge" else 0)
    option = '{{index .Options "com.docker.network.bridge.name"}}'
    assert peopled.minirun("network", "inspect", "-f", option, "bridge").stdout == "minirun0\n"


def test_ps_forms(peopled: Host) -> None:
    web = json.loads(peopled.minirun("ps", "--format", "json", "--filter", "name=web").stdout)
    assert list(web) == PS_KEYS.split()
    assert (web["Names"], web["State"], web["Command"], web["Networks"]) == ("web", "running", '"sleep 1000"', "bridge")
    db = ("--filter", "name=db")
    assert peopled.minirun("ps", *db, "--format", r'{{.Names}}\t{{.Label "tier"}}').stdout == "db\tback\n"
    assert peopled.minirun("ps", *db, "--format", '{{.Names}}{{"\\n"}}').stdout == "db\n\n"
    table = peopled.minirun(
        "ps", *db, "--format", r'table {{.Names}}\t{{.State}}/{{.Image}}\t{{.Label "com.x-y"}}'
    ).stdout
    assert table == "NAMES     STATE/IMAGE       x y\ndb        running/busybox\n"
    assert peopled.minirun("ps", "--filter", "name=nosuch", "--format", "table {{.Names}}").stdout == "NAMES\n"
    bad = peopled.minirun("ps", "--format", "{{.Nonsense}}", check=False)
    assert bad.returncode == 1
    assert "can't evaluate field Nonsense" in bad.stderr
    assert "template parsing error" in peopled.minirun("ps", "--format", "{{", check=False).stderr


# --- inspect


def inspect(host: Host, form: str, *words: str) -> str:
    return str(host.minirun("inspect", "-f", form, *words).stdout)


def test_inspect_by_template(peopled: Host) -> None:
    assert inspect(peopled, "{{ .NetworkSettings.SandboxKey }}", "web") == "/run/netns/web\n"
    networks = "{{range $k, $v := .NetworkSettings.Networks}}{{$v.IPAddress}}{{end}}"
    address = inspect(peopled, networks, "web").strip()
    assert f"inet {address}/16" in peopled.sh("ip netns exec web ip address show eth0")
    pid = inspect(peopled, "{{.State.Pid}}", "web").strip()
    assert peopled.sh(f"readlink /proc/{pid}/ns/net") == peopled.sh("ip netns exec web readlink /proc/self/ns/net")
    assert inspect(peopled, "{{.Name}} {{.State.ExitCode}}", "db", "failed") == "/db 0\n/failed 3\n"
    assert inspect(peopled, '{{index .Config.Labels "tier"}}', "db") == "back\n"
    assert inspect(peopled, '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "web") == "8080\n"
    assert inspect(peopled, '{{range .Args}}{{.}}{{"\\n"}}{{end}}', "web") == "1000\n\n"
    assert json.loads(inspect(peopled, "{{json .State}}", "web"))["Running"] is True
    assert [one["Name"] for one in json.loads(inspect(peopled, "json", "web", "db"))] == ["/web", "/db"]


@pytest.mark.parametrize(
    ("form", "name", "shown"),
    [
        (
            "{{if .State.Health}}x{{end}}{{.State.Health}}{{.Config.Healthcheck}}{{.SizeRw}}{{.Config.StopTimeout}}",
            "web",
            "<nil>" * 4,
        ),
        ("{{.State.Health.Status}} {{.Config.Healthcheck}}", "well", "healthy {[CMD-SHELL true] 100ms 30s 0s 5s 3}"),
        (
            "{{.Config.StopSignal}}{{.HostConfig.CgroupParent}}{{.HostConfig.Cgroup}}|{{.HostConfig.StorageOpt}}",
            "web",
            "|map[]",
        ),
        (
            "{{.HostConfig.Binds}}{{json .HostConfig.Binds}}{{.HostConfig.CapAdd}}{{.Config.Entrypoint}}",
            "web",
            "[]null[][]",
        ),
        (
            "{{.HostConfig.Init}}{{.HostConfig.PidsLimit}}{{.HostConfig.MemorySwappiness}}{{.HostConfig.NanoCPUs}}",
            "web",
            "<nil>" * 3 + "0",
        ),
        (
            "{{.HostConfig.Resources.Memory}} {{.HostConfig.DNS}} {{.HostConfig.LogConfig}} {{.ExecIDs}}",
            "web",
            "0 [] {json-file map[]} []",
        ),
        ("{{.NetworkSettings.Ports}}", "made", "map[]"),
        ("{{.NetworkSettings.Networks.no.IPAddress}} {{.Config.Labels.no}}", "web", "<no value> <no value>"),
        (
            "{{eq .ID .Id}} {{.Peers}} {{.Services}} {{range .IPAM.Config}}{{.AuxAddress}}{{end}}",
            "database",
            "true [] map[] map[]",
        ),
        (
            "{{.Config.Healthcheck}} {{.Config.Env}} {{.Descriptor}} {{.Metadata.LastTagTime}}",
            "busybox",
            "<nil> [] <nil> 0001-01-01 00:00:00 +0000 UTC",
        ),
    ],
)
def test_templates_see_docker_s_structs(peopled: Host, form: str, name: str, shown: str) -> None:
    assert inspect(peopled, form, name) == f"{shown}\n"


@pytest.mark.parametrize(
    ("form", "names", "shown", "error"),
    [
        ("{{.Name}}", ["web", "nosuch", "db"], "/web\n/db\n", "No such object: nosuch"),
        ("{{index .Args 1}}", ["web", "failed"], "echo 12345 > /x; exit 3\n", 'executing "" at <index .Args 1>'),
        ("{{.Nope}}", ["web"], "\n", 'at <.Nope>: map has no entry for key "Nope"'),
        ("{{.State.Health.Status}}", ["web"], "\n", 'map has no entry for key "Health"'),
    ],
)
def test_what_cannot_be_shown_does_not_hide_the_rest(
    peopled: Host, form: str, names: list[str], shown: str, error: str
) -> None:
    done = peopled.minirun("inspect", "-f", form, *names, check=False)
    assert (done.returncode, done.stdout) == (1, shown)
    assert error in done.stderr


def test_inspect_sizes_types_and_what_is_missing(peopled: Host) -> None:
    failed = json.loads(peopled.minirun("inspect", "-s", "failed").stdout)[0]
    assert failed["SizeRw"] == 6
    assert failed["SizeRootFs"] > 1_000_000
    assert "SizeRw" not in json.loads(peopled.minirun("inspect", "failed").stdout)[0]
    assert json.loads(peopled.minirun("inspect", "database").stdout)[0]["Driver"] == "bridge"
    done = peopled.minirun("inspect", "--type", "network", "web", "database", check=False)
    assert (done.returncode, [one["Name"] for one in json.loads(done.stdout)]) == (1, ["database"])
    assert "No such network: web" in done.stderr
    assert "No such container: database" in peopled.minirun("container", "inspect", "database", check=False).stderr
    assert 'unknown type: "x"' in peopled.minirun("inspect", "--type", "x", "web", check=False).stderr


# --- info, version, system df


def test_info_and_version(peopled: Host) -> None:
    found = json.loads(peopled.minirun("info", "--format", "json").stdout)
    counts = [found[name] for name in ("Containers", "ContainersRunning", "ContainersPaused", "ContainersStopped")]
    assert counts == [7, 4, 1, 2]
    assert found["NCPU"] == int(peopled.sh("nproc --all"))
    assert found["MinirunRootDir"] == "/var/lib/minirun"
    text = peopled.minirun("info").stdout
    assert "Containers: 7\n Running: 4\n Paused: 1\n Stopped: 2\n" in text
    assert f"Kernel Version: {peopled.sh('uname -r')}" in text
    version = peopled.minirun("version", "--format", "{{.Server.Version}}").stdout
    assert version == peopled.minirun("version", "--format", "{{.Client.Version}}").stdout
    assert peopled.minirun("version").stdout.startswith(f"minirun version {version}")
    assert peopled.minirun("--version").stdout == f"minirun version {version}"
    assert peopled.minirun("info", "--format", "{{.Nonsense}}", check=False).returncode == 1


def test_system_df(peopled: Host) -> None:
    lines = peopled.minirun("system", "df", "--format", "json").stdout.splitlines()
    images, containers, volumes, cache = map(json.loads, lines)
    assert (images["TotalCount"], images["Active"], images["Reclaimable"]) == ("1", "1", "0B (0%)")
    assert (containers["TotalCount"], containers["Active"]) == ("7", "5")
    assert (containers["Size"], containers["Reclaimable"]) == ("6B", "6B (100%)")
    assert volumes["Type"] == "Local Volumes"
    assert cache == {"Type": "Build Cache", "TotalCount": "0", "Active": "0", "Size": "0B", "Reclaimable": "0B"}
    header = peopled.minirun("system", "df").stdout.splitlines()[0]
    assert header == "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE"
    details = peopled.minirun("system", "df", "-v").stdout
    assert re.search(r"^busybox +latest .* 7$", details, re.MULTILINE)
    assert re.search(r"^[0-9a-f]{12} +busybox +.* 6B .*Exited \(3\).* failed$", details, re.MULTILINE)
    assert peopled.minirun("system", "df", "-v", "--format", "{{len .Containers}}").stdout == "7\n"


def test_system_df_counts_volumes_by_their_records(primed: Host) -> None:
    """A link out of a volume leads nowhere, and what somebody uses is not reclaimable."""
    primed.sh(
        "mkdir -p /var/lib/minirun/volumes/data/_data; cd /var/lib/minirun/volumes/data/_data;"
        " head -c 3000 /dev/zero > three; ln three hard; ln -s /usr/bin out"
    )
    insert = "insert into volumes (name, created) values ('data', 1), ('empty', 2)"
    script = f"import sqlite3; db = sqlite3.connect('/var/lib/minirun/state.db'); db.execute({insert!r}); db.commit()"
    primed.run([sys.executable, "-c", script])
    line = primed.minirun("system", "df").stdout.splitlines()[3]
    assert re.split(" {2,}", line) == ["Local Volumes", "2", "0", "3kB", "3kB (100%)"]
