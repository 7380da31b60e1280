"""Beside other firewalls' rule sets, made by their real programs: containers work and those rules stay unchanged."""

import re
import subprocess

import pytest

from tests.harness import Host, Neighbour, Snapshot, assert_same, eventually
from tests.harness.debian_packages import DOCKER as DOCKER_PACKAGES
from tests.harness.debian_packages import FIREWALLD, IPTABLES, UFW, overlay_packages
from tests.harness.docker_engine import DOCKER, start_docker
from tests.harness.fault_sweep import count_operations, inject_fault

_SERVE = ("httpd", "-f", "-h", "/var/www")


_SWITCH = "/proc/sys/net/bridge/bridge-nf-call-iptables"


@pytest.fixture
def host(host: Host) -> Host:
    overlay_packages(host, IPTABLES)
    return host


def others(host: Host) -> list[str]:
    """All rules but those of minirun's own table, as nft and as iptables say them, without counters."""
    script = """
    for t in $(nft list tables | grep -v ' minirun' | sed 's/table //; s/ /:/' | sort); do
      nft list table ${t%:*} ${t#*:}
    done
    iptables-save; ip6tables-save; iptables-legacy-save; ip6tables-legacy-save"""
    text = re.sub(r"packets \d+ bytes \d+|\[\d+:\d+\]", "", host.sh(script))
    return [line for line in text.splitlines() if not line.startswith("# ")]


def fetch(at: str) -> list[str]:
    return ["timeout", "3", "busybox", "wget", "-qO-", f"http://{at}/"]


def reaches(host: Host, container: str, at: str, seconds: int = 3) -> bool:
    words = ["timeout", str(seconds), "wget", "-qO-", f"http://{at}/"]
    return bool(host.minirun("exec", container, *words, check=False).stdout)


def is_cut_off(host: Host, container: str, at: str) -> bool:
    return not reaches(host, container, at, seconds=1)


def is_way_out_closed(host: Host, lan: Neighbour) -> bool:
    """Whether `web` reaches no other host. (A command of minirun would repair that first.)"""
    words = ["timeout", "1", *fetch(f"{lan.address}:7000")[2:]]
    return not host.run(["ip", "netns", "exec", "web", *words], check=False).stdout


def start_containers(host: Host) -> None:
    """`web` is published, `same` is in its network, `else` in another one."""
    host.minirun("run", "-d", "--name", "web", "-p", "8080:80", "busybox", *_SERVE)
    host.minirun("run", "-d", "--name", "same", "busybox", *_SERVE)
    host.minirun("network", "create", "other")
    host.minirun("run", "-d", "--name", "else", "--net=other", "busybox", *_SERVE)


def assert_paths(host: Host, lan: Neighbour) -> None:
    """Out, in by a published port on every way, and from one to the other; also where bridged packets are filtered."""
    for br_netfilter in ("0", "1"):
        host.sh(f"[ ! -e {_SWITCH} ] || echo {br_netfilter} > {_SWITCH}")
        _assert_paths(host, lan)


def _assert_paths(host: Host, lan: Neighbour) -> None:
    web = host.minirun("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web").stdout.strip()
    for container in ("web", "else"):
        eventually(lambda name=container: reaches(host, name, f"{lan.address}:7000"))
    assert lan.run(fetch(f"{lan.host_address}:8080"), check=False).stdout
    assert host.run(fetch(f"{lan.host_address}:8080"), check=False).stdout
    assert host.run(fetch("127.0.0.1:8080"), check=False).stdout
    assert reaches(host, "same", web)
    assert reaches(host, "else", f"{lan.host_address}:8080")


def serving(host: Host) -> Neighbour:
    """Another machine with a web server."""
    lan = host.neighbour(default_route=True)
    host.sh("mkdir -p /run/www; echo lan > /run/www/index.html")
    lan.popen(["busybox", "httpd", "-f", "-p", "7000", "-h", "/run/www"])
    return lan


