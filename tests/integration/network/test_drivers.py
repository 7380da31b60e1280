"""Networks of other drivers than bridge, by real packets."""

import sysconfig
from pathlib import Path

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually
from tests.harness.debian_packages import CNI, overlay_packages
from tests.harness.host import MINIRUN

_LAN = ["--subnet", "192.0.2.0/24", "--gateway", "192.0.2.2", "--ip-range", "192.0.2.128/25"]


def test_a_container_on_a_macvlan_is_a_neighbour_on_the_lan(primed: Host) -> None:
    lan = primed.neighbour()
    before = Snapshot.of(primed)
    words = ["-d", "macvlan", "-o", "parent=lan0", *_LAN]
    primed.minirun("network", "create", *words, "street")
    primed.minirun("run", "-d", "--name", "web", "--net", "street", "busybox", "httpd", "-f", "-h", "/var/www")
    primed.minirun("run", "-d", "--name", "peer", "--net", "street", "--ip", "192.0.2.77", "busybox", "sleep", "1000")
    fetch = ["timeout", "3", "busybox", "wget", "-qO-", "http://192.0.2.128/"]
    assert "minirun" in eventually(lambda: lan.run(fetch, check=False).stdout)  # every port is open there
    assert "minirun" in primed.minirun("exec", "peer", *fetch[:2], *fetch[3:]).stdout
    assert primed.minirun("exec", "web", "ping", "-c1", "-W2", lan.address).returncode == 0
    assert primed.run(fetch, check=False).returncode  # the host itself does not reach it by that link
    mac = primed.minirun("inspect", "-f", "{{.NetworkSettings.Networks.street.MacAddress}}", "web").stdout.strip()
    assert mac in lan.sh("ip neigh show 192.0.2.128")
    primed.minirun("restart", "-t", "0", "web")
    assert "minirun" in eventually(lambda: lan.run(fetch, check=False).stdout)
    published = primed.minirun("run", "--rm", "-p", "80:80", "--net", "street", "busybox", "true", check=False)
    assert (published.returncode, "an address of its own, which minirun does not translate" in published.stderr) == (
        125,
        True,
    )
    primed.minirun("rm", "-f", "web", "peer")
    primed.minirun("network", "rm", "street")
    assert_same(primed, before)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "needs -o parent=LINK"),
        (["-o", "parent=nothing"], "the parent link nothing of network wrong does not exist"),
        (["-o", "parent=lan0.50"], "ip link add link lan0 name lan0.50 type vlan id 50"),
        (["-o", "parent=lan0", "-o", "macvlan_mode=loud"], "it takes bridge, private, vepa, passthru"),
        (["-o", "parent=lan0", "-o", "com.docker.network.bridge.name=x"], "the driver macvlan has no such option"),
    ],
)
def test_macvlan_refuses(crowded: Host, words: list[str], says: str) -> None:
    crowded.sh("ip link show lan0 >/dev/null 2>&1 || ip link add lan0 type veth peer name lan1")
    done = crowded.minirun("network", "create", "-d", "macvlan", *words, "wrong", check=False)
    assert (done.returncode, says in done.stderr) == (1, True), done.stderr


def test_two_networks_do_not_share_a_parent(crowded: Host) -> None:
    crowded.sh("ip link show lan0 >/dev/null 2>&1 || ip link add lan0 type veth peer name lan1")
    crowded.minirun("network", "create", "-d", "macvlan", "-o", "parent=lan0", *_LAN, "first")
    done = crowded.minirun("network", "create", "-d", "macvlan", "-o", "parent=lan0", "second", check=False)
    assert "network first is already using parent interface lan0" in done.stderr
    crowded.minirun("network", "rm", "first")


_CONF = """
{"cniVersion": "%s", "name": "plain", "plugins": [
  {"type": "bridge", "bridge": "cni7", "isGateway": true, "ipMasq": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": "/run/cni-addresses"}},
  {"type": "tuning", "sysctl": {"net.ipv4.conf.all.log_martians": "1"}}
]}
"""


@pytest.fixture
def cni(primed: Host) -> Host:
    """A host with CNI's plugins and the configurations of two networks."""
    overlay_packages(primed, CNI)
    primed.sh("mkdir -p /run/net.d; umount /etc/cni 2>/dev/null; true")
    for version in ("1.0.0", "0.4.0"):
        primed.run(["sh", "-c", f"cat > /run/net.d/{version}.conflist"], input=_CONF % version)
    return primed


