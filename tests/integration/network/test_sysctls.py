"""--sysctl net.*: each is written at its time, whatever the command and the first process are doing meanwhile."""

import pytest

from minirun.model import Spec
from minirun.network import sysctls
from tests.harness import Host, Snapshot, assert_same

ALL = "/proc/sys/net"


def read(*paths: str) -> tuple[str, ...]:
    """The words of a program that prints these settings."""
    return ("busybox", "cat", *(f"{ALL}/{path}" for path in paths))


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("net.ipv4.conf.eth0.proxy_arp=1", "ipv4/conf/eth0/proxy_arp"),
        ("net.ipv4.conf.eth0.log_martians=1", "ipv4/conf/eth0/log_martians"),
        ("net.ipv4.neigh.eth0.gc_stale_time=77", "ipv4/neigh/eth0/gc_stale_time"),
        ("net.ipv6.conf.eth0.disable_ipv6=0", "ipv6/conf/eth0/disable_ipv6"),
        ("net.ipv4.conf.lo.log_martians=1", "ipv4/conf/lo/log_martians"),
        ("net.ipv4.conf.all.log_martians=1", "ipv4/conf/all/log_martians"),
        ("net.ipv6.conf.all.disable_ipv6=0", "ipv6/conf/lo/disable_ipv6"),
        ("net.ipv4.ip_default_ttl=33", "ipv4/ip_default_ttl"),
        # Interfaces take it from there when they are made.
        ("net.ipv4.conf.default.log_martians=1", "ipv4/conf/eth0/log_martians"),
        ("net.ipv6.conf.default.hop_limit=9", "ipv6/conf/eth0/hop_limit"),
    ],
)
@pytest.mark.parametrize("userns", ["host", "auto"])
def test_each_is_what_the_program_finds(crowded: Host, setting: str, path: str, userns: str) -> None:
    wanted = setting.partition("=")[2]
    for _ in range(3):
        done = crowded.minirun("run", "--rm", f"--userns={userns}", "--sysctl", setting, *read(path))
        assert done.stdout == f"{wanted}\n"


def test_the_second_interface_has_its_own(primed: Host) -> None:
    primed.minirun("network", "create", "one")
    primed.minirun("network", "create", "two", "--ipv6")
    names = {"net.ipv4.conf.eth1.log_martians": 1, "net.ipv6.conf.eth1.hop_limit": 12}
    flags = [word for name, value in names.items() for word in ("--sysctl", f"{name}={value}")]
    for _ in range(5):
        done = primed.minirun(
            "run", "--rm", "--net=one", "--net=two", *flags, *read(*(name[4:].replace(".", "/") for name in names))
        )
        assert done.stdout == "1\n12\n"


def test_an_interface_that_comes_back_has_it_again(primed: Host) -> None:
    primed.minirun("network", "create", "one")
    primed.minirun("network", "create", "two")
    flags = ("--sysctl", "net.ipv4.conf.eth1.log_martians=1")
    primed.minirun("run", "-d", "--name", "web", "--net=one", "--net=two", *flags, "busybox", "sleep", "1000")
    path = f"{ALL}/ipv4/conf/eth1/log_martians"
    primed.minirun("network", "disconnect", "two", "web")
    assert primed.minirun("exec", "web", "cat", path, check=False).returncode == 1
    primed.minirun("network", "connect", "two", "web")
    assert primed.minirun("exec", "web", "cat", path).stdout == "1\n"
    primed.minirun("restart", "-t", "0", "web")
    assert primed.minirun("exec", "web", "cat", path).stdout == "1\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--sysctl", "net.ipv4.conf.eth1.log_martians=1"), "the container has no interface eth1"),
        (("--sysctl", "net.ipv4.neigh.veth0.mcast_solicit=1"), "the container has no interface veth0"),
        (("--net=none", "--sysctl", "net.ipv4.conf.eth0.log_martians=1"), "the container has no interface eth0"),
        (("--sysctl", "net.ipv4.conf.eth0.nosuch=1"), "--sysctl net.ipv4.conf.eth0.nosuch=1: No such file"),
        (("--sysctl", "net.nosuch=1"), "--sysctl net.nosuch=1: No such file"),
        (("--sysctl", "net.ipv4.ip_default_ttl=word"), "--sysctl net.ipv4.ip_default_ttl=word: Invalid argument"),
    ],
)
def test_a_refused_one_is_named_and_nothing_is_left(primed: Host, flags: tuple[str, ...], message: str) -> None:
    before = Snapshot.of(primed)
    done = primed.minirun("run", *flags, "busybox", "true", check=False)
    assert done.returncode == 125
    assert message in done.stderr
    assert primed.minirun("ps", "-aq").stdout == ""
    assert_same(primed, before)


def test_which_are_the_networks() -> None:
    spec = Spec(image="busybox", argv=("true",), sysctls=(("net.core.somaxconn", "1"), ("kernel.msgmax", "2")))
    assert sysctls.of_network(spec) == (("net.core.somaxconn", "1"),)
