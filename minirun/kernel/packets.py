"""Decoding packets as they are on the wire (RFC 791, 8200, 9293, 768, 792, 4443, 826). The bytes are
untrusted: truncated or odd packets are decoded as far as possible, and never raise."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

_IP4, _IP6, _ARP, _VLAN = 0x0800, 0x86DD, 0x0806, 0x8100
_TCP, _UDP, _ICMP, _ICMP6 = 6, 17, 1, 58
_FLAGS = "FSRPAUEC"
_ICMP_KINDS = {
    (_ICMP, 0): "echo reply",
    (_ICMP, 3): "unreachable",
    (_ICMP, 5): "redirect",
    (_ICMP, 8): "echo request",
    (_ICMP, 11): "time exceeded",
    (_ICMP6, 1): "unreachable",
    (_ICMP6, 2): "packet too big",
    (_ICMP6, 3): "time exceeded",
    (_ICMP6, 128): "echo request",
    (_ICMP6, 129): "echo reply",
    (_ICMP6, 133): "router solicitation",
    (_ICMP6, 134): "router advertisement",
    (_ICMP6, 135): "neighbour solicitation",
    (_ICMP6, 136): "neighbour advertisement",
}
AnyAddress = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Packet:
    """What was decoded. `protocol` is tcp, udp, icmp, icmp6, arp, the number of another one, or ether."""

    protocol: str
    source: AnyAddress | None = None
    destination: AnyAddress | None = None
    source_port: int = 0
    port: int = 0
    flags: str = ""  # of TCP: S for SYN and so on
    sequence: int = 0  # of TCP; of ICMP echoes their number
    kind: str = ""  # of ICMP and ARP, in words
    length: int = 0  # bytes of payload
    ttl: int = 0

    def __str__(self) -> str:
        if self.protocol == "arp":
            return f"arp {self.kind}"
        if self.source is None or self.destination is None:
            return f"{self.protocol} {self.kind}".strip()
        ends = f"{_place(self.source, self.source_port)} > {_place(self.destination, self.port)}"
        if self.protocol == "tcp":
            return f"{ends} tcp [{self.flags or '.'}] seq {self.sequence} len {self.length}"
        words = [ends, self.protocol, self.kind, f"len {self.length}"]
        return " ".join(word for word in words if word)


def _place(address: AnyAddress, port: int) -> str:
    if not port:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def read_frame(data: bytes) -> Packet:
    """Decode an Ethernet frame."""
    if len(data) < 14:
        return Packet("ether", kind="cut short")
    kind, offset = struct.unpack_from(">H", data, 12)[0], 14
    if kind == _VLAN and len(data) >= 18:
        kind, offset = struct.unpack_from(">H", data, 16)[0], 18
    if kind == _IP4:
        return _read_ip4(data[offset:])
    if kind == _IP6:
        return _read_ip6(data[offset:])
    return _read_arp(data[offset:]) if kind == _ARP else Packet("ether", kind=f"type 0x{kind:04x}")


def _read_arp(data: bytes) -> Packet:
    if len(data) < 28:
        return Packet("arp", kind="cut short")
    operation = struct.unpack_from(">H", data, 6)[0]
    sender, target = IPv4Address(data[14:18]), IPv4Address(data[24:28])
    mac = ":".join(f"{byte:02x}" for byte in data[8:14])
    words = f"who has {target}? tell {sender}" if operation == 1 else f"{sender} is at {mac}"
    return Packet("arp", sender, target, kind=words)


def _read_ip4(data: bytes) -> Packet:
    if len(data) < 20 or data[0] >> 4 != 4:
        return Packet("ip", kind="cut short")
    header, total, fragment = (data[0] & 15) * 4, *struct.unpack_from(">HxxH", data, 2)
    source, destination = IPv4Address(data[12:16]), IPv4Address(data[16:20])
    body = data[header : max(total, header)] if total else data[header:]
    if fragment & 0x1FFF:
        return Packet("ip", source, destination, kind="fragment", length=len(body), ttl=data[8])
    return _read_transport(data[9], source, destination, body, data[8])


def _read_ip6(data: bytes) -> Packet:
    if len(data) < 40 or data[0] >> 4 != 6:
        return Packet("ip6", kind="cut short")
    source, destination = IPv6Address(data[8:24]), IPv6Address(data[24:40])
    return _read_transport(data[6], source, destination, data[40 : 40 + struct.unpack_from(">H", data, 4)[0]], data[7])


def _read_transport(protocol: int, source: AnyAddress, destination: AnyAddress, data: bytes, ttl: int) -> Packet:
    if protocol == _TCP and len(data) >= 20:
        source_port, port, sequence = struct.unpack_from(">HHI", data)
        flags = "".join(name for bit, name in enumerate(_FLAGS) if data[13] & 1 << bit)
        length = max(0, len(data) - (data[12] >> 4) * 4)
        return Packet("tcp", source, destination, source_port, port, flags, sequence, length=length, ttl=ttl)
    if protocol == _UDP and len(data) >= 8:
        source_port, port = struct.unpack_from(">HH", data)
        return Packet("udp", source, destination, source_port, port, length=len(data) - 8, ttl=ttl)
    if protocol in (_ICMP, _ICMP6) and len(data) >= 8:
        kind = _ICMP_KINDS.get((protocol, data[0]), f"type {data[0]}")
        name = "icmp" if protocol == _ICMP else "icmp6"
        sequence = struct.unpack_from(">H", data, 6)[0] if "echo" in kind else 0
        return Packet(name, source, destination, sequence=sequence, kind=kind, length=len(data) - 8, ttl=ttl)
    name = {_TCP: "tcp", _UDP: "udp", _ICMP: "icmp", _ICMP6: "icmp6"}.get(protocol, f"protocol {protocol}")
    return Packet(name, source, destination, kind="cut short" if protocol in (_TCP, _UDP) else "", length=len(data))
