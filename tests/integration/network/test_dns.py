"""Names on custom networks: who is found by which name, what is asked of others, and the resolver's life."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Host, Neighbour, Snapshot, assert_same, eventually
from tests.harness.dns_client import SERVER, ask
from tests.harness.dns_upstream import Upstream, use_resolv_conf
from tests.harness.host import MINIRUN

SLEEP = ("busybox", "sleep", "1000")


NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


PROCESS = "ps axo pid=,args= | awk '/[m]inirun.network.dns/{print $1}'"


class Town:
    """A host with two networks, their members, and resolvers to ask about the world."""

    def __init__(self, host: Host) -> None:
        self.host = host
        use_resolv_conf(host, "nameserver 127.0.0.53\nsearch lan.example\noptions timeout:3\n")
        self.upstream = Upstream(host, "127.0.0.53", "198.51.100.7")
        self.lan: Neighbour = host.neighbour(default_route=True)
        self.other = Upstream(self.lan, self.lan.address, "198.51.100.8")
        host.minirun("network", "create", "red", "--subnet", "10.1.0.0/24")
        host.minirun("network", "create", "blue", "--subnet", "10.2.0.0/24", "--ipv6", "--subnet", "fd02::/64")
        host.minirun("network", "create", "sealed", "--internal", "--subnet", "10.3.0.0/24")
        self.run("web", "--net", "red", "--hostname", "site", "--network-alias", "www")
        self.run("web2", "--net", "red", "--network-alias", "www")
        self.run("client", "--net", "red", "--link", "web:store")
        self.run("far", "--net", "blue", "--network-alias", "www", "--network-alias", "only")
        self.run("both", "--net", "blue", "--net", "red")
        self.run("inner", "--net", "sealed")
        self.run("plain")

    def run(self, name: str, *flags: str) -> None:
        self.host.minirun("run", "-d", "--name", name, *flags, *SLEEP)

    def found(self, netns: str, name: str, kind: str = "A") -> list[str]:
        reply = ask(self.host, netns, name, kind)
        assert reply.code == NOERROR
        return reply.found

    def resolver(self) -> str:
        return self.host.sh(PROCESS).strip()


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with Host() as host:
        yield Town(host)


def test_a_container_is_found_by_each_of_its_names(town: Town) -> None:
    web = ["10.1.0.2"]
    short = json.loads(town.host.minirun("inspect", "web").stdout)[0]["Id"][:12]
    for name in ("web", "WEB", "site", short, "web.red", "Site.Red"):
        assert town.found("client", name) == web, name
    assert "10.1.0.2" in town.host.minirun("exec", "client", "ping", "-c", "1", "web").stdout
    assert town.found("client", "host.minirun.internal") == ["10.1.0.1"]
    assert town.found("far", "host.minirun.internal", "AAAA") == ["fd02::1"]
    assert town.found("client", "2.0.1.10.in-addr.arpa", "PTR") == ["web.red"]
    assert "web.red" in town.host.minirun("exec", "client", "nslookup", "10.1.0.2").stdout
    assert ask(town.host, "client", "77.0.1.10.in-addr.arpa", "PTR").code == NXDOMAIN


def test_a_name_is_known_only_where_its_container_is(town: Town) -> None:
    town.upstream.asked()
    assert town.found("client", "far") == ["198.51.100.7"]  # what the rest of the world says
    assert town.found("client", "web.blue") == ["198.51.100.7"]
    assert town.found("client", "store") == ["10.1.0.2"]  # by --link
    assert town.found("web2", "store") == ["198.51.100.7"]  # which is the linking container's alone
    assert town.found("client", "plain") == ["198.51.100.7"]
    assert [line.split()[0] for line in town.upstream.asked()] == ["far", "web.blue", "store", "plain"]
    assert "169.254" not in town.host.minirun("exec", "plain", "cat", "/etc/resolv.conf").stdout
    assert "169.254" not in town.host.sh("ip -n plain route")


def test_several_networks_are_searched_in_the_order_of_the_asker(town: Town) -> None:
    assert town.found("both", "www") == ["10.2.0.2"]
    assert town.found("both", "web") == ["10.1.0.2"]
    assert sorted(town.found("both", "www.red")) == ["10.1.0.2", "10.1.0.3"]
    assert town.found("both", "host.minirun.internal") == ["10.2.0.1"]


def test_those_who_share_an_alias_take_turns(town: Town) -> None:
    answers = [tuple(town.found("client", "www")) for _ in range(4)]
    assert set(answers) == {("10.1.0.2", "10.1.0.3"), ("10.1.0.3", "10.1.0.2")}


def test_ipv6_is_told_where_there_is_some_and_no_other_is_asked_where_not(town: Town) -> None:
    address6 = json.loads(town.host.minirun("inspect", "far").stdout)[0]["NetworkSettings"]["Networks"]["blue"]
    assert town.found("both", "only", "AAAA") == [address6["GlobalIPv6Address"]]
    town.upstream.asked()
    for kind in ("AAAA", "MX", "TXT"):
        assert town.found("client", "web", kind) == []
    assert town.upstream.asked() == []


def test_the_rest_of_the_world_is_asked_of_the_hosts_resolvers(town: Town) -> None:
    assert town.found("client", "example.com") == ["198.51.100.7"]
    reply = ask(town.host, "client", "big.example")
    assert (reply.is_cut, reply.found) == (True, [])
    assert len(ask(town.host, "client", "big.example", stream=True).found) == 100
    assert town.upstream.asked() == ["example.com 1 udp", "big.example 1 udp", "big.example 1 tcp"]
    use_resolv_conf(
        town.host, f"nameserver 127.0.0.53\nnameserver {town.lan.address}\nsearch lan.example\noptions timeout:3\n"
    )
    assert town.found("client", "example.com") == ["198.51.100.7"]
    began = time.monotonic()
    assert ask(town.host, "client", "broken.example").code == SERVFAIL
    assert time.monotonic() - began < 1.5  # no waiting for one that has answered
    assert town.other.asked() == ["broken.example 1 udp"]
    use_resolv_conf(
        town.host, f"nameserver 127.0.0.99\nnameserver {town.lan.address}\nsearch lan.example\noptions timeout:3\n"
    )
    assert town.found("client", "example.com") == ["198.51.100.8"]  # refused by the first
    use_resolv_conf(town.host, "nameserver 127.0.0.53\nsearch lan.example\noptions timeout:3\n")


def test_dns_is_whom_to_ask_for_it(town: Town) -> None:
    town.run(
        "chooser", "--net", "red", "--dns", town.lan.address, "--dns-search", "x.example", "--dns-option", "ndots:2"
    )
    assert town.found("chooser", "example.com") == ["198.51.100.8"]
    assert town.found("chooser", "web") == ["10.1.0.2"]
    text = town.host.minirun("exec", "chooser", "cat", "/etc/resolv.conf").stdout
    assert text == f"nameserver {SERVER}\nsearch x.example\noptions ndots:2\n"
    text = town.host.minirun("exec", "client", "cat", "/etc/resolv.conf").stdout
    assert text == f"nameserver {SERVER}\nsearch lan.example\noptions timeout:3 ndots:0\n"
    town.upstream.asked()
    town.run("selfish", "--net", "red", "--dns", "127.0.0.53")  # its own loopback, not the host's
    assert ask(town.host, "selfish", "example.com").code == SERVFAIL
    assert town.upstream.asked() == []
    town.host.minirun("rm", "-f", "chooser", "selfish")


def test_nothing_leaks_from_an_internal_network(town: Town) -> None:
    town.upstream.asked(), town.other.asked()
    assert town.found("inner", "inner") == ["10.3.0.2"]
    assert ask(town.host, "inner", "secret.example").code == SERVFAIL
    assert ask(town.host, "inner", "secret.example", stream=True).code == SERVFAIL
    town.run("sneaky", "--net", "sealed", "--dns", town.lan.address)
    assert ask(town.host, "sneaky", "secret.example").code == SERVFAIL
    assert (town.upstream.asked(), town.other.asked()) == ([], [])
    town.host.minirun("rm", "-f", "sneaky")


def test_tcp_and_what_does_not_fit(town: Town) -> None:
    assert ask(town.host, "client", "web", stream=True).found == ["10.1.0.2"]
    names = [f"many{number}" for number in range(3)]
    for name in names:
        town.run(name, "--net", "red", *(word for n in range(3) for word in ("--network-alias", f"all{n}")))
    assert len(town.found("client", "all1")) == 3
    assert ask(town.host, "client", "all1", size=1400).extra == 1  # who speaks EDNS is spoken to in it
    town.host.minirun("rm", "-f", *names)


def test_the_container_has_port_53_to_itself(town: Town) -> None:
    town.run("server", "--net", "red")
    Upstream(town.host, "0.0.0.0", "198.51.100.9", netns="server")
    assert town.found("server", "web") == ["10.1.0.2"]
    (address,) = town.found("client", "server")
    for stream in (False, True):
        assert ask(town.host, "client", "web", server=address, stream=stream).found == ["198.51.100.9"]
    town.host.minirun("rm", "-f", "server")


def test_who_flushes_its_own_rules_does_not_lose_it(town: Town) -> None:
    town.run("admin", "--net", "red", "--cap-add", "NET_ADMIN")
    inside = ["nsenter", "--net=/run/netns/admin"]
    assert town.host.run([*inside, "nft", "list", "ruleset"]).stdout == ""  # there is nothing to be lost
    town.host.run([*inside, "nft", "flush", "ruleset"])
    assert town.found("admin", "web") == ["10.1.0.2"]
    town.host.minirun("rm", "-f", "admin")


def test_the_resolver_is_no_way_into_another_network(town: Town) -> None:
    """Its namespace has a leg in both: it neither forwards, nor believes who is not where he says he is."""
    town.run("rogue", "--net", "red", "--cap-add", "NET_ADMIN")
    enter = "nsenter --net=/run/netns/rogue"
    town.host.sh("sysctl -qw net.ipv4.ip_forward=1")
    town.host.sh(f"{enter} ip route add 10.2.0.0/24 via {SERVER} dev eth0 onlink")
    town.host.popen([MINIRUN, "exec", "far", "nc", "-l", "-p", "99"])
    eventually(lambda: town.host.sh("ip netns exec far ss -Hltn sport = 99"))
    assert town.host.run(["sh", "-c", f"{enter} timeout 2 busybox nc 10.2.0.2 99 < /dev/null"], check=False).returncode
    assert town.host.run(["sh", "-c", f"{enter} ping -c 1 -W 1 10.2.0.2"], check=False).returncode
    town.host.sh(f"{enter} ip address add 10.2.0.2/32 dev eth0; {enter} ip route change {SERVER} dev eth0 src 10.2.0.2")
    with pytest.raises(AssertionError, match="timed out"):
        ask(town.host, "rogue", "far", patience=1)
    town.host.minirun("rm", "-f", "rogue")


@pytest.mark.parametrize("chain", ["input", "forward", "output"])
def test_others_may_drop_what_they_like(town: Town, chain: str) -> None:
    """No packet of a question passes a chain of the host's."""
    switch = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    town.host.sh(f"[ ! -e {switch} ] || echo 0 > {switch}")
    rules = f"table inet foreign {{ chain drops {{ type filter hook {chain} priority 0; policy drop; }}; }}"
    town.host.run(["nft", "-f", "-"], input=rules.replace(";", ";\n").replace("}", "\n}\n"))
    try:
        assert town.found("client", "web") == ["10.1.0.2"]
        assert ask(town.host, "client", "web", stream=True).found == ["10.1.0.2"]
    finally:
        town.host.sh("nft delete table inet foreign")


