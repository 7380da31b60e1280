"""explain: it shows what was done, its script gives the same network, and a dry run leaves nothing behind."""

import json
import re
from collections.abc import Iterator

import pytest

from minirun.diagnostics.explain.primitives import step_of
from minirun.diagnostics.explain.recorder import Record
from minirun.diagnostics.explain.render import as_full_text
from minirun.diagnostics.explain.terminal_text import Style
from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.host import MINIRUN

SLEEP = ("busybox", "sleep", "1000")
MODES = {
    "bridge": ["--name", "web", "-p", "8080:80", "-p", "8053:53/udp", *SLEEP],
    "custom": ["--name", "web", "--net=own", "-p", "8080:80", *SLEEP],
    "none": ["--name", "web", "--net=none", *SLEEP],
    "host": ["--name", "web", "--net=host", *SLEEP],
    "container": ["--name", "web", "--net=container:base", *SLEEP],
    "internal": ["--name", "web", "--net=inner", *SLEEP],
    "six": ["--name", "web", "--net=six", "-p", "8080:80", *SLEEP],
}


def explained(host: Host, *words: str) -> str:
    """What --explain prints for a command, which must succeed."""
    return str(host.minirun(*words).stderr)


# --- the same as what was done


def normal(text: str) -> list[str]:
    """Operations without what differs from one container to the next."""
    operations = [operation for step in json.loads(text) for operation in step["operations"]]
    commands = [
        operation["command"]
        for operation in sorted(operations, key=lambda operation: (operation["role"], operation["began"]))
    ]
    return [_anonymous(command) for command in commands]


def _anonymous(text: str) -> str:
    for pattern, name in ((r"\b[0-9a-f]{64}\b", "ID"), (r"veth[0-9a-f]{8}", "VETH"), (r"\b[0-9a-f]{12}\b", "SHORT")):
        text = re.sub(pattern, name, text)
    return text


def test_a_dry_run_shows_what_the_command_then_does(primed: Host) -> None:
    words = ["run", "-d", "--name", "web", "-p", "8080:80", *SLEEP]
    dry_run = primed.minirun("explain", "-f", "json", *words)
    done = primed.minirun("--explain=json", *words)
    assert normal(done.stderr) == normal(dry_run.stdout)
    # In the copy, the first process waits for its stop signal.
    primed.minirun("run", "-d", "--name", "other", *SLEEP)
    dry_run = primed.minirun("explain", "-f", "json", "stop", "-t", "1", "other")
    assert "ip netns del other" in dry_run.stdout
    pid = primed.minirun("inspect", "-f", "{{.State.Pid}}", "other").stdout.strip()
    assert f"kill -15 {pid}" in dry_run.stdout
    assert primed.minirun("inspect", "-f", "{{.State.Running}}", "other").stdout == "true\n"


def test_all_processes_of_a_command_are_recorded(primed: Host) -> None:
    done = primed.minirun("--explain=json", "run", "--rm", "-p", "8080:80", "--userns=auto", "busybox", "echo", "hello")
    assert done.stdout == "hello\n"
    start, end = _documents(done.stderr)
    roles = {operation["role"] for step in start for operation in step["operations"]}
    assert roles == {"command", "shim", "helper", "builder", "first process"}
    assert {step["step"] for step in start} >= {"ports", "userns", "cgroup", "process", "rules", "veth", "program"}
    assert [step["step"] for step in end if step["step"] == "end"]
    every = [operation for step in start for operation in step["operations"]]
    assert len({json.dumps(operation) for operation in every}) == len(every)
    assert all(0 <= operation["seconds"] < 5 and not operation["failure"] for operation in every)
    primed.minirun("run", "-d", "--name", "web", *SLEEP)
    joined = json.loads(explained(primed, "--explain=json", "exec", "web", "true"))
    roles = {operation["role"] for step in joined for operation in step["operations"]}
    assert roles - {"command"} == {
        "helper",
        "new process",
    }  # the command forks, where there is a v2 group to be born in


def _documents(text: str) -> Iterator[list[dict[str, object]]]:
    decoder, at = json.JSONDecoder(), text.index("[\n")
    while at < len(text.rstrip()):
        document, at = decoder.raw_decode(text, at)
        at += len(text[at:]) - len(text[at:].lstrip())
        yield document


def test_operations_that_are_not_shown_are_announced(primed: Host) -> None:
    """The shim of a container that was started before is not recorded; in a copy of the host it is."""
    primed.minirun("run", "-d", "--name", "web", *SLEEP)
    assert "Not shown:" not in primed.minirun("explain", "kill", "web").stdout
    done = primed.minirun("--explain", "kill", "web")
    assert "kill -9" in done.stderr
    assert "minirun explain shows its part, too" in " ".join(done.stderr.split())


def test_a_failure_is_shown_where_it_happened(primed: Host) -> None:
    primed.sh("busybox httpd -p 8080 -h /run")
    done = primed.minirun("--explain", "run", "--rm", "-p", "8080:80", "busybox", "true", check=False)
    assert done.returncode == 125
    assert "failed: " in done.stderr
    assert "Address already in use" in done.stderr


