"""The nftables rule sets of this host (linux/netfilter/nf_tables.h), whoever made them.

Read to find out what others do with packets; minirun's own table is never read. iptables' rules are among them where
iptables writes nftables. Netlink rather than libnftables' JSON, because nftables 1.0.6 lists an iptables target such as
REJECT as `xt` without its name, and because a start reads a few chains of rule sets that may be large.
"""

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pyroute2.netlink import NETLINK_NETFILTER, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, nfgen_msg
from pyroute2.netlink.nfnetlink import nftsocket as nf

from minirun.kernel.netlink_events import NfTablesMarshal
from minirun.kernel.netlink_sockets import complete, os_errors

INPUT, FORWARD, OUTPUT = 1, 2, 3  # NF_INET_*, and NF_BR_* of family bridge
# Those that see IP packets.
FAMILIES = {nf.NFPROTO_INET: "inet", nf.NFPROTO_IPV4: "ip", nf.NFPROTO_IPV6: "ip6", nf.NFPROTO_BRIDGE: "bridge"}
ChainKey = tuple[str, str, str]  # family, table, name
_NUMBERS = {name: number for number, name in FAMILIES.items()}
_ALL_FAMILIES = 0  # NFPROTO_UNSPEC
_DROP = 0  # NF_DROP
_IFNAMSIZ = 16
_LARGEST = 1 << 16  # bytes of an answer; the kernel fills 32 KiB of a dump at once
# What may stand in a rule beside its verdict without making it one for some packets only.
_WITHOUT_CONDITION = {"counter", "immediate", "reject", "log", "target"}


@dataclass(frozen=True, eq=False, repr=False)
class Chain:
    """A chain of nftables."""

    family: str
    table: str
    name: str
    hook: int | None = None  # of a base chain
    drops: bool = False  # its policy


class Rule:
    """A rule of nftables; decoded as far as it is asked."""

    def __init__(self, message: Any) -> None:
        self._message = message
        self._data = bytes(message.data[message.offset : message.offset + message.length])
        self.handle: int = message.get_attr("NFTA_RULE_HANDLE")

    def comment(self, mark: str) -> str:
        """The comment that begins with `mark`, or "". nft keeps it beside the rule; iptables-restore, which finds it
        there, puts it into an expression."""
        start = self._data.find(mark.encode())
        return "" if start < 0 else self._data[start : self._data.index(b"\0", start)].decode("utf-8", "replace")

    @property
    def is_plain_return(self) -> bool:
        """Whether it returns for every packet."""
        return self.is_unconditional and any(code == "NFT_RETURN" for code, _ in self._verdicts())

    @property
    def accepts(self) -> bool:
        """Whether its verdict is to accept the packet."""
        return any(code == "NF_ACCEPT" for code, _ in self._verdicts())

    @property
    def ends_all(self) -> bool:
        """Whether it drops or rejects every packet that reaches it."""
        rejects = any(
            name == "reject" or (name == "target" and data.get_attr("NFTA_TARGET_NAME") == "REJECT")
            for name, data in self._expressions
        )
        return self.is_unconditional and (rejects or any(code == "NF_DROP" for code, _ in self._verdicts()))

    @property
    def jumps_to(self) -> str:
        """The chain that it jumps to, or "" (with goto, too)."""
        return next((chain for code, chain in self._verdicts() if code in ("NFT_JUMP", "NFT_GOTO")), "")

    @property
    def goes_to(self) -> str:
        """The chain that it goes to for good, or ""."""
        return next((chain for code, chain in self._verdicts() if code == "NFT_GOTO"), "")

    @property
    def output_interface(self) -> str:
        """The name that it compares with the interface a packet leaves by, or ""."""
        follows_oifname = False
        for name, data in self._expressions:
            if name == "cmp" and follows_oifname:
                return _compared(data).partition(b"\0")[0].decode("utf-8", "replace")
            follows_oifname = name == "meta" and data.get_attr("NFTA_META_KEY") == "NFT_META_OIFNAME"
        return ""

    def names_interface(self, pattern: str) -> bool:
        """Whether it compares with this interface; a pattern may end in "*"."""
        value = pattern[:-1].encode() if pattern.endswith("*") else pattern.encode().ljust(_IFNAMSIZ, b"\0")
        return value in self._data and any(
            name == "cmp" and _compared(data) == value for name, data in self._expressions
        )

    @cached_property
    def _expressions(self) -> list[tuple[str, Any]]:
        expressions = self._message.get_attr("NFTA_RULE_EXPRESSIONS") or ()
        return [(part.get_attr("NFTA_EXPR_NAME"), part.get_attr("NFTA_EXPR_DATA")) for part in expressions]

    @property
    def is_unconditional(self) -> bool:
        """Whether it is for every packet."""
        return all(name in _WITHOUT_CONDITION for name, _ in self._expressions)

    def _verdicts(self) -> Iterator[tuple[str, str]]:
        for name, data in self._expressions:
            verdict = (
                data.get_attr("NFTA_IMMEDIATE_DATA").get_attr("NFTA_DATA_VERDICT") if name == "immediate" else None
            )
            if verdict:
                yield verdict.get_attr("NFTA_VERDICT_CODE"), verdict.get_attr("NFTA_VERDICT_CHAIN") or ""


