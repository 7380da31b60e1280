"""The kernel, the host as a router, and others' rules."""

import os
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

from minirun.diagnostics.doctor.findings import GOOD, NOTE, TROUBLE, WARNING, Finding
from minirun.diagnostics.topology.survey import read
from minirun.instance import Instance
from minirun.kernel import apparmor, cgroups, controllers
from minirun.kernel.nft import nft_tables
from minirun.kernel.sockets import egress_mtu
from minirun.kernel.topology import interfaces
from minirun.model import Place
from minirun.network.firewall.foreign_chains import advice, blocking_places, reach_of
from minirun.network.firewall.foreign_places import TOLD
from minirun.network.ipam.foreign_subnets import foreign_subnets
from minirun.network.repair.damage import find_damage
from minirun.network.repair.restore import repair

_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_FORWARDING = (("net/ipv4/ip_forward", 4), ("net/ipv6/conf/all/forwarding", 6))
_AT_LEAST = (5, 10)  # of what is used, openat2 and close_range are the youngest (5.6, 5.9)


def kernel(instance: Instance) -> Iterator[Finding]:
    release = os.uname().release
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdecimal())
    if numbers < _AT_LEAST:
        yield Finding(WARNING, f"the kernel is older than {_AT_LEAST[0]}.{_AT_LEAST[1]}", release, "use a newer one")
    missing = [name for name in _NAMESPACES if not Path("/proc/self/ns", name).exists()]
    if missing:
        yield Finding(
            TROUBLE, f"this kernel has no {', '.join(missing)} namespaces", "/proc/self/ns", "use another kernel"
        )
    if "overlay" not in Path("/proc/filesystems").read_text() and not Path("/sys/module/overlay").exists():
        yield Finding(TROUBLE, "overlayfs is not there", "/proc/filesystems", "modprobe overlay")
    try:
        nft_tables()
    except OSError as error:
        yield Finding(TROUBLE, "nftables does not answer", str(error), "modprobe nf_tables")
    yield Finding(GOOD, f"Linux {release}")
    yield from _groups()
    yield from _users()


def _groups() -> Iterator[Finding]:
    if cgroups.unified() is None:
        yield Finding(WARNING, "there is no cgroup v2 hierarchy", "", "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified")
    lacking = [name for name in ("memory", "cpu", "pids") if not controllers.acts(name)]
    if lacking:
        evidence = "controllers: " + (" ".join(sorted(controllers.homes())) or "none")
        yield Finding(
            NOTE, f"no limits of {', '.join(lacking)} can be set", evidence, "mount the controllers of the host"
        )


def _users() -> Iterator[Finding]:
    """For --userns. Ubuntu's restriction is for unprivileged processes, and minirun is root."""
    most = Path("/proc/sys/user/max_user_namespaces")
    if most.exists() and most.read_text().strip() == "0":
        yield Finding(NOTE, "user namespaces are switched off", str(most), "sysctl -w user.max_user_namespaces=10000")
    restricted = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if restricted.exists() and restricted.read_text().strip() == "1":
        yield Finding(NOTE, "AppArmor keeps unprivileged processes from user namespaces", str(restricted), "")
    if apparmor.is_enabled() and not apparmor.can_load():
        yield Finding(NOTE, "AppArmor is enabled, and no profile can be loaded", "", "apt install apparmor")


def router(instance: Instance) -> Iterator[Finding]:
    networks = [network for network in instance.store.networks() if network.bridge and not network.internal]
    for key, version in _FORWARDING:
        wanted = any(network.pool6 if version == 6 else network.pool for network in networks)
        path = Path("/proc/sys", key)
        if wanted and instance.store.has_endpoints() and path.exists() and path.read_text().strip() == "0":
            name = key.replace("/", ".")
            yield Finding(
                TROUBLE,
                f"the host does not forward: containers reach nobody outside, and nobody reaches them (IPv{version})",
                f"{name} is 0",
                f"sysctl -w {name}=1",
                lambda path=path: path.write_text("1"),  # type: ignore[misc]
            )
    yield from _mtu(instance)
    yield from _overlaps(instance)


def _mtu(instance: Instance) -> Iterator[Finding]:
    way_out = egress_mtu()
    links = {link.name: link for link in interfaces()}
    for network in instance.store.networks():
        link = links.get(network.bridge)
        if way_out and link and network.mtu > way_out and not network.internal:
            yield Finding(
                WARNING,
                f"packets of network {network.name} may be larger than what passes the way out",
                f"MTU {network.mtu} on {network.bridge}, {way_out} on the way out",
                f"make it anew: minirun network create -o com.docker.network.driver.mtu={way_out} ...",
            )


def _overlaps(instance: Instance) -> Iterator[Finding]:
    """Two ways to one address: one of them leads nowhere."""
    mine = [(network, pool.subnet) for network in instance.store.networks() for pool in (network.pool,) if pool]
    bridges = {network.bridge for network, _ in mine}
    for link in interfaces():
        for one in link.addresses:
            there = ip_network(f"{one.address}/{one.prefix}", strict=False)
            for network, subnet in mine:
                if link.name not in bridges and there.version == 4 and subnet.overlaps(there):
                    yield Finding(
                        TROUBLE,
                        f"network {network.name} has addresses that {link.name} has, too",
                        f"{subnet} and {one} on {link.name}",
                        f"minirun network rm {network.name}, and make it with another --subnet",
                    )
    for theirs, owner in foreign_subnets():
        for network, own in mine:
            if theirs.version == 4 and own.overlaps(theirs):
                yield Finding(NOTE, f"network {network.name} has addresses of {owner}", f"{own} and {theirs}", "")


def rules(instance: Instance) -> Iterator[Finding]:
    """What is minirun's own and differs from the records; and who else drops what is forwarded."""
    if find_damage(instance).tables:
        what = "rules are missing in minirun's own tables"
        seen = f"nft list table inet {instance.table}"
        yield Finding(TROUBLE, what, seen, "minirun network reload", lambda: repair(instance))
    for line in read(instance).troubles:
        yield Finding(TROUBLE, line, "minirun map", "minirun network reload", lambda: repair(instance, everything=True))
    if not instance.store.has_endpoints():
        return
    reach = reach_of(instance)
    known = set(instance.store.places())
    for place in blocking_places(instance):
        told = advice(place, reach)
        if place.kind == TOLD:
            what, _, how = told.partition(". To allow it: ")
            yield Finding(TROUBLE, what, _name(place), how)
        elif place not in known:
            yield Finding(
                TROUBLE,
                f"a firewall drops what is forwarded, and minirun has no rule in its chain {place.chain} yet",
                _name(place),
                "minirun network reload",
                lambda: repair(instance, everything=True, rules=True),
            )
        else:
            yield Finding(GOOD, f"beside another firewall, by a rule in its chain {place.chain}", _name(place))


def _name(place: Place) -> str:
    return f"{place.family} {place.table} {place.chain}"