# --- by hand


def network(host: Host) -> dict[str, object]:
    """Links, addresses, routes and rules of the host, and of the namespace of `web`."""
    state: dict[str, object] = {}
    for where, prefix in (("host", ""), ("web", "ip netns exec web ")):
        if prefix and "web" not in host.sh("ip netns"):
            continue
        links = json.loads(host.sh(f"{prefix}ip -j -d link"))
        keep = ("ifname", "mtu", "master", "ifalias", "link_type", "address")
        state[f"{where} links"] = sorted(
            [str({key: link.get(key) for key in keep if _is_given(link, key)}) for link in links]
        )
        state[f"{where} ports"] = sorted(
            str(link["linkinfo"]["info_slave_data"]["hairpin"])
            for link in links
            if "info_slave_data" in link.get("linkinfo", {})
        )
        addresses = json.loads(host.sh(f"{prefix}ip -j address"))
        state[f"{where} addresses"] = sorted(
            f"{link['ifname']} {info['local']}/{info['prefixlen']}"
            for link in addresses
            for info in link["addr_info"]
            if not info["local"].startswith("fe80")
        )
        routes = host.sh(f"{prefix}ip route show table all; {prefix}ip -6 route show table all").splitlines()
        routes = [
            " ".join(route.replace("linkdown", "").split())
            for route in routes
            if "fe80" not in route and "ff00" not in route
        ]
        state[f"{where} routes"] = sorted(routes)
        names = "net.ipv4.ip_unprivileged_port_start net.ipv4.ping_group_range net.ipv4.ip_forward"
        state[f"{where} sysctl"] = host.sh(f"{prefix}sysctl {names} net.ipv6.conf.all.disable_ipv6")
    state["rules"] = re.sub(r"packets \d+ bytes \d+", "", host.sh("nft list ruleset"))
    state["pins"] = host.sh("ls /run/netns 2>/dev/null || true")
    return state


def _is_given(link: dict[str, object], key: str) -> bool:
    """The kernel's own choices are not compared: the MAC address of the host's end of a veth pair."""
    return not (key == "address" and str(link["ifname"]).startswith("veth"))


MOUNTS = re.compile(r"^\d+ \d+ \S+ (?P<root>\S+) (?P<place>\S+) (?P<options>\S+).* - (?P<kind>\S+)", re.M)
_SEEN = ("ro", "nosuid", "nodev", "noexec")


def mounts(text: str) -> set[tuple[str, str, str]]:
    return {
        (mount["place"], mount["kind"], ",".join(word for word in mount["options"].split(",") if word in _SEEN))
        for mount in MOUNTS.finditer(text)
    }


@pytest.fixture
def networks(primed: Host) -> Host:
    """Networks, each with a container in it: so bridges, rules and the DNS server exist."""
    primed.minirun("network", "create", "own")
    primed.minirun("network", "create", "--internal", "inner")
    primed.minirun("network", "create", "--ipv6", "six")
    for name, network in (("base", "bridge"), ("own", "own"), ("inner", "inner"), ("six", "six")):
        primed.minirun("run", "-d", "--name", name, "--net", network, *SLEEP)
    return primed


@pytest.mark.parametrize("mode", MODES)
def test_the_script_typed_by_hand_does_the_same(networks: Host, mode: str) -> None:
    _does_the_same(networks, MODES[mode], "true")


def test_the_script_does_the_same_on_an_empty_host(primed: Host) -> None:
    _does_the_same(primed, MODES["bridge"], "sleep 0.2; nft flush ruleset; ip link del minirun0 2>/dev/null || true")


def _does_the_same(host: Host, words: list[str], empty: str) -> None:
    """A start and a removal, each done by minirun and then by its script, give the same. The command `empty` removes
    what both keep for other containers."""
    host.sh(empty)
    before = network(host)
    start = explained(host, "--explain=script", "run", "-d", *words)
    running = network(host)
    identity = host.minirun("inspect", "-f", "{{.Id}}", "web").stdout.strip()
    pid = host.minirun("inspect", "-f", "{{.State.Pid}}", "web").stdout.strip()
    inside = mounts(host.sh(f"cat /proc/{pid}/mountinfo"))
    files = f"/var/lib/minirun/containers/{identity}"
    host.sh(f"cp -a {files} /run/files; rm -rf /run/files/attach")
    # Remove it with minirun, after a dry run of that; then do both by hand.
    end = host.minirun("explain", "-f", "script", "rm", "-f", "web").stdout
    host.minirun("rm", "-f", "web")
    host.sh(empty)
    _becomes(host, before)
    host.sh(f"mkdir -p {files}; cp -a /run/files/. {files}; cd {files}; rm -rf upper work; mkdir upper work")
    shown = host.run(["sh", "-s"], input=_with_look(start)).stdout
    _becomes(host, running)
    assert mounts(shown) == inside
    host.run(["sh", "-s"], input=re.sub(r"^kill .*$", "", end, flags=re.M))
    host.sh(empty)
    _becomes(host, before)


