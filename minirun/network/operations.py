"""The network's operations: all that the engine and the shim ask of the network.

A start uses `setup`, whose phases the engine calls in their order, and whoever ends a container `teardown`. Commands on
an existing container use `connect`, `disconnect`, `publish` and `unpublish`; the shim completes one that was killed
(`apply_update`). Every command begins with `reconcile`.
"""

import json
import socket
import sqlite3
import sys
from dataclasses import dataclass, replace
from types import TracebackType

from minirun.errors import MinirunError, describe
from minirun.instance import DNS_SOCKET, Instance
from minirun.model import DEFAULT_NETWORK, Container, Mode, Spec
from minirun.network import etc_files, sysctls
from minirun.network.dns import server_control
from minirun.network.dns.veth import endpoints_with_networks, first_with_names
from minirun.network.etc_files import hostname_of
from minirun.network.faults import heal_by_ids, heal_of_container, heal_unfinished
from minirun.network.firewall import foreign
from minirun.network.membership import connect, disconnect, leave_removed, unlink
from minirun.network.modes import NetworkMode, mode_of
from minirun.network.networks import options_of, remove_unused
from minirun.network.ports import reservations
from minirun.network.ports.mappings import (
    PreviousPorts,
    default_addresses,
    is_reserved,
    port_numbers,
    requested_mappings,
)
from minirun.network.ports.publish import publish, unpublish
from minirun.network.ports.reservations import MAX_LOW_SOCKETS
from minirun.network.repair.restore import repair_damage
from minirun.network.reset import ResetReport, steps_on_host
from minirun.network.sandbox import note_namespace, noted_namespace, refuse_foreign_pin, teardown
from minirun.network.update import ContainerUpdate, SendSockets, apply_update

__all__ = [
    "MAX_LOW_SOCKETS",
    "ContainerUpdate",
    "ForShim",
    "ResetReport",
    "SendSockets",
    "Setup",
    "apply_update",
    "check_pin",
    "connect",
    "disconnect",
    "dns_connection",
    "has_names",
    "heal_by_ids",
    "heal_of_container",
    "hostname_of",
    "is_reserved",
    "leave_removed",
    "noted_namespace",
    "options_of",
    "publish",
    "reconcile",
    "refuse_foreign_pin",
    "remove_unused",
    "setup",
    "steps_on_host",
    "sysctls_of_others",
    "teardown",
    "unlink",
    "unpublish",
]

Ulimit = tuple[str, int, int]  # name, soft, hard


@dataclass(frozen=True)
class ForShim:
    """What a container's shim keeps for the network."""

    sockets: list[socket.socket]
    """Port reservations; with `has_names`, last the connection that keeps the DNS server alive."""

    has_names: bool
    ulimits: tuple[Ulimit, ...]
    """The program's own limit of open files, when the shim's was raised for so many sockets."""