def remove_all(host: Host) -> None:
    host.minirun("rm", "-f", "web", "same", "else")
    host.minirun("network", "rm", "other")


def only_marked(before: list[str], after: list[str]) -> set[str]:
    """What is new, after making sure that nothing is gone and that all of it is marked."""
    new = list(after)
    for line in before:
        new.remove(line)
    assert all("minirun: " in line for line in new if line.strip() not in ("", "}")), new
    return {line.strip() for line in new}


# --- Docker


@pytest.fixture
def docker(host: Host) -> Host:
    overlay_packages(host, DOCKER_PACKAGES)
    return host


def test_beside_a_docker_engine(docker: Host) -> None:
    lan = serving(docker)
    start_docker(docker)
    assert "-P FORWARD DROP" in docker.sh("iptables -S FORWARD")
    docker.sh(
        f"{DOCKER} run -d --name published -p 8081:80 box /bin/httpd -f -h /var/www;"
        f"{DOCKER} network create -o com.docker.network.bridge.name=odd0 odd;"
        f"{DOCKER} run -d --name hidden --net odd box /bin/httpd -f -h /var/www",
        timeout=120,  # on a machine without systemd each start of Docker's takes ten seconds
    )
    hidden = docker.sh(
        f"{DOCKER} inspect -f '{{{{range .NetworkSettings.Networks}}}}{{{{.IPAddress}}}}{{{{end}}}}' hidden"
    ).strip()
    before = others(docker)
    start_containers(docker)
    assert_paths(docker, lan)
    new = only_marked(before, others(docker))
    assert 'iifname "minirun0" counter  accept comment "minirun: from minirun0"' in new
    assert '-A DOCKER-USER -o mr-+ -m comment --comment "minirun: to mr-*" -j ACCEPT' in new
    # Docker's own go on, each reaches what the other has published, and nothing else of it.
    assert lan.run(fetch(f"{lan.host_address}:8081")).stdout
    in_docker = f"{DOCKER} exec hidden /bin/busybox timeout 3 /bin/busybox wget -qO- http://"
    assert docker.sh(f"{in_docker}{lan.address}:7000/", check=False)
    assert docker.sh(f"{in_docker}{lan.host_address}:8080/", check=False)
    assert reaches(docker, "web", f"{lan.host_address}:8081")
    assert is_cut_off(docker, "web", hidden)
    remove_all(docker)
    assert others(docker) == before


