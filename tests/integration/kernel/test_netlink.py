"""Netlink by pyroute2: what the requests make, the errors that callers see, and that no socket outlives its use."""

import errno
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from minirun.kernel._sys import lib

from minirun.kernel import conntrack, link_queries, links, netlink_sockets, nft, nft_elements, rulesets
from minirun.kernel.loopback import loopback_up
from minirun.kernel.netlink_events import LinkChanges, RuleChanges, Trace
from minirun.kernel.netns import SELF, entered, network_unshare
from minirun.kernel.processes import fork
from minirun.kernel.sock_diag import SocketTable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes network namespaces")
MAC, PEER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"


@pytest.fixture
def other() -> Iterator[str]:
    """This test's thread is in a network namespace of its own, and has a second one: the path of that."""
    home = os.open(SELF, os.O_RDONLY | os.O_CLOEXEC)
    network_unshare()
    second = os.open(SELF, os.O_RDONLY | os.O_CLOEXEC)
    network_unshare()
    loopback_up()
    try:
        yield f"/proc/self/fd/{second}"
    finally:
        netlink_sockets.close_all()
        assert lib.sys_setns(home, lib.CLONE_NEWNET) == 0
        os.close(second)
        os.close(home)


def sh(script: str) -> str:
    return subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True).stdout


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def make_bridge_with_veth(other: str) -> None:
    links.bridge_add("br0", MAC, "a bridge", 1400)
    fd = os.open(other, os.O_RDONLY | os.O_CLOEXEC)
    links.veth_add("v0", "br0", "eth0", PEER_MAC, 1400, "x", fd, "a veth")
    os.close(fd)


def test_links_are_as_they_were_requested(other: str) -> None:
    make_bridge_with_veth(other)
    links.hairpin_on("v0")
    links.address_add("br0", ip_interface("10.1.0.1/24"))
    links.address_add("br0", ip_interface("fd00::1/64"))
    links.link_up("br0")
    text = sh("ip -d link show br0; ip address show br0; ip -d link show v0; bridge -d link show")
    assert "no_linklocal_learn 1" in text
    assert "inet 10.1.0.1/24 brd 10.1.0.255 scope global br0" in text
    assert "inet6 fd00::1/64 scope global nodad" in text
    assert "hairpin on" in text
    bridge, veth = (link for link in link_queries.interfaces() if link.name in ("br0", "v0"))
    assert (bridge.kind, bridge.mac, bridge.mtu, bridge.alias, bridge.up) == ("bridge", MAC, 1400, "a bridge", True)
    assert [str(address) for address in bridge.addresses] == ["10.1.0.1/24", "fd00::1/64"]
    assert (veth.kind, veth.master, veth.mtu, veth.alias, veth.up) == ("veth", bridge.index, 1400, "a veth", True)
    assert link_queries.bridge_ports() == {"v0": (bridge.index, True)}
    assert link_queries.bridge_port("v0") == (bridge.index, True)
    assert link_queries.bridge_port("br0") == (0, True)
    assert link_queries.bridge_port("absent") == (0, False)
    with entered(other):
        links.link_address_write("eth0", "02:00:00:00:00:03")
        assert [(link.name, link.mac, link.mtu, link.up) for link in link_queries.interfaces()][1:] == [
            ("eth0", "02:00:00:00:00:03", 1400, False)
        ]


def test_routes_are_as_they_were_requested(other: str) -> None:
    make_bridge_with_veth(other)
    links.link_up("br0")
    with entered(other):
        links.address_add("eth0", ip_interface("10.1.0.2/24"))
        links.link_up("eth0")
        links.link_route_add("eth0", ip_network("10.9.0.0/24"))
        links.default_route_add("eth0", ip_address("10.1.0.1"))
        links.default_route_replace("eth0", ip_address("10.1.0.3"))
        index = socket.if_nametoindex("eth0")
        assert link_queries.gateways() == [("10.1.0.3", index)]
        text = sh("ip route show")
        assert "default via 10.1.0.3 dev eth0 proto static" in text
        assert "10.9.0.0/24 dev eth0 proto static scope link" in text
        used = set(link_queries.networks_in_use(socket.AF_INET))
        assert {(ip_network("10.1.0.0/24"), "eth0"), (ip_network("10.9.0.0/24"), "eth0")} <= used
        assert link_queries.is_local(ip_address("10.1.0.2"))
        assert not link_queries.is_local(ip_address("10.1.0.4"))


