"""What the kernel multicasts: changes of links and addresses, changes of nftables' rules, and traces of packets.

rtnetlink(7); linux/netfilter/nf_tables.h. The sockets are plain ones, because an event loop polls them (pyroute2's own
are driven by asyncio); pyroute2 decodes the messages.
"""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pyroute2.netlink import NETLINK_ADD_MEMBERSHIP, NETLINK_NETFILTER, SOL_NETLINK, nla
from pyroute2.netlink.marshal import Marshal
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, NFNLGRP_NFTABLES, NFNLGRP_NFTRACE, nfgen_msg
from pyroute2.netlink.nfnetlink import nftsocket as nf
from pyroute2.netlink.rtnl import RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK

_SOCKET = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
_LARGEST = 1 << 16  # bytes of a datagram
_TRACE_BUFFER = 1 << 20  # bytes
_FAMILIES = {
    nf.NFPROTO_INET: "inet",
    nf.NFPROTO_IPV4: "ip",
    nf.NFPROTO_ARP: "arp",
    nf.NFPROTO_NETDEV: "netdev",
    nf.NFPROTO_BRIDGE: "bridge",
    nf.NFPROTO_IPV6: "ip6",
}
_DELETIONS = (
    nf.NFT_MSG_DELTABLE,
    nf.NFT_MSG_DELCHAIN,
    nf.NFT_MSG_DELRULE,
    nf.NFT_MSG_DELSET,
    nf.NFT_MSG_DELSETELEM,
)
_CHAIN_CHANGES = (nf.NFT_MSG_NEWCHAIN, nf.NFT_MSG_DELCHAIN, nf.NFT_MSG_DELRULE)


@dataclass
class Transaction:
    """A change of rules: tables by (family, name)."""

    lessened: set[tuple[str, str]] = field(default_factory=set)  # something in them was deleted
    chains: set[tuple[str, str]] = field(default_factory=set)  # their chains, or the chains' last rules, may differ now
    process: str = ""  # name of the process that made it

    @property
    def is_over(self) -> bool:
        """Whether its last message has been read."""
        return bool(self.process)


@dataclass(frozen=True)
class Step:
    """A step of one packet through the rules: a rule that matched, a chain that ended, or a chain's policy.

    `verdict` is drop, accept, continue, jump, goto or return. (The kernel numbers a packet, but the number changes
    when it leaves a bridge for the stack above.)
    """

    family: str
    table: str
    chain: str
    kind: str  # rule, policy, return
    verdict: str
    target: str = ""  # of a jump
    rule: int = 0  # its handle


class LinkChanges:
    """Notices that links or addresses have changed; what exists is queried anyway."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, _SOCKET, socket.NETLINK_ROUTE)
        self.socket.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))

    def drop_all(self) -> None:
        """Read everything that is queued."""
        for _ in _datagrams(self.socket):
            pass


class RuleChanges:
    """Reads transactions of nftables."""

    def __init__(self) -> None:
        self.socket = _nf_tables_group(NFNLGRP_NFTABLES)
        self._current = Transaction()
        self.has_overflowed = False  # the queue was full once, so transactions are missing; the reader clears it

    def read(self) -> Iterator[Transaction]:
        """Those that are over. After an overflow of the queue some are missing, and `has_overflowed` is set."""
        for data in _datagrams(self.socket):
            if not data:
                self.has_overflowed = True
                self._current = Transaction()
            for message in NfTablesMarshal().parse(data) if data else ():
                self._take(message["header"]["type"] & 0xFF, message)
                if self._current.is_over:
                    yield self._current
                    self._current = Transaction()

    def _take(self, kind: int, message: Any) -> None:
        if kind == nf.NFT_MSG_NEWGEN:
            self._current.process = message.get_attr("NFTA_GEN_PROC_NAME") or "?"
        elif kind in (*_DELETIONS, *_CHAIN_CHANGES):
            # The table's name is called NFTA_CHAIN_TABLE, NFTA_RULE_TABLE and so on, and is the first attribute.
            table = _FAMILIES.get(message["nfgen_family"], ""), message["attrs"][0].value
            if kind in _DELETIONS:
                self._current.lessened.add(table)
            if kind in _CHAIN_CHANGES:
                self._current.chains.add(table)


class Trace:
    """Reads what nftables does with packets that a rule has marked (`meta nftrace set 1`; nft(8), MONITOR), in the
    network namespace that the caller is in when this is made."""

    def __init__(self) -> None:
        self._socket = _nf_tables_group(NFNLGRP_NFTRACE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _TRACE_BUFFER)

    def fileno(self) -> int:
        """For poll(2)."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def read(self) -> list[Step]:
        """The steps of one datagram; none when nothing is queued."""
        try:
            data = self._socket.recv(_LARGEST)
        except BlockingIOError:
            return []
        trace = NFNL_SUBSYS_NFTABLES << 8 | nf.NFT_MSG_TRACE
        return [_step(message) for message in NfTablesMarshal().parse(data) if message["header"]["type"] == trace]


