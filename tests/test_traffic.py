"""Real packets along each path to a published port, between containers, and outward."""

import json

import pytest

from tests.harness import Host, eventually

# A web server that answers with the source address it saw.
_SERVER = (
    "mkdir -p /www/cgi-bin; printf '#!/bin/sh\\necho; echo from=$REMOTE_ADDR\\n' > /www/cgi-bin/who;"
    " chmod +x /www/cgi-bin/who; exec httpd -f -p 0.0.0.0:80 -h /www"
)

# A server that answers every connection with its source address.
_TELL_SOURCE = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    connection, address = server.accept()
    connection.sendall(address[0].encode())
    connection.close()
"""
_UDP_ECHO = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 53))
while True:
    data, address = server.recvfrom(99)
    server.sendto(data + b" from " + address[0].encode(), address)
"""


def serve(host: Host, name: str, *words: str) -> str:
    host.minirun("run", "-d", "--name", name, *words, "busybox", "sh", "-c", _SERVER)
    address = json.loads(host.minirun("inspect", name).stdout)[0]["NetworkSettings"]["IPAddress"]
    eventually(lambda: host.minirun("exec", name, "wget", "-qO-", "http://127.0.0.1/cgi-bin/who", check=False).stdout)
    return str(address)


def who(at: str, port: int = 80) -> list[str]:
    return ["timeout", "3", "busybox", "wget", "-qO-", f"http://{at}:{port}/cgi-bin/who"]


def inside(host: Host, name: str, at: str, port: int = 80) -> str:
    done = host.minirun("exec", name, "timeout", "3", "wget", "-qO-", f"http://{at}:{port}/cgi-bin/who", check=False)
    return str(done.stdout).strip()


@pytest.mark.parametrize("br_netfilter", ["0", "1"])
def test_a_published_port_answers_on_every_path(host: Host, br_netfilter: str) -> None:
    switch = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    host.sh(f"[ ! -e {switch} ] || echo {br_netfilter} > {switch}")
    lan = host.neighbour()
    address = serve(host, "web", "-p", "8080:80")
    host.minirun("network", "create", "other")
    serve(host, "same")
    serve(host, "else", "--net", "other")
    at = lan.host_address
    assert lan.run(who(at, 8080)).stdout.strip() == f"from={lan.address}"  # another machine: its own address is seen
    assert host.run(who(at, 8080)).stdout.strip() == f"from={at}"  # the host, by its own address
    assert host.run(who("127.0.0.1", 8080)).stdout.strip() == "from=172.17.0.1"  # the host, by loopback
    assert inside(host, "same", at, 8080) == "from=172.17.0.1"  # the same network, by the host's address
    assert inside(host, "else", at, 8080) == "from=172.18.0.2"  # another network, by the host's address
    assert inside(host, "web", at, 8080) == "from=172.17.0.1"  # itself, by the host's address
    assert inside(host, "same", address) == "from=172.17.0.3"  # the same network, directly


def test_what_is_not_published_is_closed(host: Host) -> None:
    lan = host.neighbour()
    address = serve(host, "web", "-p", "127.0.0.1:8080:80")
    host.minirun("network", "create", "other")
    serve(host, "else", "--net", "other")
    assert host.run(who("127.0.0.1", 8080)).stdout.startswith("from=")
    assert lan.run(who(lan.host_address, 8080), check=False).returncode != 0  # published on loopback only
    lan.sh(
        f"ip route add 172.16.0.0/12 via {lan.host_address}; ip route add 127.0.0.1/32 via {lan.host_address} || true"
    )
    assert lan.run(who(address), check=False).returncode != 0  # a direct route to the container
    assert inside(host, "else", address) == ""  # another network, directly


