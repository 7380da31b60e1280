"""Capturing packets as they pass interfaces (packet(7))."""

import socket
import struct
from dataclasses import dataclass

from minirun.kernel.packets import Packet, read_frame

_ALL = 0x0003  # ETH_P_ALL
_OUTGOING = 4  # PACKET_OUTGOING
_SO_TIMESTAMPNS = 35
_BUFFER = 1 << 22  # bytes
_MOST = 1 << 18  # bytes of one packet; with offloads they are larger than the wire allows
_TIME = struct.Struct("=qq")
_LOST = struct.Struct("=II")
_SOL_PACKET, _PACKET_STATISTICS, _ADD_MEMBERSHIP, _PROMISCUOUS = 263, 6, 1, 1
_MEMBERSHIP = struct.Struct("=iHH8x")  # struct packet_mreq


@dataclass(frozen=True)
class Sight:
    """One packet at one interface."""

    time: float  # seconds since the epoch, by the kernel
    interface: str
    outgoing: bool
    packet: Packet
    data: bytes
    size: int  # bytes on the wire; `data` may be shorter


class Tap:
    """Captures on one interface, or on all, of the network namespace that the caller is in when this is made."""

    def __init__(self, interface: str = "", most: int = _MOST) -> None:
        self._most = most
        # With a protocol it sees packets of all interfaces at once; without one none, until it is bound to one.
        protocol = 0 if interface else socket.htons(_ALL)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self.socket.setblocking(False)
        if interface:
            self.socket.bind((interface, _ALL))
            # Also frames for others: of a bridge, all that its ports exchange.
            index = socket.if_nametoindex(interface)
            self.socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, _MEMBERSHIP.pack(index, _PROMISCUOUS, 0))

    @classmethod
    def of(cls, made: socket.socket) -> "Tap":
        """Make one from the socket of another, which a different process made."""
        tap = cls.__new__(cls)
        tap._most, tap.socket = _MOST, made
        return tap

    def fileno(self) -> int:
        """For poll(2)."""
        return self.socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def read(self) -> Sight | None:
        """The next packet, or None."""
        try:
            data, ancillary, _, address = self.socket.recvmsg(self._most, 256, socket.MSG_TRUNC)
        except BlockingIOError:
            return None
        seconds = 0.0
        for level, kind, value in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                whole, rest = _TIME.unpack_from(value)
                seconds = whole + rest / 1e9
        return Sight(seconds, address[0], address[2] == _OUTGOING, read_frame(data), data, len(data))

    def lost(self) -> int:
        """How many packets were lost since the last call."""
        answer = self.socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _LOST.size)
        return int(_LOST.unpack(answer)[1])
