"""IPv6 clients of containers that have only IPv4: the shim relays them."""

import hashlib
from collections.abc import Iterator

import pytest

from tests.harness import Host, Neighbour, Snapshot, assert_same, eventually

_SERVER = """
import hashlib, socket, threading
def tcp(channel):
    whole = hashlib.sha256()
    while data := channel.recv(65536):
        whole.update(data)
    try:
        channel.sendall(whole.hexdigest().encode() + bytes(4000000))
    except OSError:
        pass  # the client is gone
    channel.close()
listener = socket.create_server(("0.0.0.0", 7000), backlog=500)
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("0.0.0.0", 7000))
def udp():
    while True:
        data, sender = datagrams.recvfrom(9000)
        datagrams.sendto(data + b" of " + sender[0].encode(), sender)
threading.Thread(target=udp, daemon=True).start()
while True:
    threading.Thread(target=tcp, args=(listener.accept()[0],), daemon=True).start()
"""
# Sends all, ends its side, waits until the relay has read what it can hold, then reads the reply.
_STREAM = """
import socket, sys, time
channel = socket.create_connection((sys.argv[1], 9000), 10)
channel.sendall(bytes(range(256)) * 20000)
channel.shutdown(socket.SHUT_WR)
time.sleep(0.3)
reply = b""
while data := channel.recv(65536):
    reply += data
print(reply[:64].decode(), len(reply) - 64)
"""
_DATAGRAMS = """
import socket, sys
channel = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
channel.settimeout(5)
channel.connect((sys.argv[1], 9000))
for number in range(3):
    channel.send(b"%d" % number)
    print(channel.recv(999).decode())
"""
_CROWD = """
import socket
held = [socket.create_connection(("::1", 9000), 10) for number in range(200)]
held[0].shutdown(socket.SHUT_WR)
assert len(held[0].recv(64)) == 64
for channel in held[1:190]:
    channel.close()
held[199].shutdown(socket.SHUT_WR)
print(len(held[199].recv(64)))
"""


@pytest.fixture(scope="module")
def lan() -> Iterator[Neighbour]:
    """Another machine beside a host, both with IPv6; the container `web` serves 7000 as 9000, by TCP and UDP."""
    with Host() as host:
        lan = host.neighbour()
        host.sh("ip address add fd77::1/64 nodad dev $(ip -o -4 address | awk '/192.0.2.1/{print $2}')")
        lan.sh("ip address add fd77::2/64 nodad dev $(ip -o -4 address | awk '/192.0.2.2/{print $2}')")
        flags = ("-p", "9000:7000", "-p", "9000:7000/udp", "-p", "9001:1")
        host.minirun("run", "-d", "--name", "web", *flags, "busybox", "sleep", "1000")
        host.popen(["nsenter", "--net=/run/netns/web", "python3", "-c", _SERVER])
        eventually(lambda: host.sh("ip netns exec web ss -Hltn sport = 7000"))
        yield lan


def _is_asleep(host: Host) -> bool:
    shim = host.minirun("inspect", "-f", "{{.State.MonitorPid}}", "web").stdout.strip()
    return "python" not in host.sh(f"readlink /proc/{shim}/exe")


def test_streams_and_datagrams_arrive_whole_and_the_shim_sleeps_between(lan: Neighbour) -> None:
    host = lan.host
    assert "[::]:9000->7000/tcp" in host.minirun("ps", "--no-trunc").stdout
    assert "relayed to 172.17.0.2" in host.minirun("trace", "[::1]:9000", check=False).stderr
    digest = hashlib.sha256(bytes(range(256)) * 20000).hexdigest()
    for machine, address in ((host, "::1"), (lan, "fd77::1"), (host, "fd77::1")):
        eventually(lambda: _is_asleep(host))
        assert machine.run(["python3", "-c", _STREAM, address]).stdout == f"{digest} 4000000\n"
    eventually(lambda: _is_asleep(host))
    for machine, address in ((lan, "fd77::1"), (host, "::1")):
        replies = machine.run(["python3", "-c", _DATAGRAMS, address]).stdout
        assert replies == "".join(f"{number} of 172.17.0.1\n" for number in range(3))


def test_a_port_that_nobody_listens_on_breaks_the_connection(lan: Neighbour) -> None:
    script = 'import socket; print(socket.create_connection(("::1", 9001), 5).recv(1))'
    assert "ConnectionResetError" in lan.host.run(["python3", "-c", script], check=False).stderr


def test_a_crowd_waits_and_then_has_its_turn(lan: Neighbour) -> None:
    assert lan.host.run(["python3", "-c", _CROWD]).stdout == "64\n"


def test_ports_come_and_go_and_connections_do_not_keep_them(primed: Host) -> None:
    """Also with another network's IPv6, by which the kernel translates what was relayed, and back."""
    fetch = "timeout 3 busybox wget -qO- http://[::1]:{}/ | grep -c minirun"
    before = Snapshot.of(primed)
    primed.minirun("network", "create", "--ipv6", "six")
    primed.minirun("run", "-d", "--name", "web", "-p", "[::1]:8080:80", "busybox", "httpd", "-f", "-h", "/var/www")
    assert primed.minirun("port", "web").stdout == "80/tcp -> [::1]:8080\n"
    eventually(lambda: primed.sh(fetch.format(8080)))
    primed.minirun("port", "add", "web", "9090:80")
    eventually(lambda: primed.sh(fetch.format(9090)))
    primed.minirun("port", "rm", "web", "8080")
    assert primed.sh(fetch.format(8080), check=False) == "0\n"
    primed.minirun("restart", "-t", "0", "web")
    for priority, is_translated in (("1", True), ("", False)):
        if priority:
            primed.minirun("network", "connect", "--gw-priority", priority, "six", "web")
        else:
            primed.minirun("network", "disconnect", "six", "web")
        assert ("9090" in primed.sh("nft list map inet minirun published6")) == is_translated
        eventually(lambda: primed.sh(fetch.format(9090)))
    primed.minirun("rm", "-f", "web")
    primed.minirun("network", "rm", "six")
    assert_same(primed, before)


def test_what_cannot_be_relayed_is_refused_or_left_out(primed: Host) -> None:
    done = primed.minirun("run", "--rm", "-p", "[::]:5000-5099:5000-5099", "busybox", "true", check=False)
    assert (done.returncode, "cannot publish on [::]" in done.stderr) == (125, True)
    primed.minirun("run", "-d", "--name", "wide", "-p", "5000-5099:5000-5099", "busybox", "sleep", "1000")
    primed.minirun("network", "create", "-o", "com.docker.network.bridge.gateway_mode_ipv4=routed", "routed")
    primed.minirun("run", "-d", "--name", "routed", "--net", "routed", "-p", "5200:80", "busybox", "sleep", "1000")
    primed.sh("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
    primed.minirun("run", "-d", "--name", "four", "-p", "5300:80", "busybox", "sleep", "1000")
    for name in ("wide", "routed", "four"):
        assert "::" not in primed.minirun("port", name).stdout, name
