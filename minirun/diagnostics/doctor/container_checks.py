"""Who listens where, and whether a packet to each published port arrives."""

from collections.abc import Iterator
from contextlib import closing

from minirun.diagnostics.doctor.findings import GOOD, TROUBLE, WARNING, Finding
from minirun.diagnostics.trace.endpoints import HOST, OUTSIDE, Source, port_of_host
from minirun.diagnostics.trace.probe import walk
from minirun.diagnostics.trace.reasons import judge
from minirun.engine.readiness import Waiting
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import Container, Publication, Status

_SECONDS = 2.5  # the first packet, or its question for an address, may be lost and is sent again after a second


def listeners(instance: Instance) -> Iterator[Finding]:
    for one in _running(instance):
        yield from _listeners(instance, one)


def ports(instance: Instance) -> Iterator[Finding]:
    for one in _running(instance):
        yield from _ports(instance, one)


def _running(instance: Instance) -> list[Container]:
    return [one for one in instance.store.containers() if one.status is Status.RUNNING]


def _listeners(instance: Instance, container: Container) -> Iterator[Finding]:
    try:
        with closing(Waiting(instance, container, ())) as waiting:
            for line in waiting.warnings():
                yield Finding(WARNING, line.removeprefix("WARNING: "), "its sockets", "")
    except MinirunError:
        return  # it has just ended


def _ports(instance: Instance, container: Container) -> Iterator[Finding]:
    """One packet to each; of a range to its first port."""
    for one in instance.store.ports(container=container.id):
        mapping = one.mapping
        if mapping.protocol != "tcp" or one.target.version != 4:
            continue
        yield _traced(instance, container, one)


def _traced(instance: Instance, container: Container, one: Publication) -> Finding:
    address = one.mapping.host_address
    source = Source(instance, HOST if address is not None and address.is_loopback else OUTSIDE)
    try:
        where = str(one.mapping.host_port) if address is None or address.is_unspecified else one.mapping.place
        journey = walk(instance, source, port_of_host(instance, where.partition("-")[0]), _SECONDS)
        found = judge(instance, journey)
    finally:
        source.close()
    what = f"{container.name}: {one.mapping}"
    if found.arrived:
        return Finding(GOOD, f"{what}: {found.sentence}")
    return Finding(TROUBLE, f"{what}: {found.sentence}", f"minirun trace {where}", "; ".join(found.advice))