def test_a_refused_request_is_an_os_error_with_the_kernels_text(other: str) -> None:
    make_bridge_with_veth(other)
    with pytest.raises(FileExistsError) as refused:
        links.bridge_add("br0", MAC, "", 1500)
    assert refused.value.errno == errno.EEXIST
    assert refused.value.__notes__[0].startswith("while doing: ip link add br0 ")
    with pytest.raises(OSError, match=r"Network is unreachable \(Nexthop has invalid gateway\)") as refused:
        links.default_route_add("v0", ip_address("10.1.0.1"))
    assert refused.value.errno == errno.ENETUNREACH
    links.link_del("absent")


def test_sockets_are_closed_when_their_namespace_is_left_and_before_a_fork(other: str) -> None:
    link_queries.is_local.cache_clear()
    before = descriptors()
    with entered(other):
        link_queries.interfaces()
        assert descriptors() > before
    assert descriptors() == before
    link_queries.interfaces()
    rulesets.nft_tables()
    opened = descriptors()
    for _ in range(20):
        link_queries.interfaces()
        rulesets.nft_tables()
        rulesets.chain_uses([("inet", "absent", "absent")])
        link_queries.bridge_ports()
        conntrack.flows("udp", socket.AF_INET)
    assert descriptors() == opened
    pid = fork(lambda: int(bool(netlink_sockets._sockets)), lambda error: None)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert descriptors() == before
    assert link_queries.interfaces()


TABLE = """table inet t {
  map ports { type inet_proto . inet_service : ipv4_addr . inet_service;
  }
  map spans { type inet_proto . inet_service : ipv4_addr . inet_service; flags interval;
  }
  map isolation { type ifname : verdict;
  }
  set sources { type ifname . ether_addr;
  }
  chain target {
  }
  chain fwd_all { type filter hook forward priority 0; policy drop;
    oifname "docker0" jump target
    counter reject
  }
  chain marked { type filter hook output priority 0;
    udp dport 5353 meta nftrace set 1 counter return comment "mark: traced"
  }
}
"""
_PORTS = "type inet_proto . inet_service : ipv4_addr . inet_service"
ELEMENTS = [
    nft_elements.SetElement("inet", "t", "ports", _PORTS, "tcp . 80", "10.0.0.2 . 8080", "web"),
    nft_elements.SetElement("inet", "t", "spans", f"{_PORTS}; flags interval", "tcp . 8000-8010", "10.0.0.2 . 8000"),
    nft_elements.SetElement("inet", "t", "isolation", "type ifname : verdict", '"v0"', "jump target"),
    nft_elements.SetElement("inet", "t", "sources", "type ifname . ether_addr", f'"v0" . {MAC}'),
]


@pytest.mark.parametrize("number", [1, 100])
def test_elements_are_the_same_by_netlink_and_by_libnftables(other: str, number: int) -> None:
    nft.nft_apply(TABLE)
    many = [ELEMENTS[0]._replace(key=f"udp . {port}", comment="") for port in range(1, number)]
    nft_elements.elements_add([*ELEMENTS, *many])
    text = re.sub(r"\b6 \. ", "tcp . ", sh("nft list table inet t"))  # a machine without /etc/protocols has no names
    assert 'tcp . 80 comment "web" : 10.0.0.2 . 8080' in text
    assert "tcp . 8000-8010 : 10.0.0.2 . 8000" in text
    assert '"v0" : jump target' in text
    assert f'"v0" . {MAC}' in text
    nft_elements.elements_add(ELEMENTS)  # those that exist are fine
    with pytest.raises(nft.NftError):
        nft_elements.elements_add([*many, ELEMENTS[0]._replace(value="10.0.0.3 . 1")])
    nft_elements.elements_del([*ELEMENTS, *many])
    assert "elements" not in sh("nft list table inet t")
    with pytest.raises(nft.NftError):
        nft_elements.elements_del([*ELEMENTS, *many])