def test_docker_started_later_is_handled_by_the_next_start_and_a_crash_leaves_nothing(docker: Host) -> None:
    lan = serving(docker)
    start_containers(docker)
    with docker.unwatched():
        start_docker(docker)
        docker.sh(
            f"iptables -P FORWARD DROP; iptables -I DOCKER-USER -s {lan.address} -p tcp --dport 81 -j DROP;"
            "iptables-save | iptables-restore"
        )
        before = others(docker)
        assert is_way_out_closed(docker, lan)
    docker.minirun("run", "--rm", "busybox", "true")
    assert_paths(docker, lan)
    rules = docker.sh("iptables -S DOCKER-USER").splitlines()
    assert "--dport 81" in rules[1]  # the administrator's own come first
    assert rules[-1] == "-A DOCKER-USER -j RETURN"
    docker.sh("iptables-save | iptables-restore")  # by which the comments move into the rules
    docker.minirun("run", "--rm", "busybox", "true")
    assert docker.sh("iptables -S DOCKER-USER").splitlines() == rules
    docker.sh("for n in 1 2 3 4; do iptables -D DOCKER-USER 6; done")  # some of them are lost
    docker.minirun("run", "--rm", "busybox", "true")
    assert docker.sh("iptables -S DOCKER-USER").splitlines() == rules
    for name in ("web", "same", "else"):
        pid = docker.minirun("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
        docker.sh(f"kill -9 $(awk '/^PPid/ {{ print $2 }}' /proc/{pid}/status)")  # its monitor
    eventually(lambda: docker.minirun("ps", "-q").stdout == "")
    assert others(docker) == before


def test_docker_on_legacy_iptables(docker: Host) -> None:
    lan = serving(docker)
    docker.sh("for i in iptables ip6tables; do ln -sf /usr/sbin/$i-legacy /etc/alternatives/$i; done")
    start_docker(docker)
    assert "-P FORWARD DROP" in docker.sh("iptables-legacy -S FORWARD")
    before = others(docker)
    start_containers(docker)
    assert_paths(docker, lan)
    new = only_marked(before, others(docker))
    assert '-A DOCKER-USER -i minirun0 -m comment --comment "minirun: from minirun0" -j ACCEPT' in new
    docker.minirun("run", "--rm", "busybox", "true")
    assert only_marked(before, others(docker)) == new
    remove_all(docker)
    assert others(docker) == before


def test_without_a_drop_no_rules_are_added(host: Host) -> None:
    """Rules as libvirt's and podman's: they reject what concerns their own bridges alone."""
    lan = serving(host)
    host.sh(
        "for i in iptables ip6tables; do $i -N LIBVIRT_FWI; $i -A FORWARD -j LIBVIRT_FWI;"
        " $i -A LIBVIRT_FWI -o virbr0 -j REJECT; $i -N DOCKER-USER; $i -I FORWARD -j DOCKER-USER; done;"
        " iptables -t nat -A POSTROUTING -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE;"
    )
    host.run(
        ["nft", "-f", "-"],
        input="table inet netavark {\n chain FORWARD {\n type filter hook forward priority 0; policy accept\n"
        " ct state invalid drop\n oifname podman0 drop\n}\n}\n",
    )
    before = others(host)
    start_containers(host)
    assert_paths(host, lan)
    assert others(host) == before


# --- ufw


def test_beside_ufw(host: Host) -> None:
    overlay_packages(host, UFW)
    lan = serving(host)
    host.sh(
        "cp /usr/share/ufw/iptables/*.rules /usr/share/ufw/*.init /usr/share/ufw/ufw.conf /etc/ufw/;"
        "ufw --force enable; ufw allow 22/tcp; ufw route deny from any to any port 9; ufw reload"
    )
    before = others(host)
    start_containers(host)
    assert_paths(host, lan)
    new = only_marked(before, others(host))
    assert '-A ufw-user-forward -i minirun0 -m comment --comment "minirun: from minirun0" -j ACCEPT' in new
    assert "--dport 9" in host.sh("iptables -S ufw-user-forward").splitlines()[1]  # the administrator's come first
    with host.unwatched():
        host.sh("ufw reload")  # flushes its chains
        assert is_way_out_closed(host, lan)
    assert_paths(host, lan)  # at once: the DNS server's process watches
    remove_all(host)
    assert others(host) == before
    host.sh("ufw disable")
    host.minirun("run", "-d", "--name", "web", "busybox", *_SERVE)
    assert "minirun: " not in "".join(others(host))


# --- firewalld


def start_firewalld(host: Host) -> None:
    overlay_packages(host, FIREWALLD)
    host.sh(  # as the installation of dbus does
        "getent passwd messagebus || { echo messagebus:x:999:999::/:/bin/false >> /etc/passwd;"
        " echo messagebus:x:999: >> /etc/group; }"
    )
    # It gives up the capability to pass directories that are not its own, and some machines have such a root.
    host.sh("echo 'raise ImportError' > /run/capng.py; mkdir -p /run/dbus; dbus-daemon --system --fork --nopidfile")
    host.popen(
        ["env", "PYTHONPATH=/run", "firewalld", "--nofork", "--nopid"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: "running" in host.sh("firewall-cmd --state", check=False).split(), 30)


def test_beside_firewalld(host: Host) -> None:
    lan = serving(host)
    start_firewalld(host)
    # What a zone needs is made with its first interface, and stays: that is firewalld's way.
    host.sh("firewall-cmd --zone=trusted --add-interface=odd0; firewall-cmd --zone=trusted --remove-interface=odd0")
    before = others(host)
    start_containers(host)
    assert_paths(host, lan)
    assert host.sh("firewall-cmd --zone=trusted --list-interfaces").split() == ["minirun0", "mr-+"]
    with host.unwatched():
        host.sh("firewall-cmd --reload")
        assert is_way_out_closed(host, lan)
    assert_paths(host, lan)  # at once: the DNS server's process watches
    host.minirun("rm", "-f", "else")
    host.minirun("network", "rm", "other")  # the last with names: nobody watches once the DNS server has ended
    eventually(lambda: host.sh("pgrep -f [m]inirun.network.dns", check=False) == "")
    host.sh("firewall-cmd --reload")
    assert is_way_out_closed(host, lan)
    host.minirun("run", "--rm", "busybox", "true")
    assert reaches(host, "web", f"{lan.address}:7000")
    host.minirun("network", "create", "other")
    host.minirun("run", "-d", "--name", "else", "--net=other", "busybox", *_SERVE)
    remove_all(host)
    assert host.sh("firewall-cmd --zone=trusted --list-interfaces").split() == []
    assert others(host) == before


# --- base chains that drop, of owners who provide no place for others


_SITE = """table inet site {
  chain in { type filter hook input priority 0; policy drop; iifname { lo, lan0 } accept; ct state established accept; }
  chain pass { type filter hook forward priority 0; policy %s; ct state established accept; tcp dport 9 drop; %s }
  chain rest { counter; reject; }
}
"""
_EXPLICIT = "tcp dport 9"


def load_site(host: Host, policy: str, last: str) -> None:
    text = (_SITE % (policy, last)).replace("; ", ";\n").replace(" }", "\n}").replace("{ lo, lan0\n}", "{ lo, lan0 }")
    host.run(["nft", "-f", "-"], input=f"table inet site {{}}\ndelete table inet site\n{text}")


_OWNERS = "{0} -A FORWARD -p tcp --dport 9 -j DROP; "
_POLICY = _OWNERS + "{0} -P FORWARD DROP"
_CHAIN = _OWNERS + (
    "{0} -N all; {0} -A all -j LOG; {0} -A all -j DROP; {0} -A FORWARD -j all; {0} -A FORWARD -i nosuch -j ACCEPT"
)
DROPPING = {
    "iptables-nft policy": _POLICY.format("iptables"),
    "iptables-nft chain": _CHAIN.format("iptables"),
    "iptables-legacy policy": _POLICY.format("iptables-legacy"),
    "iptables-legacy chain": _CHAIN.format("iptables-legacy"),
}
SITES = {"nft policy": ("drop", ""), "nft reject": ("accept", "log; reject;"), "nft goto": ("drop", "goto rest;")}


def drop(host: Host, kind: str) -> None:
    if kind in SITES:
        load_site(host, *SITES[kind])
    else:
        host.sh(DROPPING[kind])


@pytest.mark.parametrize("kind", [*DROPPING, *SITES])
def test_a_host_that_drops_what_it_forwards(host: Host, kind: str) -> None:
    """Containers work, what the owner forbids by a rule of its own stays forbidden, and nothing stays behind."""
    lan = serving(host)
    lan.popen(["busybox", "httpd", "-f", "-p", "9", "-h", "/run/www"])
    drop(host, kind)
    before = others(host)
    said = host.minirun("run", "--rm", "busybox", "true").stderr
    assert "cut off" not in said
    assert others(host) == before
    start_containers(host)
    assert_paths(host, lan)
    assert is_cut_off(host, "web", f"{lan.address}:9")
    new = only_marked(before, others(host))
    assert any("from minirun0" in line for line in new)
    findings = host.minirun("doctor", "--all").stdout
    assert "minirun's rules in its chain" in findings
    assert "drops forwarded packets, and" not in findings
    host.minirun("run", "--rm", "busybox", "true")
    assert only_marked(before, others(host)) == new  # they are not moved, nor doubled
    remove_all(host)
    assert others(host) == before


@pytest.mark.parametrize("kind", ["iptables-nft policy", "iptables-legacy policy", "nft policy"])
def test_who_reloads_such_rules_gets_minirun_back_with_the_next_command(host: Host, kind: str) -> None:
    lan = serving(host)
    drop(host, kind)
    start_containers(host)
    with host.unwatched():
        if kind == "nft policy":
            load_site(host, *SITES[kind])
        else:
            program = kind.split()[0]
            host.sh(f"{program} -F FORWARD; {program} -A FORWARD -p tcp --dport 9 -j DROP")
        assert is_way_out_closed(host, lan)
    host.minirun("ps")
    assert not is_way_out_closed(host, lan)
    assert reaches(host, "web", f"{lan.address}:7000")
    assert_paths(host, lan)


def test_a_rule_that_its_owner_adds_behind_minirun_s_counts(host: Host) -> None:
    lan = serving(host)
    drop(host, "iptables-nft policy")
    start_containers(host)
    assert reaches(host, "web", f"{lan.address}:7000")
    host.sh("iptables -A FORWARD -p tcp --dport 7000 -j DROP")
    host.minirun("ps")
    rules = host.sh("iptables -S FORWARD").splitlines()
    assert rules[2] == "-A FORWARD -p tcp -m tcp --dport 7000 -j DROP"
    assert is_cut_off(host, "web", f"{lan.address}:7000")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("iptables", "by a rule in chain FORWARD of iptables' table ip filter: tcp dport 80 counter drop. It is"),
        ("iptables-legacy", "probably by a rule of iptables-legacy. It is its owner's, and minirun leaves it as it is"),
    ],
)
def test_what_a_rule_of_the_owner_drops_is_named(host: Host, program: str, message: str) -> None:
    host.sh(f"{program} -P FORWARD DROP; {program} -A FORWARD -p tcp --dport 80 -j DROP")
    host.minirun("run", "-d", "--name", "web", "-p", "8080:80", "busybox", *_SERVE)
    assert message in host.minirun("trace", "8080", check=False).stdout
    assert f"web: 0.0.0.0:8080->80/tcp: dropped on this host, {message}".replace("host, by", "host by") in (
        host.minirun("doctor", check=False).stdout
    )


