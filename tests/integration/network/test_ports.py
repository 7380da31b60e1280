"""Published ports: ranges, many at once, families, conflicts, and after a reboot."""

import socket
import time
from contextlib import closing

from minirun.kernel.netlink_events import RuleChanges
from minirun.kernel.netns import entered
from minirun.kernel.sockets import speaks
from tests.harness import Host, eventually
from tests.harness.lan_topology import AWAY, AWAY6, LAN, LAN6, LanTopology
from tests.harness.netns_sockets import SHORT
from tests.integration.network.port_tools import SLEEP, is_bindable, ports_of, published

# --- ranges, and many

_RCVBUFFORCE = 33  # SO_RCVBUFFORCE


_THOUSAND = [(20000 + 2 * number, number + 1) for number in range(1000)]


def _flags(ports: list[tuple[int, int]]) -> list[str]:
    return [word for outside, inside in ports for word in ("-p", f"{outside}:{inside}")]


def test_a_wide_range_is_one_record_and_no_socket(box: LanTopology) -> None:
    files = []
    for name, port in (("one", "5000"), ("media", "49152-65535")):
        before = published(box.host)
        box.container(name, "--net", "net", "-p", f"{port}:{port}/udp")
        monitor = box.host.minirun("inspect", "-f", "{{.State.MonitorPid}}", name).stdout.strip()
        files.append(len(box.host.sh(f"ls /proc/{monitor}/fd").split()))
        assert published(box.host) - before == 2  # one for each family
    assert files[1] <= files[0]
    wide = box.netns["media"]
    for port in (49152, 55555, 65535):
        with closing(wide.serve(port, protocols=("udp",))) as server:
            assert [server.asked(box.netns["away"], "udp", at, port) for at in (LAN, LAN6)] == [AWAY, AWAY6]
    assert "49152/udp -> 0.0.0.0:49152" in ports_of(box.host, "media")
    late = box.host.minirun("run", "-d", "--name", "late", "-p", "50000:80/udp", *SLEEP, check=False)
    assert "by container media" in late.stderr
    box.host.minirun("rm", "-f", "media", "late", "one")
    assert published(box.host) == 0


def settled_processes(host: Host) -> int:
    """How many there are, when those that have made a container, or ended one, have ended, too."""
    time.sleep(0.5)
    return len(host.sh("ps ax").splitlines())


def test_a_thousand_ports_cost_as_many_transactions_and_processes_as_one(box: LanTopology) -> None:
    host = box.host
    host.minirun("run", "-d", "--name", "base", "--net", "net", *SLEEP)  # the network stands
    costs = []
    for ports in ([(9000, 80)], _THOUSAND):
        with entered(box.netns["host"].path):
            changes = RuleChanges()
        changes.socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, 1 << 24)
        before = settled_processes(host)
        host.minirun("run", "-d", "--name", "web", "--net", "net", *_flags(ports), *SLEEP)
        processes = settled_processes(host) - before
        costs.append((sum(one.process == "minirun" for one in changes.read()), processes))
        changes.socket.close()
        host.minirun("rm", "-f", "web")
    assert costs[0] == costs[1]
    assert costs[0][0] >= 1


def test_each_of_a_thousand_ports_leads_to_its_own(box: LanTopology) -> None:
    stack = box.container("many", "--net", "net", *_flags(_THOUSAND))
    for number in (0, 499, 999):
        with closing(stack.serve(number + 1)) as server:
            port = 20000 + 2 * number
            assert [server.asked(box.netns["away"], "tcp", at, port) for at in (LAN, LAN6)] == [AWAY, AWAY6]
            assert not server.asked(box.netns["away"], "tcp", LAN, 20001 + 2 * number, SHORT)
    assert not is_bindable(box.netns["host"], 20998)
    assert is_bindable(box.netns["host"], 20999)


def test_the_first_free_one_of_a_range_is_taken(box: LanTopology) -> None:
    for number in range(3):
        box.host.minirun("run", "-d", "--name", f"web{number}", "-p", "8000-8002:80", *SLEEP)
        assert ports_of(box.host, f"web{number}")[0] == f"80/tcp -> 0.0.0.0:{8000 + number}"
    done = box.host.minirun("run", "-d", "--name", "web3", "-p", "8000-8002:80", *SLEEP, check=False)
    assert done.returncode == 125
    assert "all ports are allocated" in done.stderr
    box.host.minirun("rm", "-f", "web1")
    box.host.minirun("run", "-d", "--name", "web4", "-p", "8000-8002:80", *SLEEP)
    assert ports_of(box.host, "web4")[0] == "80/tcp -> 0.0.0.0:8001"


def test_families_and_addresses_are_kept_apart_and_conflicts_name_the_holder(box: LanTopology) -> None:
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
    with box.netns["host"].socket(socket.AF_INET6, socket.SOCK_STREAM) as own:
        own.bind(("::1", 7001))
        own.listen()
        done = host.minirun("run", "--rm", "--net", "net", "-p", "[::]:7001:80", *SLEEP, check=False)
        assert done.returncode == 125
        assert "7001" in done.stderr


def test_sctp_is_published_where_the_kernel_has_it(box: LanTopology) -> None:
    done = box.host.minirun(
        "run", "-d", "--name", "diameter", "-p", "3868:3868/sctp", "-p", "80/sctp", *SLEEP, check=False
    )
    if speaks("sctp"):
        assert ports_of(box.host, "diameter")[0] == "3868/sctp -> 0.0.0.0:3868"
        assert "sctp . 3868" in box.host.sh("nft list map inet minirun published")
        return
    assert (done.returncode, "this kernel has no SCTP" in done.stderr) == (125, True)
    box.host.minirun("create", "--name", "later", "--expose", "80/sctp", "-P", *SLEEP)
    done = box.host.minirun("start", "later", check=False)
    assert (done.returncode, "cannot publish 80/sctp" in done.stderr) == (1, True)


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
        assert published(host) == len([line for line in listed if "[::]" not in line])  # which are relayed
        assert "by container heir" in host.minirun("start", "gone", check=False).stderr
        host.minirun("rm", "-f", "web", "plain", "gone", "early", "heir")
        host.minirun("network", "rm", "net")
        assert published(host) == 0
