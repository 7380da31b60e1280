"""Published ports beyond one number: ranges, many of them, changes while a container runs, and who waits for them."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from minirun.kernel.changes import RuleChanges
from minirun.kernel.conntrack import FlowTable
from minirun.kernel.netns import entered
from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.host import MINIRUN
from tests.harness.stack import SHORT, Server, Stack
from tests.harness.town import AWAY, AWAY6, LAN, LAN6, Town, town
from tests.integration.engine.test_faults import ENV, FAULTY

SLEEP = ("busybox", "sleep", "1000")


@pytest.fixture(scope="module")
def place() -> Iterator[Town]:
    with town() as made:
        made.network("net", "--ipv6")
        yield made


@pytest.fixture
def box(place: Town) -> Iterator[Town]:
    """The same for all tests; each leaves it without containers."""
    yield place
    names = place.host.minirun("ps", "-aq").stdout.split()
    if names:
        place.host.minirun("rm", "-f", *names)


def ports_of(host: Host, name: str) -> list[str]:
    return str(host.minirun("port", name).stdout).splitlines()


def published(host: Host) -> int:
    """How many elements the maps of published ports have: a range is one."""
    tables = json.loads(host.sh("nft -j list table inet minirun"))["nftables"]
    return sum(
        len(one["map"].get("elem", [])) for one in tables if "map" in one and one["map"]["name"].startswith("published")
    )


def is_bindable(stack: Stack, port: int, kind: int = socket.SOCK_STREAM) -> bool:
    with stack.socket(socket.AF_INET, kind) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True


# --- ranges, and many

_RCVBUFFORCE = 33  # SO_RCVBUFFORCE
_THOUSAND = [(20000 + 2 * number, number + 1) for number in range(1000)]


def _flags(ports: list[tuple[int, int]]) -> list[str]:
    return [word for outside, inside in ports for word in ("-p", f"{outside}:{inside}")]


def test_a_wide_range_is_one_record_and_no_socket(box: Town) -> None:
    files = []
    for name, port in (("one", "5000"), ("media", "49152-65535")):
        before = published(box.host)
        box.container(name, "--net", "net", "-p", f"{port}:{port}/udp")
        monitor = box.host.minirun("inspect", "-f", "{{.State.MonitorPid}}", name).stdout.strip()
        files.append(len(box.host.sh(f"ls /proc/{monitor}/fd").split()))
        assert published(box.host) - before == 2  # one for each family
    assert files[1] <= files[0]
    wide = box.stacks["media"]
    for port in (49152, 55555, 65535):
        with closing(wide.serve(port, protocols=("udp",))) as server:
            assert [server.asked(box.stacks["away"], "udp", at, port) for at in (LAN, LAN6)] == [AWAY, AWAY6]
    assert "49152/udp -> 0.0.0.0:49152" in ports_of(box.host, "media")
    late = box.host.minirun("run", "-d", "--name", "late", "-p", "50000:80/udp", *SLEEP, check=False)
    assert "by container media" in late.stderr
    box.host.minirun("rm", "-f", "media", "late", "one")
    assert published(box.host) == 0


def test_a_thousand_ports_cost_as_many_transactions_and_processes_as_one(box: Town) -> None:
    host = box.host
    host.minirun("run", "-d", "--name", "base", "--net", "net", *SLEEP)  # the network stands
    costs = []
    for ports in ([(9000, 80)], _THOUSAND):
        with entered(box.stacks["host"].path):
            changes = RuleChanges()
        changes.socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, 1 << 24)
        before = len(host.sh("ps ax").splitlines())
        host.minirun("run", "-d", "--name", "web", "--net", "net", *_flags(ports), *SLEEP)
        processes = len(host.sh("ps ax").splitlines()) - before
        costs.append((sum(one.process == "minirun" for one in changes.read()), processes))
        changes.socket.close()
        host.minirun("rm", "-f", "web")
    assert costs[0] == costs[1]
    assert costs[0][0] >= 1


def test_each_of_a_thousand_ports_leads_to_its_own(box: Town) -> None:
    stack = box.container("many", "--net", "net", *_flags(_THOUSAND))
    for number in (0, 499, 999):
        with closing(stack.serve(number + 1)) as server:
            port = 20000 + 2 * number
            assert [server.asked(box.stacks["away"], "tcp", at, port) for at in (LAN, LAN6)] == [AWAY, AWAY6]
            assert not server.asked(box.stacks["away"], "tcp", LAN, 20001 + 2 * number, SHORT)
    assert not is_bindable(box.stacks["host"], 20998)
    assert is_bindable(box.stacks["host"], 20999)


def test_the_first_free_one_of_a_range_is_taken(box: Town) -> None:
    for number in range(3):
        box.host.minirun("run", "-d", "--name", f"web{number}", "-p", "8000-8002:80", *SLEEP)
        assert ports_of(box.host, f"web{number}")[0] == f"80/tcp -> 0.0.0.0:{8000 + number}"
    done = box.host.minirun("run", "-d", "--name", "web3", "-p", "8000-8002:80", *SLEEP, check=False)
    assert done.returncode == 125
    assert "all ports are allocated" in done.stderr
    box.host.minirun("rm", "-f", "web1")
    box.host.minirun("run", "-d", "--name", "web4", "-p", "8000-8002:80", *SLEEP)
    assert ports_of(box.host, "web4")[0] == "80/tcp -> 0.0.0.0:8001"


def test_families_and_addresses_are_kept_apart_and_conflicts_name_the_holder(box: Town) -> None:
    host = box.host
    host.minirun("run", "-d", "--name", "six", "--net", "net", "-p", "[::1]:7000:80", *SLEEP)
    host.minirun("run", "-d", "--name", "four", "--net", "net", "-p", "127.0.0.1:7000:80", *SLEEP)
    assert ports_of(host, "six") == ["80/tcp -> [::1]:7000"]
    done = host.minirun("run", "--rm", "--net", "net", "-p", "7000:80", *SLEEP, check=False)
    assert "by container four" in done.stderr
    host.minirun("rm", "-f", "four")
    done = host.minirun("run", "--rm", "--net", "net", "-p", "7000:80", *SLEEP, check=False)
    assert "by container six" in done.stderr
    host.minirun("run", "-d", "--name", "plain", "-p", "0.0.0.0:7000:80", *SLEEP)  # IPv4 alone
    with box.stacks["host"].socket(socket.AF_INET6, socket.SOCK_STREAM) as own:
        own.bind(("::1", 7001))
        own.listen()
        done = host.minirun("run", "--rm", "--net", "net", "-p", "[::]:7001:80", *SLEEP, check=False)
        assert done.returncode == 125
        assert "7001" in done.stderr


# --- added and removed while it runs


def test_a_port_is_published_and_withdrawn_at_once(box: Town) -> None:
    host, client, own = box.host, box.stacks["away"], box.stacks["host"]
    with closing(box.container("web", "--net", "net").serve(80)) as server:
        pid = host.minirun("inspect", "-f", "{{.State.Pid}}", "web").stdout
        assert not server.asked(client, "tcp", LAN, 9090, SHORT)
        said = host.minirun("port", "add", "web", "9090:80", "9090:80/udp").stdout.splitlines()
        assert said == [f"80/{kind} -> {at}:9090" for kind in ("tcp", "udp") for at in ("0.0.0.0", "[::]")]
        assert box.seen(server, "away", (LAN, LAN6), 9090) == [AWAY, AWAY, AWAY6, AWAY6]
        assert box.seen(server, "web", (LAN, LAN6), 9090)[0] == box.addresses["net"][0]  # itself
        assert "0.0.0.0:9090->80/tcp" in host.minirun("ps", "--no-trunc").stdout
        assert '"HostPort": "9090"' in host.minirun("inspect", "web").stdout
        done = host.minirun("run", "--rm", "-p", "9090:80", "busybox", "true", check=False)
        assert "by container web" in done.stderr
        assert not is_bindable(own, 9090)
        assert "by container web" in host.minirun("port", "add", "web", "9090:81", check=False).stderr
        assert host.minirun("port", "rm", "web", "9090").stdout == "9090\n"
        assert [line for line in ports_of(host, "web") if "tcp" in line] == []
        assert not server.asked(client, "tcp", LAN, 9090, SHORT)
        assert server.asked(client, "udp", LAN, 9090) == AWAY
        assert is_bindable(own, 9090)
        assert host.minirun("port", "rm", "web", "9090/udp").stdout == "9090/udp\n"
        assert published(host) == 0
        assert host.minirun("inspect", "-f", "{{.State.Pid}}", "web").stdout == pid


def test_what_was_added_is_there_after_a_restart_with_its_number(box: Town) -> None:
    host = box.host
    host.minirun("run", "-d", "--name", "web", "--net", "net", "-p", "8080:80", *SLEEP)
    host.minirun("port", "add", "web", "81")
    host.minirun("port", "rm", "web", "8080")
    before = ports_of(host, "web")
    assert [line.partition(" ")[0] for line in before] == ["81/tcp", "81/tcp"]
    host.minirun("restart", "-t", "0", "web")
    assert ports_of(host, "web") == before
    host.minirun("stop", "-t", "0", "web")
    assert host.minirun("port", "add", "web", "8081:82").stdout == "82/tcp -> 0.0.0.0:8081\n"
    assert ports_of(host, "web") == []
    host.minirun("start", "web")
    assert set(ports_of(host, "web")) == {*before, "82/tcp -> 0.0.0.0:8081", "82/tcp -> [::]:8081"}
    host.minirun("stop", "-t", "0", "web")
    host.minirun("port", "rm", "web", "8081")
    host.minirun("start", "web")
    assert ports_of(host, "web") == before


def test_each_of_several_for_one_port_keeps_its_own_number(box: Town) -> None:
    """One that names it, one of a range, and one that is chosen; whichever goes, the others stay."""
    host = box.host
    host.minirun("run", "-d", "--name", "web", *SLEEP)
    host.minirun("port", "add", "web", "80", "9000-9010:80", "8080:80", "80")
    places = {line.rpartition(":")[2] for line in ports_of(host, "web")}
    assert len(places) == 4
    assert {"8080", "9000"} < places
    for gone in ("8080", "9000", *sorted(places - {"8080", "9000"})):
        host.minirun("restart", "-t", "0", "web")
        assert {line.rpartition(":")[2] for line in ports_of(host, "web")} == places
        host.minirun("port", "rm", "web", gone)
        places.remove(gone)
        assert {line.rpartition(":")[2] for line in ports_of(host, "web")} == places


def test_a_range_is_withdrawn_as_it_was_published(box: Town) -> None:
    host = box.host
    host.minirun("run", "-d", "--name", "web", "--net", "net", *SLEEP)
    host.minirun("port", "add", "web", "8000-8002:80-82")
    done = host.minirun("port", "rm", "web", "8001", check=False)
    assert done.returncode == 1
    assert "minirun port rm web 8000-8002/tcp" in done.stderr
    host.minirun("port", "rm", "web", "8000-8002/tcp")
    assert ports_of(host, "web") == []


def test_so_many_may_be_added_that_the_usual_limit_of_open_files_is_passed(box: Town) -> None:
    web = box.container("web", "--net", "net")
    starts = range(20000, 20000 + 17 * 64, 64)  # of each range, each port is held, in both families
    ranges = [f"{start}-{start + 63}:{start}-{start + 63}" for start in starts]
    assert len(box.host.minirun("port", "add", "web", *ranges).stdout.splitlines()) == 34
    with closing(web.serve(21087)) as server:
        assert server.asked(box.stacks["away"], "tcp", LAN, 21087) == AWAY
    assert not is_bindable(box.stacks["host"], 21087)
    box.host.minirun("restart", "-t", "0", "web")
    assert not is_bindable(box.stacks["host"], 21087)


def test_dockers_words_mean_what_they_do_in_docker(box: Town) -> None:
    """Two words are a container and its port, also of one that is called as the change is."""
    box.host.minirun("run", "-d", "--name", "add", "--net", "net", "-p", "8080:80", *SLEEP)
    assert box.host.minirun("port", "add", "80").stdout == "0.0.0.0:8080\n[::]:8080\n"
    box.host.minirun("port", "add", "add", "8081:81")
    assert box.host.minirun("port", "add", "81/tcp").stdout == "0.0.0.0:8081\n[::]:8081\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["port", "add", "host", "8080:80"], "cannot publish a port of host: it is in the host's network"),
        (["port", "add", "none", "8080:80"], "cannot publish a port of none: it has no network"),
        (["port", "add", "other", "8080:80"], "minirun port add web"),
        (["port", "add", "web", "x:80"], "x"),
        (["port", "add", "web", "8080:80/icmp"], "icmp"),
        (["port", "rm", "web", "8080"], "No public port '8080/tcp' published for web"),
        (["port", "rm", "web", "192.0.2.1:8080"], "No public port '192.0.2.1:8080/tcp' published for web"),
        (["port", "add", "nobody", "8080:80"], "No such container: nobody"),
        (["port", "add", "web", "198.51.100.9:8080:80"], "198.51.100.9"),
    ],
)
def test_what_cannot_be_is_said(box: Town, words: list[str], says: str) -> None:
    host = box.host
    for name, net in (("web", "net"), ("host", "host"), ("none", "none"), ("other", "container:web")):
        host.minirun("run", "-d", "--name", name, "--net", net, *SLEEP)
    before = Snapshot.of(host)
    done = host.minirun(*words, check=False)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert_same(host, before)


@pytest.mark.parametrize("how", ["fail", "kill"])
def test_a_fault_at_any_step_leaves_a_port_published_or_not(primed: Host, how: str) -> None:
    """Never half: what is listed is in the rules and held, and what is not listed is neither."""
    primed.minirun("run", "-d", "--name", "web", *SLEEP)
    plain = Snapshot.of(primed)
    change = {"add": ["port", "add", "web", "9090:80"], "rm": ["port", "rm", "web", "9090"]}
    own = Stack.of(primed)

    def is_published() -> bool:
        listed = ports_of(primed, "web") != []
        assert (published(primed) == 1) == listed
        assert is_bindable(own, 9090) != listed
        return listed

    for verb, back in (("add", "rm"), ("rm", "add")):
        if verb == "rm":
            primed.minirun(*change["add"])
        total = int(primed.run([*FAULTY, "count", "0", *change[verb]], env=ENV).stderr.split()[-1])
        primed.minirun(*change[back])
        assert total >= 1
        for step in range(1, total + 1):
            done = primed.run([*FAULTY, how, str(step), *change[verb]], env=ENV, check=False)
            assert "Traceback" not in done.stderr, done.stderr
            try:
                now = eventually(lambda: (is_published(),))[0]
            except AssertionError as error:
                raise AssertionError(f"{verb}: {how} at step {step} of {total}: {error}\n{done.stderr}") from None
            if how == "fail" and done.returncode:
                assert now == (verb == "rm"), f"{verb} failed at step {step}, and was done"
            if now == (verb == "add"):
                primed.minirun(*change[back])
    primed.minirun(*change["rm"], check=False)
    assert_same(primed, plain)


# --- a flow that never pauses


class Chatter:
    """A client that speaks from one UDP socket for ever."""

    def __init__(self, client: Stack, address: str, port: int) -> None:
        self._socket = client.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((address, port))
        self.port = self._socket.getsockname()[1]

    def reaches(self, server: Server, seconds: float = 2) -> bool:
        udp = server.sockets["udp", socket.AF_INET]
        udp.setblocking(False)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self._socket.send(b"still there?")
            except ConnectionRefusedError:  # what an earlier datagram met
                continue
            time.sleep(0.01)
            try:
                udp.recv(99)
            except BlockingIOError:
                continue
            return True
        return False

    def close(self) -> None:
        self._socket.close()


def flows_to(host: Host, port: int) -> set[bytes]:
    with entered(Stack.of(host).path):
        table = FlowTable()
    try:
        return {one.key for one in table.flows("udp", socket.AF_INET, port)}
    finally:
        table.close()


def test_a_udp_client_that_never_pauses_follows_its_port(box: Town) -> None:
    host, away = box.host, box.stacks["away"]
    with (
        closing(box.container("neighbour", "--net", "net", "-p", "5001:53/udp").serve(53)) as neighbour,
        closing(Chatter(away, LAN, 5001)) as to_neighbour,
        closing(Chatter(away, LAN, 5000)) as chatter,
    ):
        assert to_neighbour.reaches(neighbour)
        theirs = flows_to(host, 5001)
        with closing(box.stacks["host"].serve(5000, protocols=("udp",))) as hosts_own:
            assert chatter.reaches(hosts_own)  # published later than the flow began
        for step in ("start", "replace", "kill", "restart", "move"):
            name = f"web-{step}"
            if step == "restart":
                name = "web-kill"
                host.minirun("restart", "-t", "0", name)
            elif step == "move":
                box.container(name, "--net", "net")
                host.minirun("port", "rm", "web-kill", "5000/udp")
                host.minirun("port", "add", name, "5000:53/udp")
            else:
                box.container(name, "--net", "net", "-p", "5000:53/udp")
            with closing(Stack.of(host, name).serve(53)) as server:
                assert chatter.reaches(server), step
                assert to_neighbour.reaches(neighbour)
                assert flows_to(host, 5001) == theirs, step
            if step == "start":
                host.minirun("rm", "-f", name)
            elif step == "replace":
                pid = host.minirun("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
                host.sh(f"kill -9 $(awk '/^PPid/ {{ print $2 }}' /proc/{pid}/status)")  # its monitor
                eventually(lambda name=name: name not in host.minirun("ps", "--format", "{{.Names}}").stdout)


# --- crashes


def test_after_a_reboot_the_ports_lead_to_who_lives() -> None:
    """Nothing of the kernel's is left, all records are: with another address and another holder, no rule is stale."""
    serve = ("busybox", "httpd", "-f", "-h", "/var/www")
    first = Host()
    first.minirun("network", "create", "net")
    for name, port, *words in (("web", 8080, "--net", "net"), ("plain", 8081), ("gone", 8082)):
        policy = "no" if name == "gone" else "always"
        first.minirun("run", "-d", "--restart", policy, "--name", name, "-p", f"{port}:80", *map(str, words), *serve)
    with first.rebooted() as host:
        lan = host.neighbour()
        assert host.minirun("ps", "-q").stdout == ""
        host.minirun("run", "-d", "--name", "early", "--net", "net", *SLEEP)
        host.minirun("run", "-d", "--name", "heir", "-p", "8082:80", *serve)
        host.minirun("system", "start")
        for port in (8080, 8081, 8082):
            fetch = ["timeout", "2", "busybox", "wget", "-qO-", f"http://{lan.host_address}:{port}/"]
            assert eventually(lambda fetch=fetch: lan.run(fetch, check=False).stdout)
        listed = [line for name in ("web", "plain", "heir") for line in ports_of(host, name)]
        assert published(host) == len(listed)
        assert "by container heir" in host.minirun("start", "gone", check=False).stderr
        host.minirun("rm", "-f", "web", "plain", "gone", "early", "heir")
        host.minirun("network", "rm", "net")
        assert published(host) == 0