def test_a_place_of_others_that_no_packet_reaches_is_none(host: Host) -> None:
    """As Docker's chain on a host that Docker has left."""
    lan = serving(host)
    host.sh("iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN")
    start_containers(host)
    assert_paths(host, lan)
    assert "minirun" not in host.sh("iptables -S DOCKER-USER")


def test_iptables_legacy_that_is_not_installed_is_reported_once_and_the_advice_works(host: Host) -> None:
    lan = serving(host)
    host.sh("iptables-legacy -P FORWARD DROP; mount --bind /dev/null $(readlink -f /usr/sbin/iptables-legacy)")
    said = host.minirun("run", "-d", "--name", "web", "-p", "8080:80", "busybox", *_SERVE).stderr
    assert "containers may be cut off: chain FORWARD of iptables-legacy table filter drops forwarded packets" in said
    assert is_cut_off(host, "web", f"{lan.address}:7000")
    assert "cut off" not in host.minirun("run", "-d", "--name", "same", "busybox", *_SERVE).stderr
    host.sh("umount $(readlink -f /usr/sbin/iptables-legacy)")
    host.sh(said.partition("To allow it: ")[2].splitlines()[0])
    assert reaches(host, "web", f"{lan.address}:7000")


def test_a_watcher_that_starts_after_the_change_sees_it(host: Host) -> None:
    """As when a start's own process for it is still importing, or while a killed one is replaced."""
    host.minirun("network", "create", "red")
    host.minirun("run", "-d", "--net=red", "busybox", *_SERVE)
    host.sh(
        "pkill -KILL -f '[m]inirun.network.dns.process';"
        "nft 'add table ip filter; add chain ip filter DOCKER-USER;"
        "add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'"
    )
    eventually(lambda: 'oifname "mr-*" counter' in host.sh("nft list table ip filter"))