def address_of(host: Host) -> str:
    return str(host.minirun("inspect", "-f", "{{.NetworkSettings.Networks.theirs.IPAddress}}", "web").stdout.strip())


@pytest.mark.parametrize("version", ["1.0.0", "0.4.0"])
def test_cni_plugins_wire_a_container_and_take_it_back(cni: Host, version: str) -> None:
    lan = cni.neighbour()
    conf = f"/run/net.d/{version}.conflist"
    cni.minirun("network", "create", "-d", "cni", "-o", f"conf={conf}", "theirs")
    cni.sh("rm -r /run/net.d")  # the record has all of it
    cni.minirun("run", "-d", "--name", "web", "--net", "theirs", "busybox", "httpd", "-f", "-h", "/var/www")
    assert cni.minirun("inspect", "-f", "{{.NetworkSettings.Networks.theirs.IPAddress}}", "web").stdout == "10.77.0.2\n"
    assert "inet 10.77.0.2/24" in cni.minirun("exec", "web", "ip", "address", "show", "eth0").stdout
    assert cni.minirun("exec", "web", "cat", "/proc/sys/net/ipv4/conf/all/log_martians").stdout == "1\n"
    assert cni.minirun("exec", "web", "ping", "-c1", "-W2", lan.address).returncode == 0
    fetch = ["timeout", "3", "busybox", "wget", "-qO-", "http://10.77.0.2/"]
    assert "minirun" in eventually(lambda: cni.run(fetch, check=False).stdout)
    assert "10.77.0.2" in cni.sh("ls /run/cni-addresses/plain")
    cni.minirun("restart", "-t", "0", "web")
    fetch[-1] = f"http://{address_of(cni)}/"
    assert "minirun" in eventually(lambda: cni.run(fetch, check=False).stdout)
    cni.minirun("kill", "web")
    eventually(lambda: "10.77." not in cni.sh("ls /run/cni-addresses/plain"))
    assert "CNI-" not in cni.sh("iptables-save")  # what ADD had made for this container
    cni.minirun("rm", "web")
    cni.minirun("network", "rm", "theirs")


def test_what_has_been_damaged_of_a_cni_network_is_mended_or_told(cni: Host) -> None:
    cni.sh('sed -i \'s/"ipMasq": true/"ipMasq": false/\' /run/net.d/1.0.0.conflist')
    cni.minirun("network", "create", "-d", "cni", "-o", "conf=/run/net.d/1.0.0.conflist", "theirs")
    cni.minirun("run", "-d", "--name", "web", "--net", "theirs", "busybox", "httpd", "-f", "-h", "/var/www")
    cni.minirun("exec", "--privileged", "web", "ip", "address", "flush", "dev", "eth0")
    checked = cni.minirun("network", "reload", check=False)
    assert (checked.returncode, "CNI plugin bridge failed at CHECK" in checked.stderr) == (1, True)
    cni.minirun("exec", "--privileged", "web", "ip", "link", "del", "eth0")
    assert cni.minirun("network", "reload").stdout == "container web: eth0\n"
    assert cni.sh("ls /run/cni-addresses/plain | grep -c 10.77") == "1\n"
    fetch = ["timeout", "3", "busybox", "wget", "-qO-", f"http://{address_of(cni)}/"]
    assert "minirun" in eventually(lambda: cni.run(fetch, check=False).stdout)
    assert cni.minirun("network", "reload").stdout == ""


def test_cni_gives_addresses_back_though_everything_was_killed(cni: Host) -> None:
    cni.minirun("network", "create", "-d", "cni", "-o", "conf=/run/net.d/1.0.0.conflist", "theirs")
    cni.minirun("run", "-d", "--name", "web", "--net", "theirs", "busybox", "sleep", "1000")
    monitor = cni.minirun("inspect", "-f", "{{.State.MonitorPid}}", "web").stdout.strip()
    cni.sh(f"kill -9 {monitor}; ip netns del web")
    assert "Exited (137)" in cni.minirun("ps", "-a").stdout
    assert "10.77." not in cni.sh("ls /run/cni-addresses/plain")


