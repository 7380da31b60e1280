"""Network namespaces and cables without a container: the bare mechanism that networks are made of, by the same
operations (docs/networking.md).

Nothing of it is on record. A namespace is a name in /run/netns, as for ip(8), and a cable goes with either end.
"""

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

from minirun.errors import FAILED, ConflictError, MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.kernel.links import address_add, link_del, link_move, link_up, pair_add
from minirun.kernel.netns import PINS, entered, netns_add, netns_del, netns_exists, netns_is_used, pin_path
from minirun.kernel.sockets import loopback_up

_LONGEST = 15  # bytes of an interface's name (IFNAMSIZ)


@dataclass(frozen=True)
class End:
    """One end of a cable: where it is plugged in, and with which address."""

    netns: str
    address: IPv4Interface | IPv6Interface | None


def names() -> list[str]:
    """Of all that are pinned, whoever made them."""
    return sorted(os.listdir(PINS)) if PINS.is_dir() else []


def owners(instance: Instance) -> dict[str, str]:
    """Of those that are not free for all: container, or the resolver."""
    found = {one.name: f"container {one.name}" for one in instance.store.containers() if one.sandbox}
    return {**found, instance.resolver_netns: "the resolver"}


def create(name: str) -> None:
    try:
        netns_add(name)
    except FileExistsError:
        raise ConflictError(f"there is a network namespace {name} already ({pin_path(name)})", "", FAILED) from None
    with entered(name):
        loopback_up()


def remove(instance: Instance, name: str) -> None:
    _check_there(name)
    if owner := owners(instance).get(name):
        raise ConflictError(f"the network namespace {name} is that of {owner}", "minirun rm ends a container", FAILED)
    if not netns_is_used(name):
        _unplug_all(name)
    netns_del(name)


def _unplug_all(name: str) -> None:
    """The kernel would do so, some milliseconds after the namespace is gone: a next command would still find the other
    ends. What is not a cable stays for the kernel."""
    with entered(name):
        for link in _links() - {"lo"}:
            try:
                link_del(link)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise


def connect(one: End, other: End) -> tuple[str, str]:
    """The names of the two ends, each in its namespace and up. When a part fails, there is no cable."""
    for end in (one, other):
        _check_there(end.netns)
    if one.netns == other.netns:
        raise MinirunError("a cable has two ends: give two namespaces", code=FAILED)
    ends = [(_free_name(end.netns), end) for end in (one, other)]
    first, second = (name for name, _ in ends)
    pair_add(first, second)
    try:
        for name, end in ends:
            _plug(name, end)
    except BaseException:
        _take_back(ends)
        raise
    return first, second


def _plug(name: str, end: End) -> None:
    fd = os.open(pin_path(end.netns), os.O_RDONLY | os.O_CLOEXEC)
    try:
        link_move(name, end.netns, fd)
    finally:
        os.close(fd)
    with entered(end.netns):
        if end.address is not None:
            address_add(name, end.address)
        link_up(name)


def _take_back(ends: Iterable[tuple[str, End]]) -> None:
    """Either end takes the other along."""
    for name, end in ends:
        link_del(name)
        with entered(end.netns):
            link_del(name)


def _free_name(netns: str) -> str:
    """veth-sfo, then veth-sfo-2: neither here, where the pair is born, nor there."""
    with entered(netns):
        taken = _links()
    taken |= _links()
    for number in range(1, 100):
        suffix = "" if number == 1 else f"-{number}"
        name = f"veth-{netns}"[: _LONGEST - len(suffix)] + suffix
        if name not in taken:
            return name
    raise MinirunError(f"{netns} has a hundred cables already", code=FAILED)


def _links() -> set[str]:
    lines = Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
    return {line.partition(":")[0].strip() for line in lines}


def _check_there(name: str) -> None:
    if not netns_exists(name):
        raise NotFoundError(f"no such network namespace: {name}", f"minirun netns create {name}", FAILED)
