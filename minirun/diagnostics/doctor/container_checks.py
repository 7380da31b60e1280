"""Check which addresses programs listen on, and whether a packet to each published port arrives."""

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial

from minirun.diagnostics.doctor.findings import GOOD, PROBLEM, WARNING, Finding
from minirun.diagnostics.trace.endpoints import HOST, OUTSIDE, Source, port_of_host
from minirun.diagnostics.trace.probe import send_probe
from minirun.diagnostics.trace.reasons import diagnose
from minirun.engine.readiness import ReadinessCheck
from minirun.engine.restart import is_lost, revive
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel.netns import netns_attach, netns_del, netns_is_pinned, pin_path
from minirun.model import ACTIVE, Container, Publication, Status
from minirun.network.operations import dns_connection

_START_TIMEOUT, _POLL = 15.0, 0.05  # seconds
_SECONDS = 2.5  # the first packet, or the ARP request before it, may be lost; it is sent again after a second


def lost(instance: Instance) -> Iterator[Finding]:
    """Report containers that were killed with their shims and did not start again, though their policy asks for it."""
    for container in instance.store.containers():
        if is_lost(container):
            policy = f"--restart={container.spec.restart.name}"
            what = f"{container.name} ({policy}) was killed with its shim, and has not been started again"
            repair = partial(_revive, instance, container)
            yield Finding(PROBLEM, what, f"minirun inspect {container.name}", "minirun system start --lost", repair)


def _revive(instance: Instance, container: Container) -> None:
    """Have it started, and wait until it is, or has been given up: a check follows."""
    revive(instance, container)
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline:
        current = instance.store.container(container.id)
        if current is None or current.status is Status.RUNNING or not (is_lost(current) or current.status in ACTIVE):
            return
        time.sleep(_POLL)


def pins(instance: Instance) -> Iterator[Finding]:
    """Check that network namespaces of running containers, and of the DNS server, are where all callers find them."""
    for container in _running(instance):
        if container.init and not _is_reachable(container):
            what = f"the network namespace of {container.name} is not pinned: its network cannot be changed or repaired"
            repair = partial(_pin, container.name, container.init.pid)
            fix = f"ip netns attach {container.name} {container.init.pid}"
            yield Finding(PROBLEM, what, str(pin_path(container.name)), fix, repair)
    if instance.store.has_named_endpoints() and not netns_is_pinned(instance.dns_netns):
        what = "the DNS server's network namespace is not pinned: containers on custom networks cannot be started"
        fix = "start any container on a custom network"
        yield Finding(PROBLEM, what, str(pin_path(instance.dns_netns)), fix, lambda: dns_connection(instance).close())


def _is_reachable(container: Container) -> bool:
    """Whether its network namespace is pinned, or is the host's: else nothing can be asked there."""
    return not container.sandbox or netns_is_pinned(container.name)


def _pin(name: str, pid: int) -> None:
    netns_del(name)  # a file that nothing is mounted on
    netns_attach(name, pid)


def listeners(instance: Instance) -> Iterator[Finding]:
    """Warn of published ports whose program listens only on the container's loopback."""
    for container in filter(_is_reachable, _running(instance)):
        try:
            with closing(ReadinessCheck(instance, container, ())) as waiting:
                warnings = waiting.warnings()
        except MinirunError:
            continue  # the container has just ended
        for warning in warnings:
            yield Finding(WARNING, warning.removeprefix("WARNING: "), "the container's sockets")


def ports(instance: Instance) -> Iterator[Finding]:
    """Send a packet to every published TCP port on IPv4; of a range, to its first port."""
    for container in filter(_is_reachable, _running(instance)):
        for publication in instance.store.ports(container=container.id):
            if publication.mapping.protocol == "tcp" and publication.target.version == 4 and not publication.is_relayed:
                yield _probe(instance, container, publication)


def _running(instance: Instance) -> list[Container]:
    return [container for container in instance.store.containers() if container.status is Status.RUNNING]


def _probe(instance: Instance, container: Container, publication: Publication) -> Finding:
    mapping = publication.mapping
    address = mapping.host_address
    source = Source(instance, HOST if address is not None and address.is_loopback else OUTSIDE)
    try:
        port = str(mapping.host_port) if address is None or address.is_unspecified else mapping.place
        journey = send_probe(instance, source, port_of_host(instance, port.partition("-")[0]), _SECONDS)
        diagnosis = diagnose(instance, journey)
    finally:
        source.close()
    what = f"{container.name}: {mapping}: {diagnosis.sentence}"
    if diagnosis.arrived:
        return Finding(GOOD, what)
    return Finding(PROBLEM, what, f"minirun trace {port}", "; ".join(diagnosis.advice))
