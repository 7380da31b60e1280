"""Packets as lines, and as a file that Wireshark and tcpdump open (libpcap's format, with nanoseconds:
https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/)."""

import select
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, BinaryIO

from minirun.kernel.packets import Packet
from minirun.kernel.taps import Sight, Tap

_HEAD = struct.Struct("<IHHIIII")
_RECORD = struct.Struct("<IIII")
_MAGIC, _ETHERNET = 0xA1B23C4D, 1
_TURN = 0.2  # seconds


@dataclass(frozen=True)
class Bounds:
    """Where a capture ends by itself."""

    packets: int
    seconds: float
    size: int  # bytes of the file


@dataclass(frozen=True)
class Wanted:
    """Which packets. 0 and "" are any."""

    port: int = 0
    protocol: str = ""

    def has(self, packet: Packet) -> bool:
        if self.port and self.port not in (packet.port, packet.source_port):
            return False
        return not self.protocol or packet.protocol == self.protocol


class Writer:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.write(_HEAD.pack(_MAGIC, 2, 4, 0, 0, 0xFFFFFFFF, _ETHERNET))

    def add(self, sight: Sight) -> None:
        seconds = int(sight.time)
        head = _RECORD.pack(seconds, int((sight.time - seconds) * 1e9), len(sight.data), sight.size)
        self.size += self._file.write(head + sight.data)


def record(tap: Tap, wanted: Wanted, bounds: Bounds, each: Callable[[Sight], int]) -> int:
    """How many were seen. `each` is given one, and says how large the file is by then."""
    until, seen = time.monotonic() + bounds.seconds, 0
    poll = select.poll()
    poll.register(tap, select.POLLIN)
    while seen < bounds.packets and (rest := until - time.monotonic()) > 0:
        if not poll.poll(int(min(rest, _TURN) * 1000) + 1):
            continue
        while seen < bounds.packets and (sight := tap.read()) is not None:
            if wanted.has(sight.packet):
                seen += 1
                if each(sight) >= bounds.size:
                    return seen
    return seen


def line(sight: Sight) -> str:
    """12:00:01.234567 eth0 < 172.17.0.1:53 > ..."""
    clock = time.strftime("%H:%M:%S", time.localtime(sight.time)) + f".{int(sight.time % 1 * 1e6):06d}"
    return f"{clock} {sight.interface} {'>' if sight.outgoing else '<'} {sight.packet}"


def as_dict(sight: Sight) -> dict[str, Any]:
    packet = sight.packet
    told = {one.name: getattr(packet, one.name) for one in fields(packet)}
    told |= {"source": str(packet.source or ""), "destination": str(packet.destination or "")}
    return {"time": sight.time, "interface": sight.interface, "outgoing": sight.outgoing, **told, "size": sight.size}
