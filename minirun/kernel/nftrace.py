"""What nftables does with one packet, rule by rule (nft(8), MONITOR; linux/netfilter/nf_tables.h, NFTA_TRACE_*)."""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from minirun.kernel.netlink import HEADER, NETLINK_NETFILTER, attributes

_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP = 270, 1, 9
_TRACE = 10 << 8 | 17  # NFNL_SUBSYS_NFTABLES, NFT_MSG_TRACE
_TABLE, _CHAIN, _RULE, _TYPE, _VERDICT, _POLICY = 1, 2, 3, 4, 5, 16
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_TYPES = {1: "policy", 2: "return", 3: "rule"}
_CODES = {0: "drop", 1: "accept", -1: "continue", -2: "break", -3: "jump", -4: "goto", -5: "return"}
_BUFFER = 1 << 20


@dataclass(frozen=True)
class Step:
    """One rule that matched, a chain that ended, or the policy of one: `verdict` is drop, accept, continue, jump, goto,
    return. (The kernel gives a packet a number, which changes when it leaves a bridge for the stack above.)"""

    family: str
    table: str
    chain: str
    kind: str  # rule, policy, return
    verdict: str
    target: str = ""  # of a jump
    rule: int = 0  # its handle


class Trace:
    """Of the network namespace that the caller is in when this is made. Packets are traced that some rule has marked
    (`meta nftrace set 1`)."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.bind((0, 0))
        self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> list[Step]:
        try:
            return list(_steps(self._socket.recv(1 << 16)))
        except BlockingIOError:
            return []


def _steps(data: bytes) -> Iterator[Step]:
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, _, _, _ = HEADER.unpack_from(data, at)
        if kind == _TRACE:
            yield _step(data[at + HEADER.size : at + length])
        at += (max(length, HEADER.size) + 3) & ~3


def _step(data: bytes) -> Step:
    found = attributes(data, 4)
    verdict = attributes(found.get(_VERDICT, b""))
    kind = _TYPES.get(_number(found.get(_TYPE, bytes(4))), "rule")
    # A policy is a bare verdict.
    code = verdict.get(_VERDICT_CODE, b"") or found.get(_POLICY, b"")
    return Step(
        family=_FAMILIES.get(data[0], str(data[0])),
        table=_text(found.get(_TABLE, b"")),
        chain=_text(found.get(_CHAIN, b"")),
        kind=kind,
        verdict=_CODES.get(struct.unpack(">i", code)[0], "?") if len(code) == 4 else "",
        target=_text(verdict.get(_VERDICT_CHAIN, b"")),
        rule=int.from_bytes(found.get(_RULE, b""), "big"),
    )


def _number(data: bytes) -> int:
    return int(struct.unpack(">I", data)[0])


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "replace")