def test_rubbish_and_greed_keep_nobody_from_an_answer(town: Town) -> None:
    before = town.resolver()
    script = (
        "import os, socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"for n in range(3000): s.sendto(os.urandom(n % 60), ('{SERVER}', 53))\n"
        "held = []\n"
        "for n in range(40):\n"
        f"    t = socket.create_connection(('{SERVER}', 53)); t.sendall(os.urandom(n)); held.append(t)\n"
        "q = b'\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\6silent\\7example\\0\\0\\1\\0\\1'\n"
        f"for n in range(200): s.sendto(q, ('{SERVER}', 53))\n"
        "print('done', flush=True); import time; time.sleep(60)"
    )
    greedy = town.host.popen(["nsenter", "--net=/run/netns/web2", "python3", "-c", script], stdout=subprocess.PIPE)
    assert greedy.stdout is not None
    assert greedy.stdout.readline() == b"done\n"
    assert ask(town.host, "web2", "example.com").code == REFUSED  # it has too many questions under way
    assert town.found("client", "web") == ["10.1.0.2"]
    assert ask(town.host, "client", "web", stream=True).found == ["10.1.0.2"]
    assert ask(town.host, "client", "example.com").found == ["198.51.100.7"]
    greedy.kill()
    greedy.wait()
    assert town.resolver() == before
    assert town.host.sh("cat /var/lib/minirun/resolver.log") == ""