class Setup:
    """The network of one start of a container. The engine calls the methods in the order in which they stand here.

    A context manager: its end closes this process's copies of the sockets. On failure nothing here has to be undone by
    hand; `teardown` does it from the record.
    """

    def __init__(self, instance: Instance, mode: NetworkMode) -> None:
        self._instance = instance
        self._mode = mode
        self._reserved = reservations.PortReservations()
        self._dns: socket.socket | None = None

    def __enter__(self) -> "Setup":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._reserved.close()
        if self._dns is not None:
            self._dns.close()

    def reserve_ports(self, container: Container, fresh: bool) -> None:
        """Reserve the published ports on the host. ConflictError names the owner of one that is taken.

        A container that is not `fresh` gets the random ports of its last start again, if they are free.
        """
        spec = container.spec
        if spec.network.mode is Mode.BRIDGE and (spec.ports or spec.publish_all):
            requested = requested_mappings(spec)
            previous = None if fresh else PreviousPorts(self._instance.store.held(container.id), requested)
            addresses = default_addresses(self._instance, spec)
            self._reserved = reservations.reserve(self._instance.store, requested, previous, addresses)

    def allocate(self, container: Container) -> Container:
        """Record the container's sandbox, endpoints, addresses and ports, within the transaction of the start.

        Returns the container with its sandbox, and with placed mappings in place of the requested ones, which stay on
        record as they are.
        """
        store = self._instance.store
        check_pin(container.name, container.spec)  # a pin that exists now is somebody else's
        if self._reserved.mappings:
            container = replace(container, spec=replace(container.spec, ports=tuple(self._reserved.mappings)))
        container = replace(container, sandbox=self._mode.allocate(self._instance, container))
        endpoints = store.endpoints(sandbox=container.id)
        sysctls.refuse_unknown_interfaces(container, {endpoint.interface for endpoint in endpoints})
        reservations.record_mappings(self._instance, container, self._reserved.mappings, endpoints)
        store.set_values(container.id, sandbox=container.sandbox)
        if self._reserved.mappings or not container.spec.auto_remove:  # the next start tries the same again
            addresses = {endpoint.network: str(endpoint.address) for endpoint in endpoints}
            store.set_values(container.id, held=json.dumps(addresses | port_numbers(container.spec.ports)))
        return container

    def pin(self, container: Container) -> str:
        """Write the container's /etc files and pin its network namespace. Return the pin's name, "" for the host's."""
        etc_files.write_files(self._instance, container, self._instance.container_dir(container.id))
        netns = self._mode.pin(self._instance, container)
        if netns:
            note_namespace(self._instance, container)
        sysctls.set_for_namespace(container)
        return netns

    def for_shim(self, container: Container, pid: int) -> ForShim:
        """Return what the shim, process `pid`, keeps. Raises that process's limit of open files if necessary."""
        sockets, ulimits = list(self._reserved.sockets), []
        if len(sockets) > MAX_LOW_SOCKETS:
            ulimits.append(reservations.raise_file_limit(pid, len(sockets)))
        request = container.spec.network
        may_have_names = request.mode is Mode.CONTAINER or not set(request.names) <= {DEFAULT_NETWORK}
        if may_have_names and has_names(self._instance, container.sandbox):
            self._dns = dns_connection(self._instance)
            sockets.append(self._dns)
        return ForShim(sockets, self._dns is not None, tuple(ulimits))

    def attach(self, container: Container) -> list[str]:
        """Attach interfaces and apply rules and routes, while the first process sets up its root file system.

        Returns notes for the user, such as a kernel setting that was changed.
        """
        notes = self._mode.attach(self._instance, container)
        self._reserved.shut(self._instance.store)
        return notes


def setup(instance: Instance, spec: Spec) -> Setup:
    """Validate the network of a start and return it. Nothing is changed yet. MinirunError when it cannot work."""
    mode = mode_of(spec)
    mode.validate(instance, spec)
    return Setup(instance, mode)


def check_pin(name: str, spec: Spec) -> None:
    """Check that a container of this name may pin its network namespace. ConflictError when the pin exists."""
    if spec.network.mode is not Mode.HOST:
        refuse_foreign_pin(name)


def sysctls_of_others(spec: Spec) -> tuple[tuple[str, str], ...]:
    """Return the settings of --sysctl that are none of the network's, and are written by the first process."""
    return tuple(one for one in spec.sysctls if one not in sysctls.of_network(spec))


def has_names(instance: Instance, sandbox: str) -> bool:
    """Return whether a sandbox is in a network with names, so that its members need the DNS server."""
    return first_with_names(endpoints_with_networks(instance, sandbox)) is not None


def dns_connection(instance: Instance) -> socket.socket:
    """Connect to the DNS server, started if necessary. It runs for as long as anybody holds such a connection."""
    return server_control.connect_or_start(instance)


def end_dns_server_soon(instance: Instance) -> None:
    """Have the DNS server end as soon as nobody needs it, and not only after its idle time."""
    if (instance.root / DNS_SOCKET).exists():
        server_control.end_soon(instance)


def reconcile(instance: Instance, repairs: bool) -> None:
    """Remove what killed processes left of the network; with `repairs`, repair damage to networks in use."""
    store = instance.store
    heal_unfinished(instance)
    if store.has_foreign_rules() and not store.has_endpoints():
        foreign.remove_leftovers(instance)
    if (instance.root / DNS_SOCKET).exists():
        server_control.remove_leftovers(instance)
    if repairs:
        repair(instance)


def repair(instance: Instance) -> None:
    """Repair damage to the networks in use, and tell on standard error of what cannot be repaired."""
    try:
        failed = repair_damage(instance)
    except (OSError, MinirunError, sqlite3.Error) as error:  # what the command itself is for may work all the same
        failed = [f"cannot look for damage to networks: {describe(error)}"]
    for line in failed:
        print(f"minirun: {line}", file=sys.stderr)