class _TraceMessage(nfgen_msg):  # type: ignore[misc]
    """enum nft_trace_attributes of linux/netfilter/nf_tables.h, which pyroute2 0.9.7 lacks."""

    nla_map = (
        (1, "NFTA_TRACE_TABLE", "asciiz"),
        (2, "NFTA_TRACE_CHAIN", "asciiz"),
        (3, "NFTA_TRACE_RULE_HANDLE", "be64"),
        (4, "NFTA_TRACE_TYPE", "trace_type"),
        (5, "NFTA_TRACE_VERDICT", "verdict"),
        (16, "NFTA_TRACE_POLICY", "verdict_code"),
    )
    verdict = nf.nft_data.nfta_data.verdict
    verdict_code = verdict.verdict_code

    class trace_type(nf.nft_map_be32):  # type: ignore[misc]  # noqa: N801 - pyroute2 looks it up by this name
        """enum nft_trace_types."""

        ops: dict[int, str] = {1: "policy", 2: "return", 3: "rule"}  # noqa: RUF012 - as in pyroute2


class NfTablesMarshal(Marshal):  # type: ignore[misc]
    """Decodes messages of nf_tables; those that pyroute2's NFTSocket knows, and traces."""

    msg_map: dict[int, type[nla]] = {  # noqa: RUF012 - as in pyroute2
        NFNL_SUBSYS_NFTABLES << 8 | kind: message
        for kind, message in {**nf.AsyncNFTSocket.policy, nf.NFT_MSG_TRACE: _TraceMessage}.items()
    }


def _step(message: Any) -> Step:
    verdict = message.get_attr("NFTA_TRACE_VERDICT")
    # A policy is a bare verdict.
    code = verdict.get_attr("NFTA_VERDICT_CODE") if verdict else message.get_attr("NFTA_TRACE_POLICY")
    return Step(
        family=_FAMILIES.get(message["nfgen_family"], str(message["nfgen_family"])),
        table=message.get_attr("NFTA_TRACE_TABLE") or "",
        chain=message.get_attr("NFTA_TRACE_CHAIN") or "",
        kind=message.get_attr("NFTA_TRACE_TYPE") or "rule",
        verdict=(code or "").rpartition("_")[2].lower(),  # NF_DROP, NFT_JUMP and so on
        target=(verdict.get_attr("NFTA_VERDICT_CHAIN") or "") if verdict else "",
        rule=message.get_attr("NFTA_TRACE_RULE_HANDLE") or 0,
    )


def _nf_tables_group(group: int) -> socket.socket:
    events = socket.socket(socket.AF_NETLINK, _SOCKET, NETLINK_NETFILTER)
    events.bind((0, 0))  # the kernel skips a socket without an address of its own
    events.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    return events


def _datagrams(events: socket.socket) -> Iterator[bytes]:
    """All that are queued. An empty one stands for an overflow of the queue (ENOBUFS)."""
    while True:
        try:
            yield events.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:
            yield b""
