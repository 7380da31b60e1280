"""Faults on purpose, on a container's cable and in a network's names (`minirun fault`).

A fault is a record (model.Fault). The firewall renders the rules of those in force (firewall/faults.py), shapes.py
sets queueing disciplines, and the DNS server reads answers from the records. A fault stays through restarts of its
container. It ends when it is healed, with its container or network, or with its owner.

Adding records the fault as pending, changes the kernel, and then calls it active. Healing marks it, takes it out of the
kernel, and then deletes it. So a command that is killed at any point leaves a record by which the next one heals.
"""

import errno
import os
import secrets
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from minirun.errors import MinirunError, NotFoundError, describe
from minirun.instance import Instance
from minirun.kernel import processes
from minirun.kernel.netns import entered
from minirun.kernel.qdiscs import has_qdisc
from minirun.kernel.tcp_connections import Connection, connection_kill, connections
from minirun.model import BOTH, INWARD, Container, Fault, FaultKind, FaultState, Mode, Network, Process
from minirun.network.dns.veth import has_names
from minirun.network.firewall import tables
from minirun.network.networks import network_by_name
from minirun.network.shapes import SHAPING, shape_again
from minirun.store.lookup import find_container

_QDISCS = {FaultKind.DELAY: ("netem", "CONFIG_NET_SCH_NETEM"), FaultKind.BANDWIDTH: ("tbf", "CONFIG_NET_SCH_TBF")}


def cable_of(instance: Instance, reference: str) -> str:
    """Return the id of the container whose network namespace `reference` is in: its own, or that of its --net.

    MinirunError when it has no cable.
    """
    container = find_container(instance.store, reference)
    request = container.spec.network
    if request.mode is Mode.CONTAINER:
        return cable_of(instance, request.container)
    if request.mode is not Mode.BRIDGE:
        what = "the host's network" if request.mode is Mode.HOST else "no network"
        raise MinirunError(
            f"container {container.name} has {what}: there is no cable to put a fault on",
            "faults are for containers on bridge networks",
        )
    return container.id


def network_of(instance: Instance, reference: str) -> Network:
    """Return the network, which has to be a bridge: cables of others do not pass this host's rules."""
    network = network_by_name(instance, reference)
    if not network.bridge:
        raise MinirunError(f"network {network.name} has the driver {network.driver}: faults are for bridge networks")
    return network


def add(instance: Instance, fault: Fault, owner: Process | None) -> Fault:
    """Add a fault, and return it with its id. MinirunError, with nothing changed, where it cannot work."""
    check(instance, fault)
    store = instance.store
    command = Process(os.getpid(), processes.start_time(os.getpid()) or 0)
    fault = replace(fault, id=secrets.token_hex(6), created=time.time(), state=FaultState.PENDING)
    with store.write():
        store.add_fault(fault, command)
        if owner is not None:
            store.set_owner("fault", fault.id, owner)
    try:
        with store.write():
            _apply(instance, [fault])
            store.set_fault_state(fault.id, FaultState.ACTIVE)
    except BaseException:
        heal(instance, fault)
        raise
    return replace(fault, state=FaultState.ACTIVE)


def heal(instance: Instance, *faults: Fault) -> None:
    """Take faults out of the kernel and of the record, all in one transaction each. Idempotent."""
    store = instance.store
    if not faults:
        return
    with store.write():
        for fault in faults:
            store.set_fault_state(fault.id, FaultState.HEALING)
    with store.write():
        _apply(instance, faults)
        for fault in faults:
            store.delete_fault(fault.id)


def heal_by_ids(instance: Instance, ids: Iterable[str]) -> None:
    """Heal those faults that are still on record."""
    heal(instance, *(fault for each in ids if (fault := instance.store.fault(each))))


def heal_unfinished(instance: Instance) -> None:
    """Heal the faults that a killed command was adding or healing."""
    boot = processes.boot_id()
    for fault in instance.store.unfinished_faults():
        command = fault.command
        is_adding = command is not None and fault.boot == boot and processes.start_time(command.pid) == command.started
        if fault.state is FaultState.HEALING or not is_adding:
            try:
                heal(instance, fault)
            except OSError as error:  # tried again by the next command: this one has something else to do
                print(f"minirun: cannot heal fault {fault.id}: {describe(error)}", file=sys.stderr)


