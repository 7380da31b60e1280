"""Ports published and withdrawn while the container runs: at once, kept over a restart, and whole at any fault."""

from contextlib import closing

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.fault_sweep import Done, sweep_faults
from tests.harness.lan_topology import AWAY, AWAY6, LAN, LAN6, LanTopology
from tests.harness.netns_sockets import SHORT, Netns
from tests.integration.network.port_tools import SLEEP, is_bindable, ports_of, published


def test_a_port_is_published_and_withdrawn_at_once(box: LanTopology) -> None:
    host, client, own = box.host, box.netns["away"], box.netns["host"]
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


def test_what_was_added_is_there_after_a_restart_with_its_number(box: LanTopology) -> None:
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


def test_each_of_several_for_one_port_keeps_its_own_number(box: LanTopology) -> None:
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


def test_a_range_is_withdrawn_as_it_was_published(box: LanTopology) -> None:
    host = box.host
    host.minirun("run", "-d", "--name", "web", "--net", "net", *SLEEP)
    host.minirun("port", "add", "web", "8000-8002:80-82")
    done = host.minirun("port", "rm", "web", "8001", check=False)
    assert done.returncode == 1
    assert "minirun port rm web 8000-8002/tcp" in done.stderr
    host.minirun("port", "rm", "web", "8000-8002/tcp")
    assert ports_of(host, "web") == []


def test_so_many_may_be_added_that_the_usual_limit_of_open_files_is_passed(box: LanTopology) -> None:
    web = box.container("web", "--net", "net")
    starts = range(20000, 20000 + 17 * 64, 64)  # of each range, each port is held, in both families
    ranges = [f"{start}-{start + 63}:{start}-{start + 63}" for start in starts]
    assert len(box.host.minirun("port", "add", "web", *ranges).stdout.splitlines()) == 34
    with closing(web.serve(21087)) as server:
        assert server.asked(box.netns["away"], "tcp", LAN, 21087) == AWAY
    assert not is_bindable(box.netns["host"], 21087)
    box.host.minirun("restart", "-t", "0", "web")
    assert not is_bindable(box.netns["host"], 21087)


def test_dockers_words_mean_what_they_do_in_docker(box: LanTopology) -> None:
    """Two words are a container and its port, also of one that is called as the change is."""
    box.host.minirun("run", "-d", "--name", "add", "--net", "net", "-p", "8080:80", *SLEEP)
    assert box.host.minirun("port", "add", "80").stdout == "0.0.0.0:8080\n[::]:8080\n"
    box.host.minirun("port", "add", "add", "8081:81")
    assert box.host.minirun("port", "add", "81/tcp").stdout == "0.0.0.0:8081\n[::]:8081\n"


REFUSALS = [
    ("add host 8080:80", "cannot publish a port of host: it is in the host's network"),
    ("add none 8080:80", "cannot publish a port of none: it has no network"),
    ("add other 8080:80", "minirun port add web"),
    ("add web x:80", "x"),
    ("add web 8080:80/icmp", "icmp"),
    ("rm web 8080", "No public port '8080/tcp' published for web"),
    ("rm web 192.0.2.1:8080", "No public port '192.0.2.1:8080/tcp' published for web"),
    ("add nobody 8080:80", "No such container: nobody"),
    ("add web 198.51.100.9:8080:80", "198.51.100.9"),
]


def test_what_cannot_be_is_said(box: LanTopology) -> None:
    host = box.host
    for name, net in (("web", "net"), ("host", "host"), ("none", "none"), ("other", "container:web")):
        host.minirun("run", "-d", "--name", name, "--net", net, *SLEEP)
    before = Snapshot.of(host)
    for words, says in REFUSALS:
        done = host.minirun("port", *words.split(), check=False)
        assert done.returncode == 1, words
        assert says in done.stderr, words
        assert "Traceback" not in done.stderr, words
        assert_same(host, before)


@pytest.mark.parametrize("how", ["fail", "kill"])
def test_a_fault_at_any_step_leaves_a_port_published_or_not(primed: Host, how: str) -> None:
    """Never half: what is listed is in the rules and held, and what is not listed is neither."""
    primed.minirun("run", "-d", "--name", "web", *SLEEP)
    plain = Snapshot.of(primed)
    change = {"add": ["port", "add", "web", "9090:80"], "rm": ["port", "rm", "web", "9090"]}
    own = Netns.of(primed)

    def is_published() -> bool:
        listed = ports_of(primed, "web") != []
        assert (published(primed) == 1) == listed
        assert is_bindable(own, 9090) != listed
        return listed

    for verb, back in (("add", "rm"), ("rm", "add")):
        if verb == "rm":
            primed.minirun(*change["add"])

        def check(done: Done, verb: str = verb, back: str = back) -> None:
            now = eventually(lambda: (is_published(),))[0]
            if how == "fail" and done.returncode:
                assert now == (verb == "rm"), f"{verb} failed, and was done"
            if now == (verb == "add"):
                primed.minirun(*change[back])

        sweep_faults(primed, how, change[verb], check)
    primed.minirun(*change["rm"], check=False)
    assert_same(primed, plain)
