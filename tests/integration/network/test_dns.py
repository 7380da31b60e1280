"""Names on custom networks: which names resolve, which queries are forwarded, and when the DNS server runs."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import Host, Neighbour, Snapshot, assert_same, eventually
from tests.harness.dns_client import SERVER, ask
from tests.harness.dns_upstream import Upstream, use_resolv_conf
from tests.harness.host import MINIRUN

SLEEP = ("busybox", "sleep", "1000")


NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


SERVER_IN_ITS_NAMESPACE = "169.254.53.53"
PROCESS = "ps axwwo pid=,args= | awk '/[m]inirun.network.dns/{print $1}'"


class DnsHost:
    """A host with three custom networks, their members, and two upstream DNS servers."""

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

    def resolve(self, netns: str, name: str, kind: str = "A") -> list[str]:
        reply = ask(self.host, netns, name, kind)
        assert reply.code == NOERROR
        return reply.found

    def server_pid(self) -> str:
        return self.host.sh(PROCESS).strip()


@pytest.fixture(scope="module")
def dns_host() -> Iterator[DnsHost]:
    with Host() as host:
        yield DnsHost(host)


def test_a_container_is_found_by_each_of_its_names(dns_host: DnsHost) -> None:
    web = ["10.1.0.2"]
    short = json.loads(dns_host.host.minirun("inspect", "web").stdout)[0]["Id"][:12]
    for name in ("web", "WEB", "site", short, "web.red", "Site.Red"):
        assert dns_host.resolve("client", name) == web, name
    assert "10.1.0.2" in dns_host.host.minirun("exec", "client", "ping", "-c", "1", "web").stdout
    assert dns_host.resolve("client", "host.minirun.internal") == ["10.1.0.1"]
    assert dns_host.resolve("far", "host.minirun.internal", "AAAA") == ["fd02::1"]
    assert dns_host.resolve("client", "2.0.1.10.in-addr.arpa", "PTR") == ["web.red"]
    assert "web.red" in dns_host.host.minirun("exec", "client", "nslookup", "10.1.0.2").stdout
    assert ask(dns_host.host, "client", "77.0.1.10.in-addr.arpa", "PTR").code == NXDOMAIN


def test_a_name_is_known_only_where_its_container_is(dns_host: DnsHost) -> None:
    dns_host.upstream.asked()
    assert dns_host.resolve("client", "far") == ["198.51.100.7"]  # from upstream
    assert dns_host.resolve("client", "web.blue") == ["198.51.100.7"]
    assert dns_host.resolve("client", "store") == ["10.1.0.2"]  # by --link
    assert dns_host.resolve("web2", "store") == ["198.51.100.7"]  # a link belongs to the linking container alone
    assert dns_host.resolve("client", "plain") == ["198.51.100.7"]
    assert [line.split()[0] for line in dns_host.upstream.asked()] == ["far", "web.blue", "store", "plain"]
    assert SERVER not in dns_host.host.minirun("exec", "plain", "cat", "/etc/resolv.conf").stdout
    assert SERVER not in dns_host.host.sh("ip -n plain route show table all")


def test_several_networks_are_searched_in_the_clients_order(dns_host: DnsHost) -> None:
    assert dns_host.resolve("both", "www") == ["10.2.0.2"]
    assert dns_host.resolve("both", "web") == ["10.1.0.2"]
    assert sorted(dns_host.resolve("both", "www.red")) == ["10.1.0.2", "10.1.0.3"]
    assert dns_host.resolve("both", "host.minirun.internal") == ["10.2.0.1"]


def test_containers_that_share_an_alias_take_turns(dns_host: DnsHost) -> None:
    answers = [tuple(dns_host.resolve("client", "www")) for _ in range(4)]
    assert set(answers) == {("10.1.0.2", "10.1.0.3"), ("10.1.0.3", "10.1.0.2")}


def test_ipv6_addresses_and_no_forwarding_of_known_names(dns_host: DnsHost) -> None:
    address6 = json.loads(dns_host.host.minirun("inspect", "far").stdout)[0]["NetworkSettings"]["Networks"]["blue"]
    assert dns_host.resolve("both", "only", "AAAA") == [address6["GlobalIPv6Address"]]
    dns_host.upstream.asked()
    for kind in ("AAAA", "MX", "TXT"):
        assert dns_host.resolve("client", "web", kind) == []
    assert dns_host.upstream.asked() == []


def test_other_names_are_forwarded_to_the_hosts_resolvers(dns_host: DnsHost) -> None:
    assert dns_host.resolve("client", "example.com") == ["198.51.100.7"]
    reply = ask(dns_host.host, "client", "big.example")
    assert (reply.is_cut, reply.found) == (True, [])
    assert len(ask(dns_host.host, "client", "big.example", stream=True).found) == 100
    assert dns_host.upstream.asked() == ["example.com 1 udp", "big.example 1 udp", "big.example 1 tcp"]
    use_resolv_conf(
        dns_host.host,
        f"nameserver 127.0.0.53\nnameserver {dns_host.lan.address}\nsearch lan.example\noptions timeout:3\n",
    )
    assert dns_host.resolve("client", "example.com") == ["198.51.100.7"]
    idle = _seconds(lambda: ask(dns_host.host, "client", "web"))  # what the test's own client takes on this machine
    failing = _seconds(lambda: ask(dns_host.host, "client", "broken.example"))
    assert failing - idle < 1.5  # a failure is passed on without waiting for the timeout
    assert ask(dns_host.host, "client", "broken.example").code == SERVFAIL
    assert dns_host.other.asked() == ["broken.example 1 udp"] * 2
    use_resolv_conf(
        dns_host.host,
        f"nameserver 127.0.0.99\nnameserver {dns_host.lan.address}\nsearch lan.example\noptions timeout:3\n",
    )
    assert dns_host.resolve("client", "example.com") == ["198.51.100.8"]  # refused by the first
    use_resolv_conf(dns_host.host, "nameserver 127.0.0.53\nsearch lan.example\noptions timeout:3\n")


def _seconds(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def test_the_dns_option_chooses_the_upstream_servers(dns_host: DnsHost) -> None:
    dns_host.run(
        "chooser", "--net", "red", "--dns", dns_host.lan.address, "--dns-search", "x.example", "--dns-option", "ndots:2"
    )
    assert dns_host.resolve("chooser", "example.com") == ["198.51.100.8"]
    assert dns_host.resolve("chooser", "web") == ["10.1.0.2"]
    text = dns_host.host.minirun("exec", "chooser", "cat", "/etc/resolv.conf").stdout
    assert text == f"nameserver {SERVER}\nsearch x.example\noptions ndots:2\n"
    text = dns_host.host.minirun("exec", "client", "cat", "/etc/resolv.conf").stdout
    assert text == f"nameserver {SERVER}\nsearch lan.example\noptions timeout:3 ndots:0\n"
    dns_host.upstream.asked()
    dns_host.run("selfish", "--net", "red", "--dns", "127.0.0.53")  # its own loopback, not the host's
    assert ask(dns_host.host, "selfish", "example.com").code == SERVFAIL
    assert dns_host.upstream.asked() == []
    dns_host.host.minirun("rm", "-f", "chooser", "selfish")


def test_servers_out_of_reach_are_passed_over_at_once(dns_host: DnsHost) -> None:
    """Neither the host nor the containers have a route to them, and the host has no such interface."""
    far_away = ("2001:db8::53", "fe80::1%nowhere0")
    use_resolv_conf(dns_host.host, "".join(f"nameserver {server}\n" for server in (*far_away, "127.0.0.53")))
    dns_host.run("picky", "--net", "red", "--dns", far_away[0], "--dns", dns_host.lan.address)
    dns_host.run("plain2")
    idle = _seconds(lambda: ask(dns_host.host, "client", "web"))
    for name, answer in (("client", "198.51.100.7"), ("picky", "198.51.100.8")):
        assert _seconds(lambda name=name, answer=answer: _expect(dns_host, name, answer)) - idle < 1.5  # type: ignore[misc]
    assert dns_host.host.minirun("exec", "plain2", "cat", "/etc/resolv.conf").stdout.startswith("nameserver 8.8.8.8\n")
    dns_host.host.minirun("rm", "-f", "picky", "plain2")
    use_resolv_conf(dns_host.host, "nameserver 127.0.0.53\nsearch lan.example\noptions timeout:3\n")


def _expect(dns_host: DnsHost, netns: str, address: str) -> None:
    assert dns_host.resolve(netns, "example.com") == [address]


def test_nothing_leaks_from_an_internal_network(dns_host: DnsHost) -> None:
    dns_host.upstream.asked(), dns_host.other.asked()
    assert dns_host.resolve("inner", "inner") == ["10.3.0.2"]
    assert ask(dns_host.host, "inner", "secret.example").code == SERVFAIL
    assert ask(dns_host.host, "inner", "secret.example", stream=True).code == SERVFAIL
    dns_host.run("sneaky", "--net", "sealed", "--dns", dns_host.lan.address)
    assert ask(dns_host.host, "sneaky", "secret.example").code == SERVFAIL
    assert (dns_host.upstream.asked(), dns_host.other.asked()) == ([], [])
    dns_host.host.minirun("rm", "-f", "sneaky")


def test_tcp_and_truncated_replies(dns_host: DnsHost) -> None:
    assert ask(dns_host.host, "client", "web", stream=True).found == ["10.1.0.2"]
    names = [f"many{number}" for number in range(3)]
    for name in names:
        dns_host.run(name, "--net", "red", *(word for n in range(3) for word in ("--network-alias", f"all{n}")))
    assert len(dns_host.resolve("client", "all1")) == 3
    assert ask(dns_host.host, "client", "all1", size=1400).extra == 1  # who speaks EDNS is spoken to in it
    dns_host.host.minirun("rm", "-f", *names)


def test_the_container_has_port_53_to_itself(dns_host: DnsHost) -> None:
    dns_host.run("server", "--net", "red")
    Upstream(dns_host.host, "0.0.0.0", "198.51.100.9", netns="server")
    assert dns_host.resolve("server", "web") == ["10.1.0.2"]
    assert ask(dns_host.host, "server", "web", stream=True).found == ["10.1.0.2"]
    assert ask(dns_host.host, "server", "web", server="127.0.0.1").found == ["198.51.100.9"]
    (address,) = dns_host.resolve("client", "server")
    for stream in (False, True):
        assert ask(dns_host.host, "client", "web", server=address, stream=stream).found == ["198.51.100.9"]
    dns_host.host.minirun("rm", "-f", "server")


def test_flushing_the_containers_own_rules_keeps_names(dns_host: DnsHost) -> None:
    dns_host.run("admin", "--net", "red", "--cap-add", "NET_ADMIN")
    inside = ["nsenter", "--net=/run/netns/admin"]
    assert dns_host.host.run([*inside, "nft", "list", "ruleset"]).stdout == ""  # there are no rules to lose
    dns_host.host.run([*inside, "nft", "flush", "ruleset"])
    assert dns_host.resolve("admin", "web") == ["10.1.0.2"]
    dns_host.host.minirun("rm", "-f", "admin")


def test_the_resolver_is_no_way_into_another_network(dns_host: DnsHost) -> None:
    """Its namespace has a veth to both: it neither forwards packets nor accepts source addresses of another network."""
    dns_host.run("rogue", "--net", "red", "--cap-add", "NET_ADMIN")
    enter = "nsenter --net=/run/netns/rogue"
    dns_host.host.sh("sysctl -qw net.ipv4.ip_forward=1")
    dns_host.host.sh(f"{enter} ip route add 10.2.0.0/24 via {SERVER_IN_ITS_NAMESPACE} dev eth0 onlink")
    dns_host.host.popen([MINIRUN, "exec", "far", "nc", "-l", "-p", "99"])
    eventually(lambda: dns_host.host.sh("ip netns exec far ss -Hltn sport = 99"))
    assert dns_host.host.run(
        ["sh", "-c", f"{enter} timeout 2 busybox nc 10.2.0.2 99 < /dev/null"], check=False
    ).returncode
    assert dns_host.host.run(["sh", "-c", f"{enter} ping -c 1 -W 1 10.2.0.2"], check=False).returncode
    dns_host.host.sh(
        f"{enter} ip address add 10.2.0.2/32 dev eth0; {enter} ip route change {SERVER}"
        f" via {SERVER_IN_ITS_NAMESPACE} dev eth0 onlink table local src 10.2.0.2"
    )
    with pytest.raises(AssertionError, match="timed out"):
        ask(dns_host.host, "rogue", "far", patience=1)
    dns_host.host.minirun("rm", "-f", "rogue")


@pytest.mark.parametrize("chain", ["input", "forward", "output"])
def test_drop_rules_on_the_host_do_not_affect_queries(dns_host: DnsHost, chain: str) -> None:
    """No packet of a query passes the host's chains."""
    switch = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    dns_host.host.sh(f"[ ! -e {switch} ] || echo 0 > {switch}")
    rules = f"table inet foreign {{ chain drops {{ type filter hook {chain} priority 0; policy drop; }}; }}"
    dns_host.host.run(["nft", "-f", "-"], input=rules.replace(";", ";\n").replace("}", "\n}\n"))
    try:
        assert dns_host.resolve("client", "web") == ["10.1.0.2"]
        assert ask(dns_host.host, "client", "web", stream=True).found == ["10.1.0.2"]
    finally:
        dns_host.host.sh("nft delete table inet foreign")