def test_the_hosts_loopback_is_closed_to_containers_and_neighbours(host: Host) -> None:
    """The bridges have route_localnet on, so a frame addressed to 127.0.0.1 would be taken: only our guard drops it."""
    serve(host, "web", "-p", "8080:80")
    host.popen(["python3", "-c", _TELL_SOURCE, "127.0.0.1", "9999"])
    eventually(lambda: "127" in host.sh("busybox nc 127.0.0.1 9999 < /dev/null", check=False))
    # Inside the container's namespace, with the host's tools: send 127.0.0.1 out of eth0 to the gateway.
    host.sh(
        "nsenter --net=/run/netns/web sh -c 'ip route flush table local;"
        " ip route add table local local 172.17.0.2 dev eth0;"
        " ip route add 127.0.0.1 via 172.17.0.1 src 172.17.0.2; sysctl -qw net.ipv4.conf.eth0.route_localnet=1'"
    )
    script = "nsenter --net=/run/netns/web timeout 2 busybox nc 127.0.0.1 9999 < /dev/null"
    assert host.sh(script, check=False) == ""
    counters = host.sh("nft list chain inet minirun guard")
    assert 'packets 0 bytes 0 drop comment "the host\'s loopback is not for its neighbours"' not in counters


def test_outward_packets_carry_the_hosts_address(host: Host) -> None:
    lan = host.neighbour(default_route=True)
    lan.popen(["python3", "-c", _TELL_SOURCE, lan.address, "7000"])
    eventually(lambda: host.sh(f"busybox nc {lan.address} 7000 < /dev/null", check=False))
    seen = host.minirun("run", "--rm", "busybox", "nc", lan.address, "7000").stdout
    assert seen == lan.host_address


def test_udp(host: Host) -> None:
    lan = host.neighbour()
    host.minirun("run", "-d", "--name", "dns", "-p", "5353:53/udp", "busybox", "sleep", "100")
    host.popen(["nsenter", "--net=/run/netns/dns", "python3", "-c", _UDP_ECHO])
    ask = (
        "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1);"
        f"s.sendto(b'ping', ('{lan.host_address}', 5353)); print(s.recv(99).decode())"
    )
    answer = eventually(lambda: lan.run(["python3", "-c", ask], check=False).stdout)
    assert answer.strip() == f"ping from {lan.address}"


def test_ranges_and_random_ports(host: Host) -> None:
    host.minirun(
        "run",
        "-d",
        "--name",
        "many",
        "-p",
        "8000-8010:9000-9010",
        "-p",
        "80",
        "busybox",
        "httpd",
        "-f",
        "-p",
        "9010",
        "-h",
        "/var/www",
    )
    listing = host.minirun("port", "many").stdout
    assert "9010/tcp -> 0.0.0.0:8010" in listing
    random = int(host.minirun("port", "many", "80").stdout.strip().rpartition(":")[2])
    assert random >= 1024
    assert "minirun" in eventually(lambda: host.sh("busybox wget -qO- http://127.0.0.1:8010/", check=False))


def test_a_port_in_use_is_refused_and_the_owner_named(host: Host) -> None:
    host.minirun("run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sleep", "100")
    host.popen(["python3", "-c", _TELL_SOURCE, "0.0.0.0", "9090"])
    eventually(lambda: "9090" in host.sh("ss -Hltn"))
    for port, owner in (
        ("8080", "by container web"),
        ("127.0.0.1:8080", "by container web"),
        ("9090", "by python3 (pid"),
    ):
        done = host.minirun("run", "--name", "late", "-p", f"{port}:80", "busybox", "true", check=False)
        assert done.returncode == 125
        assert "port is already allocated" in done.stderr
        assert owner in done.stderr
    assert "late" not in host.minirun("ps", "-a").stdout
    assert (
        "in use" in host.run(["python3", "-c", _TELL_SOURCE, "", "8080"], check=False).stderr
    )  # nor can others take ours


def test_containers_of_one_network_reach_each_other_and_a_flushed_table_comes_back(host: Host) -> None:
    lan = host.neighbour()
    serve(host, "web", "-p", "8080:80")
    host.sh("nft flush ruleset")
    assert lan.run(who(lan.host_address, 8080), check=False).returncode != 0
    host.minirun("run", "--rm", "busybox", "true")  # the next start finds its table gone, and renders it
    assert lan.run(who(lan.host_address, 8080)).stdout.startswith("from=")
