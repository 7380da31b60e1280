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
        (["publish=8000-9000"], ["made", "web"]),
        (["publish=80"], ["web"]),
        (["expose=90"], ["made", "web"]),
        (["expose=90/udp"], []),
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
        ("name=(", "invalid filter 'name=('"),
        ("color=red", "invalid filter 'color'"),
        ("status", "bad format of filter"),
        ("since=nosuch", "No such container: nosuch"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(peopled: Host, text: str, says: str) -> None:
    done = peopled.minirun("ps", "--filter", text, check=False)
    assert (done.returncode, done.stdout) == (1, "")
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
    four = ["0.0.0.0:8080->80/tcp", "0.0.0.0:8081->81/udp"]
    assert ports == ["90/tcp", *four, *(port.replace("0.0.0.0", "[::]") for port in four)]
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
    assert '"sh -c echo 12345 > /x; exit 3"' in whole
    assert '"sh -c echo 12345 > …"' in peopled.minirun("ps", "-a", "--filter", "name=failed").stdout
    sized = peopled.minirun("ps", "-as", "--filter", "name=failed").stdout
    assert "SIZE" in sized.splitlines()[0]
    assert re.search(r"6B \(virtual [\d.]+MB\)$", sized)


def test_ps_forms(peopled: Host) -> None:
    web = json.loads(peopled.minirun("ps", "--format", "json", "--filter", "name=web").stdout)
    assert list(web) == sorted(web)
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