@pytest.mark.parametrize("br_netfilter", [1, 0])
def test_br_netfilter_shows_no_query_to_the_hosts_rules(dns_host: DnsHost, br_netfilter: int) -> None:
    """Not to the host's published port 53 either, although 127.0.0.11 would be an address of the host."""
    switch = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    if not Path(switch).exists():
        pytest.skip("this kernel has no br_netfilter")
    dns_host.host.sh(f"echo {br_netfilter} > {switch}")
    dns_host.run("published", "-p", f"{SERVER}:53:53/udp", "-p", f"{SERVER}:53:53")
    Upstream(dns_host.host, "0.0.0.0", "198.51.100.9", netns="published")
    for name in ("client", "inner"):
        for stream in (False, True):
            assert ask(dns_host.host, name, f"{name}", stream=stream).found == dns_host.resolve(name, name), name
    dns_host.host.minirun("rm", "-f", "published")
    dns_host.host.sh(f"echo 0 > {switch}")


def test_rubbish_and_greed_keep_nobody_from_an_answer(dns_host: DnsHost) -> None:
    before = dns_host.server_pid()
    script = (
        "import os, socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"for n in range(3000): s.sendto(os.urandom(n % 60), ('{SERVER}', 53))\n"
        "held = []\n"
        "for n in range(40):\n"
        f"    t = socket.create_connection(('{SERVER}', 53)); t.sendall(os.urandom(n)); held.append(t)\n"
        "q = b'\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\6silent\\7example\\0\\0\\1\\0\\1'\n"
        f"for n in range(2000): s.sendto(q, ('{SERVER}', 53))\n"
        "print('done', flush=True); import time; time.sleep(60)"
    )
    greedy = dns_host.host.popen(["nsenter", "--net=/run/netns/web2", "python3", "-c", script], stdout=subprocess.PIPE)
    assert greedy.stdout is not None
    assert greedy.stdout.readline() == b"done\n"
    assert ask(dns_host.host, "web2", "example.com").code == REFUSED  # too many of its queries wait
    assert dns_host.resolve("client", "web") == ["10.1.0.2"]
    assert ask(dns_host.host, "client", "web", stream=True).found == ["10.1.0.2"]
    assert ask(dns_host.host, "client", "example.com").found == ["198.51.100.7"]
    greedy.kill()
    greedy.wait()
    assert dns_host.server_pid() == before
    assert dns_host.host.sh("cat /var/lib/minirun/resolver.log") == ""