def heal_of_container(instance: Instance, container_id: str) -> None:
    """Heal the faults of a container that is being removed."""
    if instance.store.has_faults():
        heal(instance, *(each for each in instance.store.faults() if container_id in (each.container, each.peer)))


def find(instance: Instance, reference: str) -> Fault:
    """Return the fault that an id, or the start of one, means. NotFoundError."""
    matching = instance.store.find_faults(reference)
    if not matching:
        raise NotFoundError(f"No such fault: {reference}", "minirun fault ls lists them")
    if len(matching) > 1:
        raise MinirunError(f"multiple faults found with provided prefix: {reference}", "use more of the id")
    return matching[0]


def reset_connections(instance: Instance, sandbox: str, ports: Sequence[int], peer_port: int) -> list[Connection]:
    """Reset TCP connections of a container that runs, by its own ports or the other end's; () and 0 for all of them.

    Return those that were reset.
    """
    name = instance.store.pin_of(sandbox)
    if not name:
        container = instance.store.container(sandbox)
        raise MinirunError(f"container {container.name if container else sandbox[:12]} is not running")
    with entered(name):
        chosen = [
            each
            for each in connections()
            if not each.peer.is_loopback
            and (not ports or each.port in ports or each.peer_port in ports)
            and peer_port in (0, each.peer_port)
        ]
        try:
            return [each for each in chosen if connection_kill(each)]
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            raise MinirunError(
                "this kernel cannot reset connections: it was built without CONFIG_INET_DIAG_DESTROY",
                "use a kernel that has it, or `minirun fault blackhole`",
            ) from None


def containers_in(instance: Instance, network: Network) -> list[str]:
    """Return the ids of the sandboxes that have an endpoint in a network."""
    return list(dict.fromkeys(endpoint.sandbox for endpoint in instance.store.endpoints(network=network.id)))


def default_direction(container: str) -> str:
    """Of a container both; of a whole network what its containers receive: so a packet between two is hit once."""
    return BOTH if container else INWARD


def names(instance: Instance, fault: Fault) -> tuple[str, str]:
    """Return the names of the containers (of a partition "a and b", "" for a whole network), and of the network."""

    def name_of(container: Container | None, container_id: str) -> str:
        return container.name if container else container_id[:12]

    ids = [each for each in (fault.container, fault.peer) if each]
    network = instance.store.network(fault.network) if fault.network else None
    return " and ".join(name_of(instance.store.container(each), each) for each in ids), network.name if network else ""


def describe_fault(instance: Instance, fault: Fault) -> str:
    """Say what a fault is, in one line without its id: `loss 10% on the cable of web in network town`."""
    containers, network = names(instance, fault)
    if fault.kind is FaultKind.PARTITION:
        text = f"partition of {containers}"
    elif fault.kind is FaultKind.DNS:
        text = fault.text
    else:
        text = f"{fault.text}, on " + (f"the cable of {containers}" if containers else "all cables")
    return f"{text} in network {network}" if network else text


def _apply(instance: Instance, faults: Sequence[Fault]) -> None:
    """Have the kernel agree with the record about these faults. The caller holds the write lock."""
    for fault in faults:
        if fault.kind in SHAPING:
            shape_again(instance, fault)
    if any(fault.kind not in SHAPING and fault.kind is not FaultKind.DNS for fault in faults):
        tables.refresh(instance.store, instance.table)


def check(instance: Instance, fault: Fault) -> None:
    """Check that a fault can work on this host. MinirunError."""
    if fault.peer and fault.peer == fault.container:
        raise MinirunError("a partition is between two containers with network namespaces of their own")
    if fault.kind is FaultKind.DNS:
        network = instance.store.network(fault.network)
        if network is not None and not has_names(network):
            raise MinirunError(
                f"network {network.name} has no DNS server: names are for custom networks",
                "minirun network create NETWORK, and run the containers with --network NETWORK",
            )
    if fault.kind in _QDISCS:
        kind, option = _QDISCS[fault.kind]
        if not has_qdisc(kind):
            raise MinirunError(
                f"this kernel cannot do it: a {fault.kind} needs the queueing discipline {kind} ({option}), which it"
                " was built without, or whose module is not installed",
                f"modprobe sch_{kind}, or use a kernel with {option}; loss, partition, blackhole, reset and dns work"
                " without it",
            )