def nft_tables() -> list[tuple[str, str]]:
    """(family, name) of those that see IP packets."""
    messages = _dump(nf.nft_table_msg, nf.NFT_MSG_GETTABLE, _ALL_FAMILIES)
    keys = ((message["nfgen_family"], message.get_attr("NFTA_TABLE_NAME")) for message in messages)
    return [(FAMILIES[family], name) for family, name in keys if family in FAMILIES]


def chains(wanted: set[tuple[str, str]]) -> Iterator[Chain]:
    """The chains of these tables (family, name)."""
    for family in {family for family, _ in wanted}:
        for message in _dump(nf.nft_chain_msg, nf.NFT_MSG_GETCHAIN, _NUMBERS[family]):
            if (family, message.get_attr("NFTA_CHAIN_TABLE")) in wanted:
                yield _chain(family, message)


def rules(family: str, table: str, chain: str = "") -> list[Rule]:
    """The rules of a table, or of one of its chains, in their order; empty when it does not exist."""
    words = {"NFTA_RULE_TABLE": table} | ({"NFTA_RULE_CHAIN": chain} if chain else {})
    return [Rule(message) for message in _dump(nf.nft_rule_msg, nf.NFT_MSG_GETRULE, _NUMBERS[family], words)]


def chain_uses(chains: Sequence[ChainKey]) -> list[int]:
    """How many rules each chain has, and jumps to it; 0 when it does not exist. One request for all."""
    requests = [
        _request(
            nf.nft_chain_msg,
            nf.NFT_MSG_GETCHAIN,
            _NUMBERS[family],
            {"NFTA_CHAIN_TABLE": table, "NFTA_CHAIN_NAME": name},
        )
        for family, table, name in chains
    ]
    for number, request in enumerate(requests):
        request["header"]["sequence_number"] = number
        request.encode()
    uses = [0] * len(chains)
    with _netfilter() as netfilter:
        netfilter.send(b"".join(request.data for request in requests))
        for _ in chains:
            for answer in NfTablesMarshal().parse(netfilter.recv(_LARGEST)):
                if answer["header"]["type"] != NLMSG_ERROR:
                    uses[answer["header"]["sequence_number"]] = answer.get_attr("NFTA_CHAIN_USE")
    return uses


def _chain(family: str, message: Any) -> Chain:
    hook = message.get_attr("NFTA_CHAIN_HOOK")
    return Chain(
        family,
        message.get_attr("NFTA_CHAIN_TABLE"),
        message.get_attr("NFTA_CHAIN_NAME"),
        hook.get_attr("NFTA_HOOK_HOOKNUM") if hook else None,
        message.get_attr("NFTA_CHAIN_POLICY") == _DROP,
    )


def _compared(data: Any) -> bytes:
    return bytes(data.get_attr("NFTA_CMP_DATA").get_attr("NFTA_DATA_VALUE") or b"")


def _dump(message: type[nfgen_msg], kind: int, family: int, attributes: dict[str, str] | None = None) -> list[Any]:
    def dump() -> Iterator[Any]:
        netfilter.send(request.data)
        while True:
            for answer in NfTablesMarshal().parse(netfilter.recv(_LARGEST)):
                if answer["header"]["type"] == NLMSG_DONE:
                    return
                if error := answer["header"]["error"]:
                    raise error
                yield answer

    request = _request(message, kind, family, attributes or {}, NLM_F_DUMP)
    request.encode()
    with os_errors(), _netfilter() as netfilter:
        return complete(dump)


def _netfilter() -> socket.socket:
    """A plain socket: every command asks a question, and NFTSocket's asyncio loop takes longer than the answer.

    And it waits for an acknowledgement of each request.
    """
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)


def _request(message: type[nfgen_msg], kind: int, family: int, attributes: dict[str, str], flags: int = 0) -> nfgen_msg:
    request = message()
    request["nfgen_family"] = family
    request["attrs"] = list(attributes.items())
    request["header"].update(type=NFNL_SUBSYS_NFTABLES << 8 | kind, flags=NLM_F_REQUEST | flags)
    return request