def test_many_questions_at_once_are_all_answered(dns_host: DnsHost) -> None:
    """As a resolver without a cache asks them: they wait for each other, and none is refused."""
    script = (
        "import socket, struct; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(8)\n"
        "s.setsockopt(socket.SOL_SOCKET, 33, 1 << 20)\n"
        "for n in range(500):\n"
        "    name = b'name%03d' % n\n"
        "    q = struct.pack('>6H', n, 256, 1, 0, 0, 0) + b'\\x07' + name + b'\\x07example\\0\\0\\1\\0\\1'\n"
        f"    s.sendto(q, ('{SERVER}', 53))\n"
        "answers = [s.recv(512) for n in range(500)]\n"
        "print(len({a[:2] for a in answers}), {a[3] & 15 for a in answers})"
    )
    done = dns_host.host.run(["nsenter", "--net=/run/netns/client", "python3", "-c", script])
    assert done.stdout == f"500 {{{NOERROR}}}\n"


def test_a_reused_address_resolves_at_once(dns_host: DnsHost) -> None:
    dns_host.run("first", "--net", "red", "--ip", "10.1.0.99")
    assert dns_host.resolve("client", "first") == ["10.1.0.99"]
    dns_host.host.minirun("rm", "-f", "first")
    assert dns_host.resolve("client", "first") == ["198.51.100.7"]
    dns_host.run("second", "--net", "red", "--ip", "10.1.0.99")
    assert dns_host.resolve("client", "99.0.1.10.in-addr.arpa", "PTR") == ["second.red"]
    dns_host.host.minirun("rename", "second", "third")
    assert dns_host.resolve("client", "third") == ["10.1.0.99"]
    assert dns_host.resolve("third", "web") == ["10.1.0.2"]
    dns_host.host.minirun("rm", "-f", "third")