def test_an_address_that_changes_hands_is_known_at_once(town: Town) -> None:
    town.run("first", "--net", "red", "--ip", "10.1.0.99")
    assert town.found("client", "first") == ["10.1.0.99"]
    town.host.minirun("rm", "-f", "first")
    assert town.found("client", "first") == ["198.51.100.7"]
    town.run("second", "--net", "red", "--ip", "10.1.0.99")
    assert town.found("client", "99.0.1.10.in-addr.arpa", "PTR") == ["second.red"]
    town.host.minirun("rename", "second", "third")
    assert town.found("client", "third") == ["10.1.0.99"]
    assert town.found("third", "web") == ["10.1.0.2"]
    town.host.minirun("rm", "-f", "third")


def test_killed_it_comes_back_and_the_containers_stay(town: Town) -> None:
    state = "{{.State.Pid}} {{.State.StartedAt}} {{.RestartCount}}"
    before = town.host.minirun("inspect", "--format", state, "client").stdout
    for _ in range(3):
        old = town.resolver()
        town.host.sh(f"kill -9 {old}")
        new = eventually(lambda old=old: (found := town.resolver()) and found != old and found)
        assert town.found("client", "web") == ["10.1.0.2"]
        assert len(str(new).split()) == 1
    assert town.host.minirun("inspect", "--format", state, "client").stdout == before
    assert "defunct" not in town.host.sh("ps axo args")