# --- ready when it is ready

LATE = "sleep 0.4; exec httpd -f -h /var/www -p "


def test_run_and_start_wait_until_all_ports_are_listened_on(box: Town) -> None:
    host = box.host
    fetch = ["timeout", "3", "busybox", "wget", "-qO-", "http://127.0.0.1:8080/"]
    for words in (
        ("run", "-d", "--wait", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", LATE + "80"),
        ("start", "--wait", "--wait-timeout", "5", "web"),
    ):
        began = time.monotonic()
        host.minirun(*words)
        assert 0.4 < time.monotonic() - began < 3
        assert host.run(fetch).stdout
        host.minirun("stop", "-t", "0", "web")


def test_run_waits_for_health_where_it_is_checked(box: Town) -> None:
    flags = ("--health-cmd", "test -e /tmp/well", "--health-interval", "100ms", "--health-retries", "30")
    box.host.minirun(
        "run", "-d", "--wait", "--name", "web", *flags, "busybox", "sh", "-c", "sleep 0.5; >/tmp/well; sleep 99"
    )
    assert box.host.minirun("inspect", "-f", "{{.State.Health.Status}}", "web").stdout == "healthy\n"


def test_wait_listening_needs_neither_a_connection_nor_a_program_inside(box: Town) -> None:
    """By either protocol and family, for several containers, and by what shares their namespace."""
    host = box.host
    web = box.container("web", "--net", "net")
    host.minirun("run", "-d", "--name", "side", "--net", "container:web", *SLEEP)
    waiting = host.popen([MINIRUN, "wait", "--listening", "80", "--listening", "53/udp", "web", "side"], stdout=-1)
    time.sleep(0.3)
    assert waiting.poll() is None
    with closing(web.serve(80, protocols=("tcp",))) as server:
        time.sleep(0.2)
        assert waiting.poll() is None
        with closing(web.serve(53, "::", protocols=("udp",))):
            assert waiting.wait(3) == 0
        assert waiting.stdout is not None
        assert waiting.stdout.read() == b"web\nside\n"
        assert server.heard() == 0


@pytest.mark.parametrize(
    ("script", "words", "says"),
    [
        (
            "exec httpd -f -p 81",
            ["wait", "--listening", "80", "--timeout", "0.3"],
            "does not listen on 80/tcp; it listens",
        ),
        ("exec sleep 99", ["wait", "--listening", "80/udp", "--timeout", "0.1"], "listens on nothing"),
        ("sleep 0.3; exit 3", ["wait", "--listening", "80"], "has ended (exit code 3), and was not ready before"),
    ],
)
def test_what_does_not_become_ready_is_told(box: Town, script: str, words: list[str], says: str) -> None:
    box.host.minirun("run", "-d", "--name", "web", "busybox", "sh", "-c", script)
    done = box.host.minirun(*words, "web", check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert says in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "--wait", "busybox", "true"], "--wait goes with --detach"),
        (["run", "-d", "--wait-timeout", "3", "busybox", "true"], "--wait-timeout goes with --wait"),
        (["run", "-d", "--wait", "--wait-timeout", "0.2", "-p", "80", *SLEEP], "does not listen on 80/tcp"),
        (["run", "-d", "--wait", "-p", "80", "busybox", "false"], "has ended (exit code 1)"),
        (["run", "-d", "--wait", "--wait-timeout", "soon", "-p", "80", *SLEEP], "soon"),
    ],
)
def test_a_wait_that_cannot_be(box: Town, words: list[str], says: str) -> None:
    done = box.host.minirun(*words, check=False)
    assert done.returncode != 0
    assert says in done.stderr


def test_a_published_port_that_nobody_can_reach_is_warned_of(box: Town) -> None:
    """Its listener is on the container's own loopback."""
    script = "exec httpd -f -h /var/www -p 127.0.0.1:80"
    done = box.host.minirun("run", "-d", "--wait", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", script)
    assert "WARNING: port 80/tcp of web is published, but its program listens on 127.0.0.1" in done.stderr
    assert "Make it listen on 0.0.0.0" in done.stderr
    assert "WARNING" in box.host.minirun("wait", "--listening", "80", "web").stderr
    address = box.host.minirun("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web").stdout.strip()
    with closing(Stack.of(box.host, "web").serve(80, address, protocols=("tcp",))):
        assert box.host.minirun("wait", "--listening", "80", "web").stderr == ""