def test_killed_it_comes_back_and_the_containers_stay(dns_host: DnsHost) -> None:
    state = "{{.State.Pid}} {{.State.StartedAt}} {{.RestartCount}}"
    before = dns_host.host.minirun("inspect", "--format", state, "client").stdout
    for _ in range(3):
        old = dns_host.server_pid()
        dns_host.host.sh(f"kill -9 {old}")
        new = eventually(lambda old=old: (found := dns_host.server_pid()) and found != old and found)
        assert dns_host.resolve("client", "web") == ["10.1.0.2"]
        assert len(str(new).split()) == 1
    assert dns_host.host.minirun("inspect", "--format", state, "client").stdout == before
    eventually(lambda: "defunct" not in dns_host.host.sh("ps axwwo args"))  # a worker may be ending


def test_with_its_namespace_removed_the_next_start_makes_it_anew(dns_host: DnsHost) -> None:
    dns_host.host.sh("ip netns del minirun-dns")
    dns_host.run("late", "--net", "red")
    assert dns_host.resolve("late", "web") == ["10.1.0.2"]
    # The veth of a network that was in use before.
    assert eventually(lambda: ask(dns_host.host, "far", "only", patience=1).found) == ["10.2.0.2"]
    dns_host.host.minirun("rm", "-f", "late")


def test_containers_that_share_a_namespace_share_its_names_and_keep_the_server(host: Host) -> None:
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
    """The first query of each container is answered, whatever state the server is in: running, ending, gone."""
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