def test_with_its_namespace_removed_the_next_start_makes_it_anew(town: Town) -> None:
    town.host.sh("ip netns del minirun-dns")
    town.run("late", "--net", "red")
    assert town.found("late", "web") == ["10.1.0.2"]
    # The leg of one that was there before.
    assert eventually(lambda: ask(town.host, "far", "only", patience=1).found) == ["10.2.0.2"]
    town.host.minirun("rm", "-f", "late")


def test_who_shares_a_namespace_shares_its_names_and_keeps_the_resolver(host: Host) -> None:
    host.minirun("network", "create", "red", "--subnet", "10.1.0.0/24")
    host.minirun("run", "-d", "--name", "web", "--net", "red", *SLEEP)
    host.minirun("run", "-d", "--name", "guest", "--net", "container:web", *SLEEP)
    assert "web.red" in host.minirun("exec", "guest", "nslookup", "10.1.0.2", check=False).stdout
    host.minirun("stop", "-t", "0", "web")
    time.sleep(1.2)
    old = host.sh(PROCESS).strip()
    host.sh(f"kill -9 {old}")
    eventually(lambda: (found := host.sh(PROCESS).strip()) and found != old)
    assert "10.1.0.1" in host.minirun("exec", "guest", "nslookup", "host.minirun.internal", check=False).stdout


def test_quick_runs_in_parallel_and_in_series_leave_nothing(primed: Host) -> None:
    """The first question of each container is answered, whatever state the resolver is in: there, ending, gone."""
    use_resolv_conf(primed, "nameserver 127.0.0.99\n")
    primed.minirun("network", "create", "red", "--subnet", "10.1.0.0/24")
    before = Snapshot.of(primed)
    words = [MINIRUN, "run", "--rm", "--net", "red", "busybox", "nslookup", "host.minirun.internal"]
    for number in range(8):
        runs = [primed.popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(1 + number % 4)]
        for process in runs:
            out, err = process.communicate(timeout=60)
            assert b"10.1.0.1" in out, (number, out, err)
        time.sleep(0.75 + 0.07 * number)  # about as long as it waits before it ends
    assert_same(primed, before, 5)


def test_killed_together_with_its_last_container_it_leaves_nothing(primed: Host) -> None:
    primed.minirun("network", "create", "red")
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--name", "web", "--net", "red", *SLEEP)
    primed.sh(f"kill -9 $({PROCESS}) $(pgrep -f '[m]inirun run -d --name web')")
    primed.minirun("rm", "-f", "web")
    assert_same(primed, before, 5)
    primed.minirun("run", "--rm", "--net", "red", "busybox", "true")
    primed.minirun("network", "rm", "red")
    assert "mrd-" not in primed.sh("ip link")


def test_the_name_of_its_namespace_is_nobody_elses(primed: Host) -> None:
    done = primed.minirun("create", "--name", "minirun-dns", "busybox", "true", check=False)
    assert done.returncode == 1
    assert "reserved for the DNS server" in done.stderr


def test_the_process_loads_no_room_above_the_network() -> None:
    """It lives as long as any container on a custom network does, and needs no command line and no engine."""
    script = "import sys, minirun.network.dns.process; print(*sys.modules)"
    loaded = subprocess.run(
        [str(Path(MINIRUN).with_name("python")), "-I", "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    rooms = {name.split(".")[1] for name in loaded if name.startswith("minirun.")}
    assert "network" in rooms
    assert rooms <= {"errors", "model", "config", "instance", "store", "kernel", "network"}
    assert not {"typer", "click", "rich"} & set(loaded)