def test_firewalld_without_its_daemon_is_reported(host: Host) -> None:
    host.run(
        ["nft", "-f", "-"],
        input="table inet firewalld {\n chain filter_FORWARD {\n type filter hook forward priority 10\n reject\n}\n}\n",
    )
    said = host.minirun("run", "--rm", "busybox", "true").stderr
    assert "firewall-cmd --zone=trusted --add-interface=minirun0" in said
    assert "cut off" not in host.minirun("run", "--rm", "busybox", "true").stderr


def test_chains_of_family_bridge_that_drop_are_reported_once_and_named(host: Host) -> None:
    hooks = ("input", "forward", "output")
    for hook in hooks:
        table = f"bridge guard-{hook}"
        host.sh(
            f"nft 'add table {table}; add chain {table} guard {{ type filter hook {hook} priority 0; policy drop; }}'"
        )
    problems = [f"chain guard of nftables table bridge guard-{hook} drops bridged packets" for hook in hooks]
    said = host.minirun("run", "-d", "--name", "web", "busybox", *_SERVE).stderr
    assert all(f"containers may be cut off: {problem}" in said for problem in problems)
    assert "nft insert rule bridge guard-input guard meta ibrname" in said
    assert "cut off" not in host.minirun("run", "-d", "busybox", *_SERVE).stderr
    assert all(problem in host.minirun("doctor", check=False).stdout for problem in problems)
    for hook in hooks:
        host.sh(f"nft add rule bridge guard-{hook} guard accept")
    assert "bridged packets" not in host.minirun("doctor", check=False).stdout


