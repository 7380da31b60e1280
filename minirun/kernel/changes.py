"""What the kernel tells of changes: links, addresses, nftables' rules (rtnetlink(7); linux/netfilter/nf_tables.h)."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

from minirun.kernel.netlink import HEADER, NETLINK_NETFILTER, attributes
from minirun.kernel.nft import FAMILIES

# rtnetlink.h: RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_LINKS_AND_ADDRESSES = 0x1 | 0x10 | 0x100
_SOL_NETLINK, _ADD_MEMBERSHIP, _NFNLGRP_NFTABLES = 270, 1, 7
_SUBSYSTEM, _NFGENMSG = 10, 4
_NEWCHAIN, _DELCHAIN, _DELRULE, _NEWGEN = 3, 5, 8, 15
_DELETIONS = (2, 5, 8, 11, 14)  # of a table, a chain, a rule, a set, an element
_TABLE, _PROCESS_NAME = 1, 3
_FAMILIES = {**FAMILIES, 7: "bridge"}


@dataclass
class Transaction:
    """A change of rules: tables by (family, name)."""

    lessened: set[tuple[str, str]] = field(default_factory=set)  # something in them was deleted
    chains: set[tuple[str, str]] = field(default_factory=set)  # their chains, or how these end, may be others now
    process: str = ""  # the name of who did it

    @property
    def is_over(self) -> bool:
        return bool(self.process)


class LinkChanges:
    """That there were some: they are many, and what is there is looked at anyway."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, _KIND, socket.NETLINK_ROUTE)
        self.socket.bind((0, _LINKS_AND_ADDRESSES))

    def drop_all(self) -> None:
        for _ in _datagrams(self.socket):
            pass


class RuleChanges:
    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, _KIND, NETLINK_NETFILTER)
        self.socket.bind((0, 0))  # one without an address of its own is passed over
        self.socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _NFNLGRP_NFTABLES)
        self._current = Transaction()

    def read(self) -> Iterator[Transaction]:
        """Those that are over. After an overflow some are missing."""
        for data in _datagrams(self.socket):
            offset = 0
            while offset + HEADER.size <= len(data):
                length, kind, *_ = HEADER.unpack_from(data, offset)
                if kind >> 8 == _SUBSYSTEM:
                    self._take(kind & 0xFF, data[offset + HEADER.size : offset + length])
                offset += max(HEADER.size, (length + 3) & ~3)
                if self._current.is_over:
                    yield self._current
                    self._current = Transaction()

    def _take(self, kind: int, body: bytes) -> None:
        if kind not in (_NEWCHAIN, _NEWGEN, *_DELETIONS):
            return
        found = attributes(body, _NFGENMSG)
        if kind == _NEWGEN:
            self._current.process = _text(found.get(_PROCESS_NAME, b"")) or "?"
            return
        table = _FAMILIES.get(body[0], ""), _text(found.get(_TABLE, b""))
        if kind in _DELETIONS:
            self._current.lessened.add(table)
        if kind in (_NEWCHAIN, _DELCHAIN, _DELRULE):
            self._current.chains.add(table)


_KIND = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK


def _datagrams(channel: socket.socket) -> Iterator[bytes]:
    """All that are there. An overflow of the queue (ENOBUFS) is told once, before the rest."""
    while True:
        try:
            yield channel.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            continue


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "replace")