def test_what_a_cni_plugin_says_is_passed_on(cni: Host) -> None:
    before = Snapshot.of(cni)
    cases = {
        "no.json": ("{", "is not JSON"),
        "list.json": ("[]", "not a JSON object"),
        "old.json": ('{"cniVersion": "0.2.0", "name": "a", "type": "bridge"}', "cniVersion '0.2.0' is not supported"),
        "nameless.json": ('{"cniVersion": "1.0.0", "type": "bridge"}', "it has no name"),
        "path.json": ('{"cniVersion": "1.0.0", "name": "a", "type": "../sh"}', "the name of a program"),
        "missing.json": ('{"cniVersion": "1.0.0", "name": "a", "type": "nothing"}', "there is no CNI plugin nothing"),
    }
    for name, (text, says) in cases.items():
        cni.run(["sh", "-c", f"cat > /run/{name}"], input=text)
        done = cni.minirun("network", "create", "-d", "cni", "-o", f"conf=/run/{name}", "wrong", check=False)
        assert (done.returncode, says in done.stderr) == (1, True), (name, done.stderr)
    cni.run(["sh", "-c", "cat > /run/bad.json"], input=_CONF.replace("10.77.0.0/24", "10.77.0.0/99") % "1.0.0")
    cni.minirun("network", "create", "-d", "cni", "-o", "conf=/run/bad.json", "bad")
    for words, says in (
        ([], "CNI plugin bridge failed at ADD"),
        (["-p", "80:80"], "does not translate"),
        (["--ip", "10.77.0.9"], "not supported"),
    ):
        done = cni.minirun("run", "--rm", "--net", "bad", *words, "busybox", "true", check=False)
        assert (done.returncode, says in done.stderr, "Traceback" in done.stderr) == (125, True, False), done.stderr
    cni.minirun("network", "rm", "bad")
    cni.sh("ip link del cni7 2>/dev/null; true")
    assert_same(cni, before)


_PACKAGE = """
from dataclasses import replace

from minirun.network.drivers.bridge import Bridge


class Narrow(Bridge):
    def validate(self, instance, network):
        return replace(super().validate(instance, network), mtu=1234)
"""


def test_a_package_adds_a_driver_by_an_entry_point(primed: Host) -> None:
    site = Path(sysconfig.get_path("purelib"))
    if not Path(MINIRUN).is_relative_to(site.parents[2]):
        pytest.skip("minirun is not of this virtual environment")
    # On this host alone. The fork server of the other tests would see an update, so it is not reached from here.
    layers = f"lowerdir={site},upperdir=/run/site/up,workdir=/run/site/work"
    script = f"mkdir -p /run/site/up /run/site/work; mount -t overlay -o {layers} site {site}"
    laid = primed.run(["sh", "-c", script], check=False)
    if laid.returncode:
        pytest.skip(f"a package cannot be laid over this host: {laid.stderr}")
    primed.sh("! mountpoint -q /run/minirun || umount -l /run/minirun")
    own = Path(f"/proc/{primed.pid}/root{site}")
    module, info = own / "minirun_narrow_net.py", own / "minirun_narrow_net-1.0.dist-info"
    info.mkdir()
    try:
        module.write_text(_PACKAGE)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: minirun-narrow-net\nVersion: 1.0\n")
        group = "[minirun.network_drivers]\n"
        (info / "entry_points.txt").write_text(
            f"{group}narrow = minirun_narrow_net:Narrow\nbroken = minirun_narrow_net:Missing\n"
        )
        primed.minirun("network", "create", "-d", "narrow", "alley")
        shown = primed.minirun("run", "--rm", "--net", "alley", "busybox", "ip", "link", "show", "eth0").stdout
        assert "mtu 1234" in shown
        assert "narrow" in primed.minirun("network", "ls", "--filter", "driver=narrow").stdout
        done = primed.minirun("network", "create", "-d", "broken", "wrong", check=False)
        assert "cannot load the network driver broken" in done.stderr
        assert "Traceback" not in done.stderr
        done = primed.minirun("network", "create", "-d", "none-such", "wrong", check=False)
        assert "the drivers are bridge, broken, cni, macvlan, narrow" in done.stderr
    finally:
        primed.sh(f"umount -l {site}")
    # Its package is gone: the network cannot be used, and its record can still be removed.
    done = primed.minirun("run", "--rm", "--net", "alley", "busybox", "true", check=False)
    assert (done.returncode, "could not find plugin narrow" in done.stderr) == (125, True)
    done = primed.minirun("network", "rm", "alley")
    assert "what it created on this host is left as it is" in done.stderr
    assert "alley" not in primed.minirun("network", "ls").stdout
