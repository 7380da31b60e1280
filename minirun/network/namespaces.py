"""Network namespaces and veth pairs without a container, for `minirun netns` and docs/learn.

Networks are made of the same kernel operations. Nothing here is recorded: a namespace is a name in /run/netns, as
for ip-netns(8), and deleting either end of a veth pair deletes both.
"""

import errno
import os
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

from minirun.errors import FAILED, ConflictError, MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.kernel.links import address_add, link_del, link_move, link_up, pair_add
from minirun.kernel.loopback import loopback_up
from minirun.kernel.netns import (
    entered,
    netns_add,
    netns_del,
    netns_exists,
    netns_is_used,
    netns_names,
    netns_open,
    pin_path,
)

_MAX_NAME = 15  # bytes of an interface name (IFNAMSIZ - 1)
_MAX_PAIRS = 99


@dataclass(frozen=True)
class VethEnd:
    """One end of a veth pair: the namespace it goes to, and its address."""

    netns: str
    address: IPv4Interface | IPv6Interface | None


def names() -> list[str]:
    """Return the names of all pinned namespaces, whoever created them."""
    return netns_names()


def owners(instance: Instance) -> dict[str, str]:
    """Return the owner of each namespace that is in use by minirun: a container, or the DNS server."""
    containers = {member.name: f"container {member.name}" for member in instance.store.containers() if member.sandbox}
    return {**containers, instance.dns_netns: "the DNS server"}


def create(name: str) -> None:
    """Create a namespace with loopback up. ConflictError when the name is taken."""
    try:
        netns_add(name)
    except FileExistsError:
        raise ConflictError(f"network namespace {name} exists already ({pin_path(name)})", "", FAILED) from None
    with entered(name):
        loopback_up()


def remove(instance: Instance, name: str) -> None:
    """Remove a namespace and the veth pairs that end in it. NotFoundError; ConflictError when minirun uses it."""
    _require(name)
    if owner := owners(instance).get(name):
        raise ConflictError(f"network namespace {name} belongs to {owner}", "minirun rm removes a container", FAILED)
    if not netns_is_used(name):
        _delete_links(name)
    netns_del(name)


def connect(first: VethEnd, second: VethEnd) -> tuple[str, str]:
    """Connect two namespaces by a veth pair. Return the names of its ends, each in its namespace and up.

    When a step fails, the pair is deleted. NotFoundError when a namespace does not exist.
    """
    for end in (first, second):
        _require(end.netns)
    if first.netns == second.netns:
        raise MinirunError("a veth pair connects two namespaces: give two different names", code=FAILED)
    ends = [(_free_name(end.netns), end) for end in (first, second)]
    pair_add(ends[0][0], ends[1][0])
    try:
        for name, end in ends:
            _move(name, end)
    except BaseException:
        _delete_pair(ends)
        raise
    return ends[0][0], ends[1][0]


def _move(name: str, end: VethEnd) -> None:
    fd = netns_open(end.netns)
    try:
        link_move(name, end.netns, fd)
    finally:
        os.close(fd)
    with entered(end.netns):
        if end.address is not None:
            address_add(name, end.address)
        link_up(name)


def _delete_pair(ends: list[tuple[str, VethEnd]]) -> None:
    for name, end in ends:
        link_del(name)
        with entered(end.netns):
            link_del(name)


def _delete_links(name: str) -> None:
    """Delete the namespace's links now: the kernel would, but some milliseconds after the namespace is gone, and the
    next command would still find the other ends. Links that cannot be deleted are left to the kernel."""
    with entered(name):
        for link in _links() - {"lo"}:
            try:
                link_del(link)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise


def _free_name(netns: str) -> str:
    """Return veth-NETNS, or with -2, -3, ...: a name free here, where the pair is created, and in the namespace."""
    with entered(netns):
        taken = _links()
    taken |= _links()
    for number in range(1, _MAX_PAIRS + 1):
        suffix = "" if number == 1 else f"-{number}"
        name = f"veth-{netns}"[: _MAX_NAME - len(suffix)] + suffix
        if name not in taken:
            return name
    raise MinirunError(f"{netns} has {_MAX_PAIRS} veth pairs already", code=FAILED)


def _links() -> set[str]:
    lines = Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
    return {line.partition(":")[0].strip() for line in lines}


def _require(name: str) -> None:
    if not netns_exists(name):
        raise NotFoundError(f"no such network namespace: {name}", f"minirun netns create {name}", FAILED)
