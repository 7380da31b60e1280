"""The five modes, each on a real process in a real namespace."""

import json
import os

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually


def _namespace(host: Host, *words: str) -> str:
    return str(host.minirun("run", "--rm", *words, "busybox", "readlink", "/proc/self/ns/net").stdout.strip())


def test_host_shares_the_namespace_of_the_host(host: Host) -> None:
    assert _namespace(host, "--net=host") == host.sh("readlink /proc/self/ns/net").strip()
    assert host.minirun("run", "--rm", "--net=host", "busybox", "ip", "-o", "link").stdout.count("\n") == 1


def test_host_warns_about_published_ports(host: Host) -> None:
    done = host.minirun("run", "--rm", "--net=host", "-p", "8080:80", "busybox", "true")
    assert "discarded when using host network mode" in done.stderr


def test_none_has_loopback_and_nothing_else(host: Host) -> None:
    assert _namespace(host, "--net=none") != host.sh("readlink /proc/self/ns/net").strip()
    addresses = host.minirun("run", "--rm", "--net=none", "busybox", "ip", "-o", "address").stdout
    assert [line.split()[3] for line in addresses.splitlines()] == ["127.0.0.1/8"]


def test_none_refuses_ports(host: Host) -> None:
    done = host.minirun("run", "--rm", "--net=none", "-p", "80:80", "busybox", "true", check=False)
    assert done.returncode == 125
    assert "no address to publish" in done.stderr


def test_bridge_gives_address_route_and_a_veth_that_says_whose_it_is(host: Host) -> None:
    host.minirun("run", "-d", "--name", "web", "busybox", "sleep", "100")
    seen = json.loads(host.minirun("inspect", "web").stdout)[0]
    settings = seen["NetworkSettings"]
    assert settings["IPAddress"] == "172.17.0.2"
    assert settings["SandboxKey"] == "/run/netns/web"
    inside = host.sh("nsenter --net=/run/netns/web ip -o -4 address show eth0")
    assert f"{settings['IPAddress']}/16" in inside
    assert f"{settings['IPAddress']}/16" in host.minirun("exec", "web", "ip", "address").stdout
    assert "default via 172.17.0.1" in host.minirun("exec", "web", "ip", "route").stdout
    veth = settings["Networks"]["bridge"]["HostInterface"]
    link = json.loads(host.sh(f"ip -j -d link show {veth}"))[0]
    assert link["master"] == "minirun0"
    assert link["ifalias"] == f"minirun web {seen['Id'][:12]} eth0"


def test_custom_networks_give_one_interface_each_in_the_order_given(host: Host) -> None:
    host.minirun("network", "create", "--subnet", "10.1.0.0/24", "front")
    host.minirun("network", "create", "--subnet", "10.2.0.0/24", "--gateway", "10.2.0.9", "back")
    words = ["run", "--rm", "--net", "back", "--network", "front", "busybox", "sh", "-c", "ip -o -4 a; ip route"]
    seen = host.minirun(*words).stdout
    assert "eth0    inet 10.2.0.1/24" in seen
    assert "eth1    inet 10.1.0.2/24" in seen
    assert "default via 10.2.0.9 dev eth0" in seen


def test_container_mode_meets_on_loopback(host: Host) -> None:
    host.minirun("run", "-d", "--name", "aa", "busybox", "httpd", "-f", "-h", "/var/www")
    page = eventually(
        lambda: host.minirun("run", "--rm", "--net=container:aa", "busybox", "wget", "-qO-", "http://127.0.0.1/").stdout
    )
    assert "minirun" in page
    assert (
        _namespace(host, "--net=container:aa")
        == host.minirun("exec", "aa", "readlink", "/proc/self/ns/net").stdout.strip()
    )


def test_container_mode_refuses_ports_and_the_dead(host: Host) -> None:
    host.minirun("run", "-d", "--name", "aa", "--net=none", "busybox", "sleep", "100")
    done = host.minirun("run", "--net=container:aa", "-p", "80:80", "busybox", "true", check=False)
    assert (done.returncode, "conflicting options" in done.stderr) == (125, True)
    host.minirun("kill", "aa")
    done = host.minirun("run", "--net=container:aa", "busybox", "true", check=False)
    assert (done.returncode, "cannot join network of a non running container" in done.stderr) == (125, True)
    done = host.minirun("run", "--net=container:nobody", "busybox", "true", check=False)
    assert (done.returncode, "No such container: nobody" in done.stderr) == (125, True)


def test_namespace_and_address_outlive_their_first_container_while_another_is_in_it(primed: Host) -> None:
    """The port goes with who published it: nobody is left to hold it on the host."""
    before = Snapshot.of(primed)
    primed.minirun("run", "-d", "--rm", "--name", "aa", "-p", "8080:80", "busybox", "sleep", "100")
    words = ["run", "-d", "--rm", "--name", "bb", "--net=container:aa", "busybox", "httpd", "-f", "-h", "/var/www"]
    primed.minirun(*words)
    published = "timeout 3 busybox wget -qO- http://127.0.0.1:8080/"
    assert "minirun" in eventually(lambda: primed.sh(published, check=False))
    primed.minirun("kill", "aa")
    eventually(lambda: primed.minirun("ps", "-q", "--filter", "name=aa").stdout == "")
    assert "minirun" not in primed.sh(published, check=False)
    assert "minirun" in primed.sh("timeout 3 busybox wget -qO- http://172.17.0.3/")
    address = primed.minirun("run", "--rm", "busybox", "hostname", "-i").stdout.split()[0]
    assert address != "172.17.0.3", "the lease was given to somebody else"
    assert primed.sh("ip netns").split() == ["bb", "(id:", "0)"]
    primed.minirun("rm", "-f", "bb")
    assert_same(primed, before)
    assert json.loads(primed.minirun("network", "inspect", "bridge").stdout)[0]["Containers"] == {}


@pytest.mark.parametrize("mode", ["host", "none", "bridge", "custom", "container:base"])
def test_nothing_is_left_after_run_rm(primed: Host, mode: str) -> None:
    primed.minirun("network", "create", "custom")
    primed.minirun("run", "-d", "--name", "base", "busybox", "sleep", "100")
    before = Snapshot.of(primed)
    for _ in range(3):
        primed.minirun("run", "--rm", f"--net={mode}", "busybox", "true")
    assert_same(primed, before)


def test_the_state_root_can_be_moved_and_two_do_not_meet(host: Host, tmp_path: os.PathLike[str]) -> None:
    other = ["--root", str(tmp_path / "other")]  # type: ignore[operator]
    host.minirun("run", "-d", "--name", "one", "busybox", "sleep", "100")
    host.minirun(*other, "run", "-d", "--name", "two", "-p", "8081:80", "busybox", "httpd", "-f", "-h", "/var/www")
    assert "one" not in host.minirun(*other, "ps").stdout
    assert "minirun" in eventually(lambda: host.sh("busybox wget -qO- http://127.0.0.1:8081/", check=False))
    first = json.loads(host.minirun("network", "inspect", "bridge").stdout)[0]["IPAM"]["Config"][0]["Subnet"]
    second = json.loads(host.minirun(*other, "network", "inspect", "bridge").stdout)[0]["IPAM"]["Config"][0]["Subnet"]
    assert first != second
    host.minirun(*other, "rm", "-f", "two")