def test_the_script_lists_what_it_omits(primed: Host) -> None:
    plain = explained(primed, "--explain=script", "run", "--rm", "busybox", "true")
    mapped = explained(primed, "--explain=script", "run", "--rm", "--userns=auto", "busybox", "true")
    assert "Not done by this script" not in plain
    _, separator, rest = mapped.partition("# Not done by this script")
    assert separator
    assert "# builder:\n# " in rest
    start, _, _ = rest.partition("#!/bin/sh")  # the removal has a script of its own
    assert [line for line in start.splitlines()[1:] if line and not line.startswith("#")] == []


def _with_look(script: str) -> str:
    """Let the first process print its mounts before it ends."""
    return script.replace("\nINSIDE\n", "\ncat /proc/self/mountinfo\nINSIDE\n")


def _becomes(host: Host, wanted: dict[str, object]) -> None:
    """The kernel removes veths a moment after their namespace."""
    eventually(lambda: _assert_equal(network(host), wanted))


def _assert_equal(one: dict[str, object], other: dict[str, object]) -> bool:
    for key in {*one, *other}:
        assert one.get(key) == other.get(key), key
    return True


# --- as text


def test_text_fits_a_terminal_and_has_reasons(primed: Host) -> None:
    records = [
        Record(1.0, 0.0012, "command", "netns_add", "ip netns add web"),
        Record(1.5, 0.0003, "first process", "pivot_root", "cd x && pivot_root . . && umount -l ."),
        Record(2.0, 0.0001, "command", "sysctl_write", "ip netns exec web sysctl -w a=1", "no such thing"),
    ]
    text = as_full_text(records, "/var/lib/minirun", Style(72))
    assert all(len(line) <= 72 for line in text.split("\n") if not line.startswith("   network_name"))
    assert text.split("\n")[0] == "1. Create the network namespace".ljust(72 - 15) + "command  1.3 ms"
    assert "     ip netns add web\n     ip netns exec web sysctl -w a=1\n       failed: no such thing" in text
    assert text.index("Change the root") > text.index("no such thing")
    assert "\033[1m" in as_full_text(records, "/", Style(72, bold="\033[1m"))


@pytest.mark.parametrize(
    ("command", "step"),
    [
        ("ip netns exec web sysctl -w net.ipv4.ping_group_range='0 1'", "netns"),
        ("ip netns exec web sysctl -w net/ipv6/conf/eth0/accept_ra=0", "addresses"),
        ("sysctl -w net.ipv4.ip_forward=1", "forwarding"),
        ("sysctl -w net/ipv4/conf/veth01234567/rp_filter=1", "veth"),
        ("sysctl -w net/ipv4/conf/minirun0/route_localnet=1", "bridge"),
    ],
)
def test_what_a_setting_is_for(command: str, step: str) -> None:
    assert step_of(Record(0, 0, "command", "sysctl_write", command)).key == step


# --- a dry run leaves nothing behind, and runs no program


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--rm", "-p", "8080:80", "-v", "/run/here:/here", "busybox", "touch", "/here/ran"],
        ["run", "-d", "--userns=auto", "-v", "data:/data", *SLEEP],
        ["exec", "web", "touch", "/here/ran"],
        ["stop", "-t", "1", "web"],
        ["restart", "-t", "1", "web"],
        ["rm", "-f", "web"],
        ["network", "create", "new"],
        ["network", "connect", "own", "web"],
        ["port", "add", "web", "8081:80"],
        ["ps"],
        ["run", "--rm", "nosuchimage"],
    ],
    ids=" ".join,
)
def test_a_dry_run_leaves_nothing(shared: Host, words: list[str]) -> None:
    listing = ["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.State}}"]
    before, listed = Snapshot.of(shared), shared.minirun(*listing).stdout
    done = shared.minirun("explain", *words, check=False)
    assert done.returncode in (0, 125), done.stderr
    assert "Traceback" not in done.stderr
    assert_same(shared, before)
    assert shared.minirun(*listing).stdout == listed
    assert shared.sh("ls /run/here; ls /var/lib/minirun/volumes 2>/dev/null || true") == ""


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with Host() as host:
        host.sh("mkdir /run/here")
        host.minirun("network", "create", "own")
        host.minirun("run", "-d", "--name", "web", "-v", "/run/here:/here", "-p", "8088:80", *SLEEP)
        yield host


def test_a_killed_dry_run_leaves_nothing(primed: Host) -> None:
    before = Snapshot.of(primed)
    for pause in (0.05, 0.1, 0.2, 0.3):
        primed.sh(f"{MINIRUN} explain run --rm -p 80:80 busybox true & sleep {pause}; kill -9 $!; wait", check=False)
        primed.minirun("ps")
        eventually(lambda: assert_same(primed, before) is None)
