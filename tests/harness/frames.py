"""Frames, byte by byte: what no honest kernel would send."""

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from tests.harness.netns_sockets import checksum

ARP, IP4, IP6 = 0x0806, 0x0800, 0x86DD
ICMP6, UDP, TCP = 58, 17, 6
SYN = 2
EVERYBODY = "ff:ff:ff:ff:ff:ff"
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"


def octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def ether(source: str, target: str, kind: int, payload: bytes) -> bytes:
    return octets(target) + octets(source) + struct.pack("!H", kind) + payload


def arp(operation: int, mac: str, address: str, target_mac: str, target: str) -> bytes:
    """The body: `mac` says that it has `address`."""
    head = struct.pack("!HHBBH", 1, IP4, 6, 4, operation)
    return head + octets(mac) + IPv4Address(address).packed + octets(target_mac) + IPv4Address(target).packed


def ip(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    """Of the family of the addresses."""
    start, end = ip_address(source).packed, ip_address(target).packed
    if len(start) == 16:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 255) + start + end + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + start + end
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(source: str, target: str, source_port: int, target_port: int, data: bytes = b"x" * 20) -> bytes:
    """The whole packet."""
    body = struct.pack("!HHHH", source_port, target_port, 8 + len(data), 0) + data
    return ip(source, target, UDP, body[:6] + struct.pack("!H", _sum(source, target, UDP, body)) + body[8:])


def tcp_syn(source: str, target: str, port: int) -> bytes:
    body = struct.pack("!HHIIBBHHH", 40000, port, 1, 0, 5 << 4, 2, 1000, 0, 0)
    return ip(source, target, TCP, body[:16] + struct.pack("!H", _sum(source, target, TCP, body)) + body[18:])


def icmp6(source: str, target: str, kind: int, body: bytes) -> bytes:
    """The message, without the IPv6 header."""
    message = struct.pack("!BBH", kind, 0, 0) + body
    return struct.pack("!BBH", kind, 0, _sum(source, target, ICMP6, message)) + body


def advertisement(of: str, mac: str) -> bytes:
    """The body of a neighbour advertisement that nobody asked for: it overrides what is known."""
    return struct.pack("!I", 0x20000000) + IPv6Address(of).packed + b"\x02\x01" + octets(mac)


def _sum(source: str, target: str, protocol: int, body: bytes) -> int:
    start, end = ip_address(source).packed, ip_address(target).packed
    if len(start) == 16:
        return checksum(start + end + struct.pack("!II", len(body), protocol) + body)
    return checksum(start + end + struct.pack("!HH", protocol, len(body)) + body)


def tcp_options(frames: list[bytes], wanted: int) -> Iterator[bytes]:
    """The values of one option, of each frame that opens a TCP connection."""
    for frame in frames:
        kind, packet = struct.unpack("!H", frame[12:14])[0], frame[14:]
        if kind not in (IP4, IP6) or packet[9 if kind == IP4 else 6] != TCP:
            continue
        segment = packet[20 if kind == IP4 else 40 :]
        options = segment[20 : segment[12] >> 4 << 2]
        while segment[13] & SYN and options and options[0]:
            size = 1 if options[0] == 1 else options[1]  # 1 is padding
            if options[0] == wanted:
                yield options[2:size]
            options = options[size:]
