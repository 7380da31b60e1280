"""A UDP client that never pauses follows its port."""

import socket
import time
from contextlib import closing

from minirun.kernel.conntrack import flows
from minirun.kernel.netns import entered
from tests.harness import Host, eventually
from tests.harness.lan_topology import LAN, LanTopology
from tests.harness.netns_sockets import Netns, Server


class Chatter:
    """A client that speaks from one UDP socket for ever."""

    def __init__(self, client: Netns, address: str, port: int) -> None:
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


def flows_to(host: Host, port: int) -> set[int]:
    """The ids of the connection tracker's entries for a UDP port."""
    with entered(Netns.of(host).path):
        return {flow.entry.id for flow in flows("udp", socket.AF_INET, port)}


def test_a_udp_client_that_never_pauses_follows_its_port(box: LanTopology) -> None:
    host, away = box.host, box.netns["away"]
    with (
        closing(box.container("neighbour", "--net", "net", "-p", "5001:53/udp").serve(53)) as neighbour,
        closing(Chatter(away, LAN, 5001)) as to_neighbour,
        closing(Chatter(away, LAN, 5000)) as chatter,
    ):
        assert to_neighbour.reaches(neighbour)
        theirs = flows_to(host, 5001)
        with closing(box.netns["host"].serve(5000, protocols=("udp",))) as hosts_own:
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
            with closing(Netns.of(host, name).serve(53)) as server:
                assert chatter.reaches(server), step
                assert to_neighbour.reaches(neighbour)
                assert flows_to(host, 5001) == theirs, step
            if step == "start":
                host.minirun("rm", "-f", name)
            elif step == "replace":
                pid = host.minirun("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
                host.sh(f"kill -9 $(awk '/^PPid/ {{ print $2 }}' /proc/{pid}/status)")  # its monitor
                eventually(lambda name=name: name not in host.minirun("ps", "--format", "{{.Names}}").stdout)
