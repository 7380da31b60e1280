"""Check the kernel, the host as a router, minirun's rules and those of other firewalls."""

import os
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_network
from pathlib import Path

from minirun.diagnostics.doctor.findings import GOOD, NOTE, PROBLEM, WARNING, Finding
from minirun.diagnostics.topology.survey import read_topology
from minirun.instance import Instance
from minirun.kernel import apparmor, cgroups, controllers
from minirun.kernel.host_changes import host_setting_ensure
from minirun.kernel.link_queries import interfaces
from minirun.kernel.rulesets import nft_tables
from minirun.kernel.sockets import egress_mtu
from minirun.lab import facts
from minirun.model import Place
from minirun.network.faults import describe_fault
from minirun.network.firewall.foreign.backends import BACKENDS
from minirun.network.firewall.foreign.detect import REPORTED, advice, blocking_places, bridges_of
from minirun.network.ipam.foreign_subnets import foreign_subnets
from minirun.network.repair.damage import find_damage
from minirun.network.repair.restore import repair
from minirun.store.faults import has_reserve

_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_FORWARDING = (("net/ipv4/ip_forward", 4), ("net/ipv6/conf/all/forwarding", 6))
_LEAST_SPACE, _LEAST_INODES = 16 << 20, 64  # for records, and what a start writes
_OLDEST_KERNEL = (5, 10)  # the newest system calls in use are openat2 (5.6) and close_range (5.9)


def kernel(instance: Instance) -> Iterator[Finding]:
    """Check the kernel's version and the features that containers need."""
    release = os.uname().release
    version = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdecimal())
    if version < _OLDEST_KERNEL:
        oldest = ".".join(map(str, _OLDEST_KERNEL))
        yield Finding(WARNING, f"the kernel is older than {oldest}", release, "use a newer kernel")
    missing = [name for name in _NAMESPACES if not Path("/proc/self/ns", name).exists()]
    if missing:
        what = f"the kernel does not support {', '.join(missing)} namespaces"
        yield Finding(PROBLEM, what, "/proc/self/ns", "use another kernel")
    if "overlay" not in Path("/proc/filesystems").read_text() and not Path("/sys/module/overlay").exists():
        yield Finding(PROBLEM, "overlayfs is not available", "/proc/filesystems", "modprobe overlay")
    try:
        nft_tables()
    except OSError as error:
        yield Finding(PROBLEM, "nftables is not available", str(error), "modprobe nf_tables")
    yield Finding(GOOD, f"Linux {release}")
    if lab := facts.current():
        yield from _lab(lab)
    if not lab or lab.has_cgroup:
        yield from _cgroups()
    yield from _user_namespaces()


def disk(instance: Instance) -> Iterator[Finding]:
    """Check that records can be written: without space, a container's end may get lost."""
    status = os.statvfs(instance.root)
    free, inodes = status.f_bavail * status.f_frsize, status.f_favail
    evidence = f"df {instance.root}: {free // 1024} KiB free, {inodes} inodes"
    fix = "minirun system prune, or make room otherwise"
    if free < _LEAST_SPACE or (status.f_files and inodes < _LEAST_INODES):
        yield Finding(PROBLEM, f"the file system of {instance.root} is full", evidence, fix)
    elif not has_reserve(instance.root):
        yield Finding(WARNING, "the reserve for records on a full disk is used up", evidence, fix)


def _lab(lab: facts.Lab) -> Iterator[Finding]:
    yield Finding(GOOD, f"a lab of {lab.user}")
    for sentence, why in facts.lacks(lab):
        yield Finding(NOTE, f"this lab: {sentence}", why)


def _cgroups() -> Iterator[Finding]:
    if cgroups.unified() is None:
        fix = "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"
        yield Finding(WARNING, "the cgroup v2 hierarchy is not mounted", "", fix)
    missing = [name for name in ("memory", "cpu", "pids") if not controllers.acts(name)]
    if missing:
        evidence = "controllers: " + (" ".join(sorted(controllers.homes())) or "none")
        what = f"limits on {', '.join(missing)} are not supported"
        yield Finding(NOTE, what, evidence, "mount the host's cgroup controllers")


def _user_namespaces() -> Iterator[Finding]:
    """Check what --userns needs. Ubuntu's restriction is for unprivileged processes, and minirun runs as root."""
    limit = Path("/proc/sys/user/max_user_namespaces")
    if limit.exists() and limit.read_text().strip() == "0":
        yield Finding(NOTE, "user namespaces are disabled", str(limit), "sysctl -w user.max_user_namespaces=10000")
    restriction = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if restriction.exists() and restriction.read_text().strip() == "1":
        yield Finding(NOTE, "AppArmor forbids user namespaces to unprivileged processes", str(restriction))
    if apparmor.is_enabled() and not apparmor.can_load():
        yield Finding(NOTE, "AppArmor is enabled, but its profiles cannot be loaded", "", "apt install apparmor")


