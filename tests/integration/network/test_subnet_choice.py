"""Subnets of new networks keep clear of what the host has, and come from the configured pools."""

import json
from ipaddress import IPv6Network

from minirun import config
from tests.harness import Host
from tests.harness.debian_packages import overlay_packages
from tests.harness.host import MINIRUN


def subnets_of(host: Host, name: str) -> list[str]:
    found = json.loads(host.minirun("network", "inspect", name).stdout)[0]
    return [one["Subnet"] for one in found["IPAM"]["Config"]]


def test_networks_keep_clear_of_what_the_host_has(host: Host) -> None:
    overlay_packages(host)  # /etc is this host's own then
    host.sh(
        "ip link add lan type bridge; ip link set lan up; ip address add 172.18.0.77/32 dev lan;"
        " ip route add blackhole 172.18.4.0/24; ip route add 172.18.11.0/24 dev lan table 77;"
        " ip route add 0.0.0.0/1 dev lan; ip route add 128.0.0.0/1 dev lan;"
        " mkdir -p /etc/cni/net.d;"
        """ echo '{"ipam": {"subnet": "172.18.12.0/24"}}' > /etc/cni/net.d/1.conf"""
    )
    host.minirun("network", "create", "a")
    host.minirun("network", "create", "b", "--ipv6")
    assert subnets_of(host, "a") == ["172.18.16.0/22"]
    ipv4, ipv6 = subnets_of(host, "b")
    assert ipv4 == "172.18.20.0/22"
    assert IPv6Network(ipv6).subnet_of(IPv6Network("fd00::/8"))
    assert "inet 172.18.20.1/22" in host.sh("ip address")
    host.minirun("run", "--rm", "--net=a", "busybox", "true")
    assert subnets_of(host, "bridge") == ["172.17.0.0/16"]


def test_the_pools_are_configurable(host: Host) -> None:
    host.sh("mkdir -p /run/etc")
    host.run(["tee", "/run/etc/config.json"], input='{"default-address-pools": [{"base": "10.10.0.0/29", "size": 30}]}')
    there = ["env", f"{config.VARIABLE}=/run/etc/config.json"]

    def create(name: str) -> tuple[int, str]:
        done = host.run([*there, MINIRUN, "network", "create", name], check=False)
        return done.returncode, done.stderr

    assert create("a")[0] == create("b")[0] == 0
    assert subnets_of(host, "b") == ["10.10.0.4/30"]
    code, said = create("c")
    assert code == 1
    assert "of 10.10.0.0/29 minirun's networks use 2 subnets, such as 10.10.0.0/30" in said
    assert "c" not in host.minirun("network", "ls", "--format", "{{.Name}}").stdout.split()
