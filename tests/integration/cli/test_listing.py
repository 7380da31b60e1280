"""What lists and describes: ps with its filters and forms, inspect, events, info, system df, and the prunes."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from minirun.cli.filters import parse_filters
from minirun.cli.prune_filters import choice_of
from minirun.cli.table import binary_size, print_table, size
from minirun.errors import MinirunError
from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.host import MINIRUN


@pytest.fixture(scope="module")
def peopled() -> Iterator[Host]:
    """A host with one container of each kind, created in this order."""
    with Host() as host:
        run = ("run", "-d", "--name")
        host.minirun("network", "create", "database")
        host.minirun(*run, "web", "-p", "8080:80", "-p", "8081:81/udp", "--expose", "90", "busybox", "sleep", "1000")
        host.minirun(*run, "db", "--net=database", "--label", "tier=back", "--label", "x", "busybox", "sleep", "1000")
        host.minirun(*run, "side", "--net=container:web", "-v", "/usr:/mnt", "busybox", "sleep", "1000")
        host.minirun(*run, "still", "--net=none", "busybox", "sleep", "1000")
        host.minirun("pause", "still")
        checked = ("--health-cmd", "true", "--health-interval", "0.1s")
        host.minirun(*run, "well", "--net=host", *checked, "--label", "tier=front", "busybox", "sleep", "1000")
        host.minirun(
            "run", "--name", "failed", "--net=none", "busybox", "sh", "-c", "echo 12345 > /x; exit 3", check=False
        )
        host.minirun("create", "--name", "made", "-p", "9000:90", "busybox", "sleep", "1000")
        eventually(lambda: "healthy" in host.minirun("ps", "--filter", "name=well").stdout)
        yield host


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
    assert web[start : header.index("NAMES")].strip() == "90/tcp, 0.0.0.0:8080->80/tcp, 0.0.0.0:8081->81/udp"
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


# --- events


def events(host: Host, *words: str) -> list[dict[str, Any]]:
    lines = host.minirun("events", "--since", "1h", "--until", "0s", "--format", "json", *words).stdout.splitlines()
    return [json.loads(line) for line in lines]


def test_events_of_the_past_by_filters(peopled: Host) -> None:
    every = events(peopled)
    assert [one["Action"] for one in every if one["Actor"]["Attributes"].get("name") == "failed"] == [
        *("create", "start", "die")
    ]
    assert [one["time"] for one in every] == sorted(one["time"] for one in every)
    die = events(peopled, "--filter", "event=die", "--filter", "type=container")
    assert [one["Actor"]["Attributes"]["exitCode"] for one in die] == ["3"]
    assert {one["Action"] for one in events(peopled, "--filter", "container=still")} == {"create", "start", "pause"}
    # Names that can be no beginning of anybody's id.
    both = events(peopled, "--filter", "container=web", "--filter", "container=still", "--filter", "event=create")
    assert {one["Actor"]["Attributes"]["name"] for one in both} == {"web", "still"}
    labelled = events(peopled, "--filter", "label=tier=front", "--filter", "event=start")
    assert [one["Actor"]["Attributes"]["name"] for one in labelled] == ["well"]
    assert events(peopled, "--filter", "image=nosuch") == []
    assert {one["from"] for one in events(peopled, "--filter", "image=busybox")} == {"busybox"}
    line = peopled.minirun("events", "--since", "1h", "--until", "0s", "--filter", "event=die").stdout
    assert re.fullmatch(
        r"[\d-]+T[\d:.]+Z container die [0-9a-f]{64} \(exitCode=3, image=busybox, name=failed\)\n", line
    )
    form = ("--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.exitCode}}", "--filter", "event=die")
    assert peopled.minirun("events", "--since", "1h", "--until", "0s", *form).stdout == "container die 3\n"


def test_events_within_a_window(peopled: Host) -> None:
    every = events(peopled)
    middle = every[len(every) // 2]["timeNano"]
    stamp = f"{middle // 10**9}.{middle % 10**9:09d}"
    after = peopled.minirun("events", "--since", stamp, "--until", "0s", "--format", "{{.timeNano}}").stdout.split()
    assert after == [str(one["timeNano"]) for one in every if one["timeNano"] >= middle]
    before = peopled.minirun("events", "--since", "1h", "--until", stamp, "--format", "{{.timeNano}}").stdout.split()
    assert before == [str(one["timeNano"]) for one in every if one["timeNano"] <= middle]
    assert peopled.minirun("events", "--until", "1h").stdout == ""  # what is yet to come has come too late
    assert "invalid value for time" in peopled.minirun("events", "--since", "x", check=False).stderr
    assert "invalid filter 'colour'" in peopled.minirun("events", "--filter", "colour=x", check=False).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_events_are_told_as_they_happen_until_a_signal(primed: Host, number: signal.Signals) -> None:
    primed.minirun("create", "--name", "short", "--net=none", "busybox", "true")
    words = ("events", "--since", "1h", "--filter", "container=short", "--format", "{{.Action}}")
    stream = primed.popen(["timeout", "30", MINIRUN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert stream.stdout is not None
    assert stream.stdout.readline() == b"create\n"  # it has told the past, and waits
    primed.minirun("start", "-a", "short")
    primed.minirun("rm", "short")
    assert [stream.stdout.readline() for _ in range(3)] == [b"start\n", b"die\n", b"destroy\n"]
    primed.sh(f"pkill -{number.name} -f '[p]ython.*/minirun events'")  # and not timeout(1), which would send it again
    rest, errors = stream.communicate(timeout=10)
    assert (rest, errors) == (b"", b"")
    assert stream.returncode == 0


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


# --- prunes


def test_prunes_remove_what_they_say_and_only_when_told(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "up", "busybox", "sleep", "1000")
    kept = Snapshot.of(primed)
    primed.minirun("network", "create", "unused")
    primed.minirun("network", "create", "used")
    for name, label in (("one", "a=1"), ("two", "a=2")):
        primed.minirun("create", "--name", name, "--label", label, "--net=used", "busybox", "true")
    for answer in ("", "maybe\n"):
        done = primed.minirun("container", "prune", input=answer)
        assert done.stdout.endswith(
            "This will remove all stopped containers.\nAre you sure you want to continue? [y/N] "
        )
    for filters in (["until=1h"], ["label=a=3"], ["label!=a"]):
        words = [word for text in filters for word in ("--filter", text)]
        assert primed.minirun("container", "prune", "-f", *words).stdout == "Total reclaimed space: 0B\n"
    primed.minirun("network", "prune", "-f", "--filter", "until=1h")
    assert names(primed, "-a") == ["two", "one", "up"]
    done = primed.minirun("container", "prune", "--filter", "label=a=1", input="y\n")
    assert re.search(r"Deleted Containers:\n[0-9a-f]{64}\n\nTotal reclaimed space: 0B\n$", done.stdout)
    assert names(primed, "-a") == ["two", "up"]
    assert primed.minirun("network", "prune", input="y\n").stdout.endswith("[y/N] Deleted Networks:\nunused\n\n")
    said = primed.minirun("system", "prune", input="y\n").stdout
    assert "- all stopped containers\n  - all networks not used by at least one container\n" in said
    assert re.search(r"Deleted Containers:\n[0-9a-f]{64}\n\nDeleted Networks:\nused\n\nTotal reclaimed", said)
    assert names(primed, "-a") == ["up"]
    assert_same(primed, kept)


def test_system_prune_takes_volumes_and_images_when_told(primed: Host) -> None:
    primed.minirun("volume", "create", "named")
    primed.minirun("run", "--name", "brief", "--net=none", "-v", "/data", "busybox", "sh", "-c", "echo 1234 > /data/x")
    anonymous = primed.minirun("inspect", "-f", "{{(index .Mounts 0).Name}}", "brief").stdout.strip()
    primed.minirun("tag", "busybox", "again")
    said = primed.minirun("system", "prune", "-f").stdout
    assert re.search(r"Deleted Containers:\n[0-9a-f]{64}\n\nTotal reclaimed space: 0B\n$", said)
    both = ("system", "prune", "-f", "-a", "--volumes")
    refused = primed.minirun(*both, "--filter", "until=1h", check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    said = primed.minirun(*both).stdout
    assert f"Deleted Volumes:\n{anonymous}\n" in said
    assert "Deleted Images:\n" in said
    assert primed.minirun("volume", "ls", "-q").stdout == "named\n"
    assert primed.minirun("images", "-q").stdout == ""


def test_prune_filters() -> None:
    with pytest.raises(MinirunError, match="invalid filter 'until=yesterday'"):
        choice_of(parse_filters(["until=yesterday"], ("until",)))
    choice = choice_of(parse_filters(["until=10m", "until=1000", "label=a"], ("until", "label")))
    assert choice.has(999, {"a": ""})
    assert not choice.has(1001, {"a": ""})
    assert not choice.has(999, {})


def test_sizes_as_docker_words_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert [size(one) for one in (0, 999, 1500, 1234567, 5e9)] == ["0B", "999B", "1.5kB", "1.23MB", "5GB"]
    assert size(1234567, 4) == "1.235MB"
    assert [binary_size(one) for one in (0, 1023, 1536, 25 * 2**30)] == ["0B", "1023B", "1.5KiB", "25GiB"]
    print_table(("A", "LONG HEADER", "B"), [("x\x1b[31m", "y", "z\n")])
    assert capsys.readouterr().out == "A           LONG HEADER   B\nx\\x1b[31m   y             z\\n\n"