def test_the_rules_of_others_are_understood(other: str) -> None:
    nft.nft_apply(TABLE)
    assert rulesets.nft_tables() == [("inet", "t")]
    chains = {chain.name: (chain.hook, chain.drops) for chain in rulesets.chains({("inet", "t")})}
    assert chains == {"target": (None, False), "fwd_all": (rulesets.FORWARD, True), "marked": (3, False)}
    jump, reject = rulesets.rules("inet", "t", "fwd_all")
    assert (jump.jumps_to, jump.output_interface, jump.names_interface("docker0")) == ("target", "docker0", True)
    assert (reject.ends_all, jump.ends_all, jump.names_interface("eth0")) == (True, False, False)
    (marked,) = rulesets.rules("inet", "t", "marked")
    assert (marked.comment("mark: "), marked.is_plain_return) == ("mark: traced", False)
    assert rulesets.rules("inet", "t", "absent") == rulesets.rules("ip", "absent") == []
    assert rulesets.chain_uses([("inet", "t", name) for name in ("target", "absent", "fwd_all")]) == [1, 0, 2]


def test_events_are_read_without_waiting(other: str) -> None:
    links_changed, rules_changed, trace = LinkChanges(), RuleChanges(), Trace()
    assert list(rules_changed.read()) == trace.read() == []
    nft.nft_apply(TABLE)
    nft_elements.elements_add(ELEMENTS)
    nft_elements.elements_del(ELEMENTS)
    made, added, deleted = rules_changed.read()
    assert (made.chains, made.lessened, bool(made.process)) == ({("inet", "t")}, set(), True)
    assert (added.chains, added.lessened) == (set(), set())
    assert (deleted.chains, deleted.lessened) == (set(), {("inet", "t")})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"", ("127.0.0.1", 5353))
    steps = [step for _ in range(9) for step in trace.read()]
    assert [(step.chain, step.kind, step.verdict) for step in steps[:2]] == [
        ("marked", "rule", "return"),
        ("marked", "policy", "accept"),
    ]
    make_bridge_with_veth(other)
    assert links_changed.socket.recv(1)
    links_changed.drop_all()
    with pytest.raises(BlockingIOError):
        links_changed.socket.recv(1)
    for events in (links_changed.socket, rules_changed.socket, trace):
        events.close()


def test_an_overflow_of_the_event_queue_is_reported_once(other: str) -> None:
    changes = RuleChanges()
    changes.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # bytes; the kernel makes it its least
    for _ in range(20):
        nft.nft_apply(TABLE)
        nft.nft_apply("delete table inet t")
    assert len(list(changes.read())) < 40
    assert changes.has_overflowed
    changes.has_overflowed = False
    changes.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    nft.nft_apply(TABLE)
    assert [transaction.chains for transaction in changes.read()] == [{("inet", "t")}]
    assert not changes.has_overflowed
    changes.socket.close()


def test_listeners_and_flows_are_found(other: str) -> None:
    table = SocketTable()
    with (
        socket.create_server(("127.0.0.1", 8080)) as web,
        socket.create_server(("::", 8081), family=socket.AF_INET6) as six,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.bind(("127.0.0.1", 99))
        with entered(other):  # the table is of the namespace that it was made in
            listeners = {str(listener): listener for listener in table.listeners()}
        assert set(listeners) == {"127.0.0.1:8080/tcp", "[::]:8081/tcp", "127.0.0.1:99/udp"}
        assert listeners["127.0.0.1:8080/tcp"].inode == os.fstat(web.fileno()).st_ino
        assert listeners["[::]:8081/tcp"].only_ipv6 == bool(six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
        nft.nft_apply("table ip t {\n chain c { type filter hook output priority 0;\n ct state new accept\n }\n }")
        client.sendto(b"", ("127.0.0.1", 99))
        (flow,) = conntrack.flows("udp", socket.AF_INET, 99)
        assert (str(flow.source), flow.source_port) == ("127.0.0.1", client.getsockname()[1])
        assert (str(flow.answerer), flow.answerer_port) == ("127.0.0.1", 99)
        assert conntrack.flows("udp", socket.AF_INET, 98) == conntrack.flows("tcp", socket.AF_INET) == []
        for _ in range(2):  # gone already is fine
            conntrack.delete_flow(flow)
        assert conntrack.flows("udp", socket.AF_INET) == []
    table.close()
