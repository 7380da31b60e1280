"""minirun trace, minirun capture: the way of one packet, and packets as they pass."""

import json as json_format
import os
import signal
import sys
from contextlib import ExitStack, suppress
from typing import Annotated, BinaryIO

from typer import Argument, Option

from minirun.cli.completion.values import FILE, containers, objects, words
from minirun.cli.session import commands, open_instance, warn
from minirun.diagnostics.trace import pcap, report
from minirun.diagnostics.trace.capture import open_place
from minirun.diagnostics.trace.endpoints import ANYBODY, Source, port_of_host, target_of
from minirun.diagnostics.trace.probe import await_packet, send_probe
from minirun.diagnostics.trace.reasons import diagnose
from minirun.errors import FAILED, MinirunError, printable
from minirun.kernel.taps import Sight
from minirun.options.values import parse_bytes

_PROTOCOLS = ("tcp", "udp", "icmp", "icmp6", "arp")
_FILE_SIZE = "64m"
_HIGHEST_PORT = 65535
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
    if second and sender is not None:
        raise MinirunError("--from is for a PORT: with a TARGET, the first argument is who sends", code=FAILED)
    seconds = timeout or (30 if wait else 3)
    instance = open_instance(repairs=False)
    source = Source(instance, ANYBODY if wait else first if second else sender or "outside")
    try:
        target = target_of(instance, source, second) if second else port_of_host(instance, first)
        if wait:
            warn(f"waiting {seconds} s for a packet to port {first}, Ctrl-C to stop")
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
    quiet: Annotated[bool, Option("--quiet", "-q", help="Print no packets")] = False,
    size: Annotated[
        str, Option("--size", help="How large the file of --write may become (default 64m)", metavar="bytes")
    ] = "",
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
    """Show the packets of a container, a network or a published port.

    Where it listens, and how many packets it has captured, is said on standard error.
    """
    _check(count, timeout, port, protocol, size, write)
    if write == "-" and json:
        raise MinirunError("--json has no place to print to: -w - writes packets to standard output", code=FAILED)
    limits = pcap.CaptureLimits(count, timeout, parse_bytes(size or _FILE_SIZE, "--size"))
    with ExitStack() as done:
        place = open_place(open_instance(repairs=False), where)
        done.callback(place.tap.close)
        if place.port and port:
            raise MinirunError(f"--port {port}: {where} is a port already", "name the container instead", FAILED)
        packet_filter = pcap.PacketFilter(place.port or port, protocol)
        writer = pcap.PcapWriter(done.enter_context(_opened(write))) if write else None
        prints = not quiet and write != "-"
        captured = 0

        def each(sight: Sight) -> int:
            nonlocal captured
            captured += 1
            if prints:
                print(json_format.dumps(pcap.as_dict(sight)) if json else pcap.as_line(sight), flush=True)
            if writer is not None:
                writer.add(sight)
            return writer.size if writer else 0

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is in the file's buffer is written
        warn(f"listening on {place.text}, filter: {packet_filter}, Ctrl-C to stop")
        limit = ""
        with suppress(KeyboardInterrupt):
            limit = pcap.capture_packets(place.tap, packet_filter, limits, each)
        _print_end(captured, place.tap.lost(), limit, write)


def _check(count: int, timeout: int, port: int, protocol: str, size: str, write: str) -> None:
    """MinirunError for options that are invalid, or would be without effect."""
    if count < 1 or timeout < 1:
        raise MinirunError("--count and --timeout: 1 at least", code=FAILED)
    if protocol not in ("", *_PROTOCOLS):
        raise MinirunError(f"--protocol {protocol}: one of {', '.join(_PROTOCOLS)}", code=FAILED)
    if not 0 <= port <= _HIGHEST_PORT:
        raise MinirunError(f"--port {port}: from 1 to {_HIGHEST_PORT}", code=FAILED)
    if port and protocol not in ("", "tcp", "udp"):
        raise MinirunError(f"--port {port}: {protocol} packets have no ports", code=FAILED)
    if size and not write:
        raise MinirunError("--size is for the file of --write", "add -w FILE", FAILED)
    if write == "-" and sys.stdout.isatty():
        raise MinirunError(
            "packets are binary data, and standard output is a terminal", "use -w FILE or a pipe", FAILED
        )


def _print_end(captured: int, lost: int, limit: str, write: str) -> None:
    parts = [f"{captured} {'packet' if captured == 1 else 'packets'} captured"]
    if write not in ("", "-"):
        parts.append(f"written to {printable(write)}")
    if lost:
        parts.append(f"{lost} passed too fast to be captured")
    warn(", ".join(parts) + (f" (until the limit of {limit})" if limit else ""))


def _opened(path: str) -> BinaryIO:
    if path == "-":
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)  # who reads it looks at each packet at once
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)  # it may hold secrets
    return os.fdopen(fd, "wb")
