"""minirun fault partition, loss, delay, bandwidth, blackhole, reset, dns: faults on purpose."""

import os
import time
from dataclasses import dataclass, replace
from typing import Annotated

from typer import Argument, Option

from minirun.cli.completion.values import containers, networks, words
from minirun.cli.parameters import NONE, with_option_groups
from minirun.cli.session import commands, open_instance
from minirun.engine.owners import guarded_owner
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import Fault, FaultKind
from minirun.network import faults
from minirun.options.faults import (
    FAILURES,
    parse_answer,
    parse_delay,
    parse_direction,
    parse_failure,
    parse_percent,
    parse_rate,
)
from minirun.options.ports import parse_container_port
from minirun.options.values import parse_duration

app = commands()
_Container = Annotated[str, Argument(metavar="[CONTAINER]", autocompletion=containers())]
_Direction = Annotated[
    str,
    Option(
        "--direction",
        help="Which packets: what the container receives (in), sends (out), or both (default; of a network: in)",
        autocompletion=words("in", "out", "both"),
    ),
]


@dataclass(frozen=True)
class Lasting:
    """The options of faults that last."""

    seconds: Annotated[str, Option("--for", help="Stay for this long, then heal", metavar="duration")] = ""
    network: Annotated[
        str, Option("--network", help="Only this network; without CONTAINER, all of it", autocompletion=networks)
    ] = ""
    owner_pid: Annotated[
        int, Option("--owner-pid", help="Heal the fault when this process ends, however it does ($$: the shell)")
    ] = 0


@app.command("partition")
@with_option_groups
def partition(
    container: Annotated[str, Argument(metavar="CONTAINER", autocompletion=containers())],
    other: Annotated[str, Argument(metavar="CONTAINER", autocompletion=containers())],
    lasting: Lasting,
) -> None:
    """Let no packet pass between two containers.

    Also not by published ports and other networks, unless --network names one.
    """
    instance = open_instance()
    network = faults.network_of(instance, lasting.network).id if lasting.network else ""
    first, second = faults.cable_of(instance, container), faults.cable_of(instance, other)
    _add(instance, Fault("", FaultKind.PARTITION, network, first, second), lasting)


@app.command("loss")
@with_option_groups
def loss(
    percent: Annotated[str, Option("--percent", help="How many packets of a hundred are lost", metavar="float")],
    lasting: Lasting,
    container: _Container = "",
    direction: _Direction = "",
) -> None:
    """Lose packets at random."""
    lost = parse_percent(percent)
    instance = open_instance()
    _add(instance, replace(_fault(instance, FaultKind.LOSS, container, lasting, direction), percent=lost), lasting)


@app.command("delay")
@with_option_groups
def delay(
    time: Annotated[str, Option("--time", help="How long each packet waits, such as 100ms", metavar="duration")],
    lasting: Lasting,
    container: _Container = "",
    direction: _Direction = "",
    jitter: Annotated[str, Option("--jitter", help="Plus or minus this, at random", metavar="duration")] = "0",
) -> None:
    """Delay packets. The kernel needs netem for it (CONFIG_NET_SCH_NETEM)."""
    wait, spread = parse_delay(time, "time"), parse_delay(jitter, "jitter")
    if not wait or spread > wait:
        raise MinirunError("a delay is more than 0, and --jitter is at most as long")
    instance = open_instance()
    fault = _fault(instance, FaultKind.DELAY, container, lasting, direction)
    _add(instance, replace(fault, delay=wait, jitter=spread), lasting)


@app.command("bandwidth")
@with_option_groups
def bandwidth(
    rate: Annotated[str, Option("--rate", help="Bits in a second, such as 64kbit or 1mbit", metavar="rate")],
    lasting: Lasting,
    container: _Container = "",
    direction: _Direction = "",
) -> None:
    """Limit how much passes in a second. Packets wait for their turn, up to 0.2 s."""
    bits = parse_rate(rate)
    instance = open_instance()
    _add(instance, replace(_fault(instance, FaultKind.BANDWIDTH, container, lasting, direction), rate=bits), lasting)


