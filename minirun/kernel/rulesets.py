"""Which nftables rule sets there are on this host (linux/netfilter/nf_tables.h), whoever made them.

Read to find out what others do with packets; minirun's own table is never read. Also iptables' rules, where iptables
is the one that writes nftables.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from minirun.kernel.netlink import NETLINK_NETFILTER, attribute, attribute_list, attributes, dump
from minirun.kernel.nft import FAMILIES

FORWARD = 2  # NF_INET_FORWARD
_GETCHAIN, _GETRULE = (10 << 8 | number for number in (4, 7))  # NFNL_SUBSYS_NFTABLES
_NUMBERS = {name: number for number, name in FAMILIES.items()}
_HEADER = 4  # struct nfgenmsg
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _HOOK_NUMBER = 1, 3, 4, 5, 1
_RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE, _RULE_EXPRESSIONS = 1, 2, 3, 4
_EXPRESSION_NAME, _EXPRESSION_DATA = 1, 2
_IMMEDIATE_DATA, _DATA_VALUE, _DATA_VERDICT, _VERDICT_CODE, _VERDICT_CHAIN = 2, 1, 2, 1, 2
_META_KEY, _META_OIFNAME, _CMP_DATA, _TARGET_NAME = 2, 7, 3, 1
_IFNAMSIZ = 16
_DROP, _JUMP, _RETURN = 0, -3, -5
# What may stand in a rule beside its verdict without making it one for some packets only.
_ASIDE = {"counter", "immediate", "reject", "log", "target"}


@dataclass(frozen=True, eq=False, repr=False)  # cheap to make: on the path of each start
class Chain:
    family: str
    table: str
    name: str
    hook: int | None = None  # of a base chain
    drops: bool = False  # its policy


class Rule:
    def __init__(self, data: bytes) -> None:
        self.data = data
        found = attributes(data, _HEADER)
        self.handle: int = struct.unpack(">Q", found[_RULE_HANDLE])[0]
        self._expressions = [
            (_text(parts[_EXPRESSION_NAME]), attributes(parts.get(_EXPRESSION_DATA, b"")))
            for _, element in attribute_list(found.get(_RULE_EXPRESSIONS, b""))
            for parts in (attributes(element),)
        ]

    def comment(self, mark: str) -> str:
        """The comment that begins with `mark`, or "": nft keeps it beside the rule, and iptables-restore, which finds
        it there, puts it into an expression."""
        start = self.data.find(mark.encode())
        return "" if start < 0 else _text(self.data[start : self.data.index(b"\0", start)])

    @property
    def is_plain_return(self) -> bool:
        return self._is_unconditional and any(code == _RETURN for code, _ in self._verdicts())

    @property
    def ends_all(self) -> bool:
        """Whether it drops or rejects every packet that comes to it."""
        rejects = any(
            name == "reject" or (name == "target" and _text(found.get(_TARGET_NAME, b"")) == "REJECT")
            for name, found in self._expressions
        )
        return self._is_unconditional and (rejects or any(code == _DROP for code, _ in self._verdicts()))

    @property
    def jumps_to(self) -> str:
        return next((chain for code, chain in self._verdicts() if code == _JUMP), "")

    @property
    def output_interface(self) -> str:
        """The name that it compares with the interface a packet leaves by; "" when it does not."""
        wanted = False
        for name, found in self._expressions:
            if name == "cmp" and wanted:
                return _text(attributes(found[_CMP_DATA])[_DATA_VALUE])
            wanted = name == "meta" and found.get(_META_KEY) == struct.pack(">I", _META_OIFNAME)
        return ""

    def names_interface(self, pattern: str) -> bool:
        """Whether it asks for this interface; a pattern may end in "*"."""
        value = pattern[:-1].encode() if pattern.endswith("*") else pattern.encode().ljust(_IFNAMSIZ, b"\0")
        return any(
            attributes(found[_CMP_DATA]).get(_DATA_VALUE) == value for name, found in self._expressions if name == "cmp"
        )

    @property
    def _is_unconditional(self) -> bool:
        return all(name in _ASIDE for name, _ in self._expressions)

    def _verdicts(self) -> Iterator[tuple[int, str]]:
        for name, found in self._expressions:
            if name == "immediate":
                verdict = attributes(attributes(found[_IMMEDIATE_DATA]).get(_DATA_VERDICT, b""))
                if _VERDICT_CODE in verdict:
                    yield struct.unpack(">i", verdict[_VERDICT_CODE])[0], _text(verdict.get(_VERDICT_CHAIN, b""))


def chains(wanted: set[tuple[str, str]]) -> Iterator[Chain]:
    """Of these tables. The kernel sends those of all others, too: they are passed over with a look at their start."""
    for family in {family for family, _ in wanted}:
        names = {name.encode() + b"\0" for one, name in wanted if one == family}
        for data in _dump(_GETCHAIN, _NUMBERS[family]):
            parts = attribute_list(data, _HEADER)
            kind, table = next(parts)
            if kind == _CHAIN_TABLE and table in names:
                yield _chain(family, _text(table), dict(parts))


def rules(family: str, table: str, chain: str = "") -> list[Rule]:
    """In their order; empty when there is no such table or chain."""
    words = attribute(_RULE_TABLE, table.encode() + b"\0")
    if chain:
        words += attribute(_RULE_CHAIN, chain.encode() + b"\0")
    return [Rule(data) for data in _dump(_GETRULE, _NUMBERS[family], words)]


def _chain(family: str, table: str, found: dict[int, bytes]) -> Chain:
    name = _text(found[_CHAIN_NAME])
    if _CHAIN_HOOK not in found:
        return Chain(family, table, name)
    hook = struct.unpack(">I", attributes(found[_CHAIN_HOOK])[_HOOK_NUMBER])[0]
    policy = found.get(_CHAIN_POLICY)
    return Chain(family, table, name, hook, policy is not None and struct.unpack(">I", policy)[0] == _DROP)


def _dump(kind: int, family: int, words: bytes = b"") -> list[bytes]:
    return dump(NETLINK_NETFILTER, kind, struct.pack("=BBH", family, 0, 0) + words)


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "replace")