def router(instance: Instance) -> Iterator[Finding]:
    """Check IP forwarding, MTUs, and subnets that overlap with others."""
    networks = [network for network in instance.store.networks() if network.bridge and not network.internal]
    for key, version in _FORWARDING:
        is_used = any(network.pool6 if version == 6 else network.pool for network in networks)
        path = Path("/proc/sys", key)
        if is_used and instance.store.has_endpoints() and path.exists() and path.read_text().strip() == "0":
            name = key.replace("/", ".")
            yield Finding(
                PROBLEM,
                f"IPv{version} forwarding is off: containers cannot reach other hosts, and published ports don't work",
                f"{name} is 0",
                f"sysctl -w {name}=1",
                partial(host_setting_ensure, name, "1"),
            )
    yield from _mtu(instance)
    yield from _overlapping_interfaces(instance)
    yield from _overlapping_owners(instance)


def _mtu(instance: Instance) -> Iterator[Finding]:
    host_mtu = egress_mtu()
    links = {link.name: link for link in interfaces()}
    for network in instance.store.networks():
        link = links.get(network.bridge)
        if host_mtu and link and network.mtu > host_mtu and not network.internal:
            yield Finding(
                WARNING,
                f"the MTU of network {network.name} is larger than that of the host's default route",
                f"MTU {network.mtu} on {network.bridge}, {host_mtu} on the default route",
                f"recreate it: minirun network create -o com.docker.network.driver.mtu={host_mtu} ...",
            )


def _overlapping_interfaces(instance: Instance) -> Iterator[Finding]:
    """With two routes to one address, one of them leads to the wrong interface."""
    networks = instance.store.networks()
    bridges = {network.bridge for network in networks if network.pool}
    for link in interfaces():
        for address in link.addresses:
            other = ip_network(f"{address.address}/{address.prefix}", strict=False)
            if link.name in bridges or other.version != 4:
                continue
            for network in networks:
                if network.pool and network.pool.subnet.overlaps(other):
                    yield Finding(
                        PROBLEM,
                        f"the subnet of network {network.name} overlaps with that of {link.name}",
                        f"{network.pool.subnet} and {address} on {link.name}",
                        f"minirun network rm {network.name}, then create it with another --subnet",
                    )


def _overlapping_owners(instance: Instance) -> Iterator[Finding]:
    for subnet, owner in foreign_subnets():
        for network in instance.store.networks():
            if network.pool and subnet.version == 4 and network.pool.subnet.overlaps(subnet):
                what = f"the subnet of network {network.name} overlaps with one of {owner}"
                yield Finding(NOTE, what, f"{network.pool.subnet} and {subnet}")


def rules(instance: Instance) -> Iterator[Finding]:
    """Compare minirun's rules, bridges and interfaces with the records, and look for firewalls that drop packets."""
    if find_damage(instance).tables:
        evidence = f"nft list table inet {instance.table}"
        what = "rules are missing in minirun's tables"
        yield Finding(PROBLEM, what, evidence, "minirun network reload", lambda: repair(instance))
    for problem in read_topology(instance).problems:
        yield Finding(
            PROBLEM, problem, "minirun map", "minirun network reload", lambda: repair(instance, everything=True)
        )
    if instance.store.has_endpoints():
        yield from _foreign_firewalls(instance)


def faults(instance: Instance) -> Iterator[Finding]:
    """Name the faults on purpose."""
    for fault in instance.store.faults_in_force():
        what = f"a fault on purpose: {describe_fault(instance, fault)}"
        yield Finding(NOTE, what, "minirun fault ls", f"minirun fault rm {fault.id}")


def _foreign_firewalls(instance: Instance) -> Iterator[Finding]:
    reach = bridges_of(instance)
    recorded = set(instance.store.places())
    for place in blocking_places(instance):
        if place.kind == REPORTED:
            what, _, fix = advice(place, reach).partition(". To allow it: ")
            yield Finding(PROBLEM, what, _chain(place), fix)
        elif place not in recorded or not BACKENDS[place.kind].is_applied(place, reach):
            yield Finding(
                PROBLEM,
                f"another firewall drops forwarded packets, and its chain {place.chain} lacks minirun's rules",
                _chain(place),
                "minirun network reload",
                lambda: repair(instance, everything=True, rules=True),
            )
        else:
            what = f"another firewall drops forwarded packets; minirun's rules in its chain {place.chain} accept them"
            yield Finding(GOOD, what, _chain(place))


def _chain(place: Place) -> str:
    return f"{place.family} {place.table} {place.chain}"