@app.command("blackhole")
@with_option_groups
def blackhole(
    lasting: Lasting,
    container: _Container = "",
    port: Annotated[
        list[str], Option("--port", help="Only packets to this port, and its answers", metavar="PORT[/PROTOCOL]")
    ] = NONE,
) -> None:
    """Drop all packets to and from a container, or to some of its ports: no answer, and no error."""
    numbers = tuple(parse_container_port(each) for each in port)
    instance = open_instance()
    fault = _fault(instance, FaultKind.BLACKHOLE, container, lasting, "both")
    _add(instance, replace(fault, ports=numbers), lasting)


@app.command("dns")
@with_option_groups
def dns(
    network: Annotated[str, Argument(metavar="NETWORK", autocompletion=networks)],
    name: Annotated[str, Argument(metavar="NAME")],
    answer: Annotated[list[str], Option("--answer", help="An address to answer with", metavar="ip")] = NONE,
    fail: Annotated[
        str,
        Option("--fail", help=f"How queries fail: {', '.join(FAILURES)}", autocompletion=words(*FAILURES)),
    ] = "",
    seconds: Annotated[str, Option("--for", help="Stay for this long, then heal", metavar="duration")] = "",
    owner_pid: Annotated[
        int, Option("--owner-pid", help="Heal the fault when this process ends, however it does ($$: the shell)")
    ] = 0,
) -> None:
    """Answer queries for a name wrongly, or let them fail, for the containers of a network."""
    if bool(answer) == bool(fail):
        raise MinirunError("give either --answer or --fail")
    answers = tuple(parse_answer(each) for each in answer)
    failure = parse_failure(fail) if fail else ""
    instance = open_instance()
    target = faults.network_of(instance, network).id
    name = name.rstrip(".").lower()
    fault = Fault("", FaultKind.DNS, target, name=name, answers=answers, failure=failure)
    _add(instance, fault, Lasting(seconds, network, owner_pid))


@app.command("reset")
def reset(
    container: Annotated[str, Argument(metavar="[CONTAINER]", autocompletion=containers("running"))] = "",
    network: Annotated[
        str, Option("--network", help="Without CONTAINER: of all containers in it", autocompletion=networks)
    ] = "",
    peer_port: Annotated[int, Option("--peer-port", help="Only the connection whose other end has this port")] = 0,
    port: Annotated[list[str], Option("--port", help="Only connections to or from this port", metavar="PORT")] = NONE,
) -> int:
    """Reset TCP connections of a container, once: both ends see it. Print the connections."""
    if bool(container) == bool(network):
        raise MinirunError("give either a container or --network")
    ports = [parse_container_port(each)[0] for each in port]
    instance = open_instance()
    if container:
        sandboxes = [faults.cable_of(instance, container)]
    else:
        sandboxes = faults.containers_in(instance, faults.network_of(instance, network))
    found = [each for one in sandboxes for each in faults.reset_connections(instance, one, ports, peer_port)]
    for connection in found:
        print(connection)
    if not found:
        raise MinirunError("there is no such connection")
    return 0


def _fault(instance: Instance, kind: FaultKind, container: str, lasting: Lasting, direction: str) -> Fault:
    """Return a fault of this kind on the cable of a container, or on all of a network."""
    if not container and not lasting.network:
        raise MinirunError("give a container, or --network for all containers of a network")
    network = faults.network_of(instance, lasting.network).id if lasting.network else ""
    cable = faults.cable_of(instance, container) if container else ""
    direction = parse_direction(direction) if direction else faults.default_direction(cable)
    return Fault("", kind, network, cable, direction=direction)


def _add(instance: Instance, fault: Fault, lasting: Lasting) -> None:
    """Add the fault and print its id; with --for, wait, and heal it. This process owns it meanwhile."""
    seconds = parse_duration(lasting.seconds, "for") if lasting.seconds else 0.0
    pid = lasting.owner_pid or (os.getpid() if seconds else 0)
    if seconds and lasting.owner_pid:
        raise MinirunError("give either --for or --owner-pid")
    faults.check(instance, fault)  # before a guard is started, which stays as long as its owner
    added = faults.add(instance, fault, guarded_owner(instance, pid) if pid else None)
    print(added.id, flush=True)
    if seconds:
        try:
            time.sleep(seconds)
        finally:
            faults.heal(instance, added)
