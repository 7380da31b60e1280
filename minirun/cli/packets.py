"""minirun trace, minirun capture: the way of one packet, and packets as they pass."""

import json as json_format
import os
import sys
from contextlib import ExitStack, suppress
from typing import Annotated, BinaryIO

from typer import Argument, Option

from minirun.cli.completion.values import FILE, containers, objects, words
from minirun.cli.session import commands, open_instance, warn
from minirun.diagnostics.trace import pcap, report
from minirun.diagnostics.trace.endpoints import (
    ANYBODY,
    Source,
    in_netns_of,
    port_of_host,
    running_container,
    target_of,
)
from minirun.diagnostics.trace.probe import await_packet, send_probe
from minirun.diagnostics.trace.reasons import diagnose
from minirun.errors import FAILED, MinirunError, NotFoundError
from minirun.kernel.taps import Sight, Tap
from minirun.options.values import parse_bytes
from minirun.store.lookup import find_network

_PROTOCOLS = ("tcp", "udp", "icmp", "icmp6", "arp")
app = commands()


@app.command("trace")
def trace(
    first: Annotated[str, Argument(metavar="PORT | SOURCE", autocompletion=containers("running"))],
    second: Annotated[str, Argument(metavar="[TARGET:PORT]")] = "",
    sender: Annotated[
        str | None,
        Option("--from", help="Who sends to PORT: outside (the default), host, or a container"),
    ] = None,
    json: Annotated[bool, Option("--json", help="As JSON")] = False,
    timeout: Annotated[
        int | None,
        Option("--timeout", "-t", help="Seconds to wait for an answer (default 3), or with --wait for a packet (30)"),
    ] = None,
    wait: Annotated[
        bool, Option("--wait", "-w", help="Send nothing: follow the next packet to PORT, whoever sends it")
    ] = False,
) -> int:
    """Follow one packet: every interface, rule and translation, and why it is lost."""
    if timeout is not None and not 1 <= timeout <= 3600:
        raise MinirunError("--timeout: from 1 to 3600 seconds", code=FAILED)
    if wait and (second or sender is not None or first.endswith("/udp")):
        raise MinirunError("--wait is for a TCP port of this host, and for whoever sends to it", code=FAILED)
    seconds = timeout or (30 if wait else 3)
    instance = open_instance(repairs=False)
    source = Source(instance, ANYBODY if wait else first if second else sender or "outside")
    try:
        target = target_of(instance, source, second) if second else port_of_host(instance, first)
        journey = (await_packet if wait else send_probe)(instance, source, target, seconds)
        diagnosis = diagnose(instance, journey)
    finally:
        source.close()
    if json:
        print(json_format.dumps(report.as_dict(journey, diagnosis), indent=2))
    else:
        print(report.as_text(journey, diagnosis, sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    return 0 if diagnosis.arrived else 1


@app.command("capture")
def capture(
    where: Annotated[str, Argument(metavar="CONTAINER | NETWORK | PORT", autocompletion=objects)],
    count: Annotated[int, Option("--count", "-c", help="Packets after which to end")] = 1000,
    json: Annotated[bool, Option("--json", help="Print each packet as JSON, on a line of its own")] = False,
    port: Annotated[int, Option("--port", "-p", help="Only packets from or to this port")] = 0,
    protocol: Annotated[
        str,
        Option(
            "--protocol",
            help="Only this protocol: tcp, udp, icmp, icmp6, arp",
            autocompletion=words(*_PROTOCOLS),
        ),
    ] = "",
    quiet: Annotated[bool, Option("--quiet", "-q", help="Print no lines")] = False,
    size: Annotated[str, Option("--size", help="How large the file may become", metavar="bytes")] = "64m",
    timeout: Annotated[int, Option("--timeout", "-t", help="Seconds after which to end")] = 60,
    write: Annotated[
        str,
        Option(
            "--write",
            "-w",
            help="Write the packets to a file, which Wireshark opens; - is standard output",
            metavar="file",
            click_type=FILE,
        ),
    ] = "",
) -> None:
    """Show the packets of a container, a network or a published port."""
    if count < 1 or timeout < 1:
        raise MinirunError("--count and --timeout: 1 at least", code=FAILED)
    if protocol not in ("", *_PROTOCOLS):
        raise MinirunError(f"--protocol {protocol}: one of {', '.join(_PROTOCOLS)}", code=FAILED)
    limits = pcap.CaptureLimits(count, timeout, parse_bytes(size, "--size"))
    with ExitStack() as done:
        tap, published = _tap(where)
        done.callback(tap.close)
        writer = pcap.PcapWriter(done.enter_context(_opened(write))) if write else None
        prints = not quiet and write != "-"

        def each(sight: Sight) -> int:
            if prints:
                print(json_format.dumps(pcap.as_dict(sight)) if json else pcap.as_line(sight), flush=True)
            if writer is not None:
                writer.add(sight)
            return writer.size if writer else 0

        with suppress(KeyboardInterrupt):
            pcap.capture_packets(tap, pcap.PacketFilter(published or port, protocol), limits, each)
        lost = tap.lost()
    if lost:
        warn(f"{lost} packets passed too fast to be captured")


def _tap(word: str) -> tuple[Tap, int]:
    """(the opened tap, the container's port if `word` is a published port, else 0)."""
    instance = open_instance(repairs=False)
    if word.partition("/")[0].rpartition(":")[2].isdecimal() and not instance.store.find_containers(word):
        target = port_of_host(instance, word)
        if target.container is None:
            raise NotFoundError(f"no container publishes port {word}", "minirun ps shows what is published", FAILED)
        with in_netns_of(target.container):
            return Tap(), target.container_port
    if instance.store.find_containers(word):
        with in_netns_of(running_container(instance, word)):
            return Tap(), 0
    network = find_network(instance.store, word, FAILED)
    if not network.bridge:
        raise MinirunError(f"network {network.name} has no bridge to look at", "capture a container of it", FAILED)
    return Tap(network.bridge), 0


def _opened(path: str) -> BinaryIO:
    if path == "-":
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)  # it may hold secrets
    return os.fdopen(fd, "wb")