def test_ipv6_chains_are_used_only_while_a_network_has_ipv6(host: Host) -> None:
    host.sh(
        "ip6tables -P FORWARD DROP; ip6tables -N ufw6-user-forward; ip6tables -A FORWARD -j ufw6-user-forward;"
        "ip6tables -N DOCKER-USER; ip6tables -I FORWARD -j DOCKER-USER"
    )
    before = others(host)
    host.minirun("run", "-d", "--name", "four", "busybox", "sleep", "100")
    assert others(host) == before
    host.minirun("network", "create", "--ipv6", "--opt", "com.docker.network.bridge.name=br-mine", "six")
    host.minirun("run", "-d", "--name", "six", "--net=six", "busybox", "sleep", "100")
    rules = host.sh("ip6tables -S DOCKER-USER; ip6tables -S ufw6-user-forward").splitlines()
    mine = rules.index('-A DOCKER-USER -i br-mine -m comment --comment "minirun: from br-mine" -j ACCEPT')
    dockers = rules.index(
        '-A DOCKER-USER -i br-+ -m comment --comment "minirun: from br-* is left to Docker" -j RETURN'
    )
    assert mine < dockers  # its name is like those of Docker's bridges
    assert '-A ufw6-user-forward -o minirun0 -m comment --comment "minirun: to minirun0" -j ACCEPT' in rules
    host.minirun("rm", "-f", "six")
    host.minirun("network", "rm", "six")
    assert others(host) == before  # no network has IPv6 any more
    host.minirun("rm", "-f", "four")
    assert others(host) == before


@pytest.mark.parametrize("how", ["fail", "kill"])
def test_a_fault_during_removal_leaves_no_rules(primed: Host, how: str) -> None:
    overlay_packages(primed, IPTABLES)
    primed.sh("iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -I FORWARD -j DOCKER-USER")
    eventually(lambda: "veth" not in primed.sh("ip link"))
    before = Snapshot.of(primed)
    words = ["run", "--rm", "busybox", "true"]
    total = count_operations(primed, words)
    left = 0
    for step in range(total - 7, total + 1):
        inject_fault(primed, how, step, words)
        left += "minirun: " in primed.sh("iptables -S DOCKER-USER")
        primed.minirun("ps")
        assert_same(primed, before)
    assert left  # the next command had something to remove
