"""Capture packets: as lines, and as a file that Wireshark and tcpdump read (pcap with nanoseconds:
https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/)."""

import select
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, BinaryIO

from minirun.kernel.packets import Packet
from minirun.kernel.taps import Sight, Tap

_FILE_HEADER = struct.Struct("<IHHIIII")  # magic, version, zone, accuracy, longest packet, link type
_PACKET_HEADER = struct.Struct("<IIII")  # seconds, nanoseconds, captured bytes, bytes on the wire
_MAGIC, _ETHERNET = 0xA1B23C4D, 1
_POLL = 0.2  # seconds


@dataclass(frozen=True)
class CaptureLimits:
    """When a capture ends by itself."""

    packets: int
    seconds: float
    size: int  # bytes of the file


@dataclass(frozen=True)
class PacketFilter:
    """Which packets to capture. 0 and "" match all."""

    port: int = 0  # source or destination
    protocol: str = ""  # tcp, udp, icmp, icmp6 or arp

    def matches(self, packet: Packet) -> bool:
        """Whether to capture this packet."""
        if self.port and self.port not in (packet.port, packet.source_port):
            return False
        return not self.protocol or packet.protocol == self.protocol

    def __str__(self) -> str:
        """As in "filter tcp port 80"."""
        words = [self.protocol, f"port {self.port}" if self.port else ""]
        return " ".join(filter(None, words)) or "none"


class PcapWriter:
    """Writes packets to a pcap file. `size` is the number of bytes written so far."""

    def __init__(self, file: BinaryIO) -> None:
        """Write the file's header. The caller closes the file."""
        self._file = file
        self.size = file.write(_FILE_HEADER.pack(_MAGIC, 2, 4, 0, 0, 0xFFFFFFFF, _ETHERNET))

    def add(self, sight: Sight) -> None:
        """Append one packet."""
        seconds = int(sight.time)
        header = _PACKET_HEADER.pack(seconds, int((sight.time - seconds) * 1e9), len(sight.data), sight.size)
        self.size += self._file.write(header + sight.data)


def capture_packets(
    tap: Tap, packet_filter: PacketFilter, limits: CaptureLimits, handle: Callable[[Sight], int]
) -> str:
    """Pass matching packets to `handle` until a limit is reached; return the option that sets it. `handle` returns the
    size of the file in bytes, 0 without a file."""
    deadline, count = time.monotonic() + limits.seconds, 0
    poll = select.poll()
    poll.register(tap, select.POLLIN)
    while (rest := deadline - time.monotonic()) > 0:
        if not poll.poll(int(min(rest, _POLL) * 1000) + 1):
            continue
        while (sight := tap.read()) is not None:
            if packet_filter.matches(sight.packet):
                count += 1
                if handle(sight) >= limits.size:
                    return "--size"
                if count == limits.packets:
                    return "--count"
    return "--timeout"


def as_line(sight: Sight) -> str:
    """Render a packet with time, interface and direction: `12:00:01.234567 eth0 < 172.17.0.1:53 > ...`."""
    clock = time.strftime("%H:%M:%S", time.localtime(sight.time)) + f".{int(sight.time % 1 * 1e6):06d}"
    return f"{clock} {sight.interface} {'>' if sight.outgoing else '<'} {sight.packet}"


def as_dict(sight: Sight) -> dict[str, Any]:
    """Return a packet as plain data for JSON."""
    packet = sight.packet
    values = {field.name: getattr(packet, field.name) for field in fields(packet)}
    values |= {"source": str(packet.source or ""), "destination": str(packet.destination or "")}
    return {"time": sight.time, "interface": sight.interface, "outgoing": sight.outgoing, **values, "size": sight.size}
