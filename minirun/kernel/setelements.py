"""Elements of nftables' sets and maps, added and deleted by netlink itself (linux/netfilter/nf_tables.h).

libnftables does the same, but reads the rule set of the whole host before each transaction: with a thousand ports that
are published that is 5 ms, and loading it 4 more, for a start that adds three elements.
"""

import os
import struct
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from itertools import groupby
from typing import NamedTuple

from minirun.kernel.netlink import NETLINK_NETFILTER, NLM_F_CREATE, PROTOCOLS, Message, Netlink, attribute, nested
from minirun.kernel.nft import NftError
from minirun.kernel.seam import Raw, shell

_FAMILIES = {"inet": 1, "bridge": 7}  # NFPROTO_*
_SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEWSETELEM, _DELSETELEM = _SUBSYSTEM << 8 | 12, _SUBSYSTEM << 8 | 14
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS, _LIST_ELEM = 1, 2, 3, 1  # NFTA_SET_ELEM_LIST_*, NFTA_LIST_ELEM
_KEY, _DATA, _USERDATA, _KEY_END = 1, 2, 6, 10  # NFTA_SET_ELEM_*
_VALUE, _VERDICT, _VERDICT_CODE, _VERDICT_CHAIN = 1, 2, 1, 2  # NFTA_DATA_*, NFTA_VERDICT_*
_VERDICTS = {"jump": -3, "goto": -4}  # NFT_JUMP, NFT_GOTO
_COMMENT = 0  # NFTNL_UDATA_SET_ELEM_COMMENT, as libnftables writes and reads it
_IFNAMSIZ = 16
_MOST = 256  # in one message: the length of an attribute has 16 bits
# Closing a socket of this family waits until what was just deleted is freed: an RCU grace period, 8 to 15 ms. So the
# last one stays open until the next, or until this process ends.
_unclosed: list[Netlink] = []


class SetElement(NamedTuple):
    """In nft's words: `kind` as the set is declared (`type ifname . ether_addr`), `key` (`"veth0" . 02:42:ac:11:00:02`)
    and, of a map, `value`. In a set of intervals the key is a concatenation (of others the kernel wants both ends as
    elements of their own)."""

    family: str
    table: str
    name: str
    kind: str
    key: str
    value: str = ""
    comment: str = ""

    @property
    def added(self) -> str:
        comment = f' comment "{self.comment}"' if self.comment else ""
        value = f" : {self.value}" if self.value else ""
        return f"add element {self.family} {self.table} {self.name} {{ {self.key}{comment}{value} }}"

    @property
    def deleted(self) -> str:
        return f"delete element {self.family} {self.table} {self.name} {{ {self.key} }}"

    @property
    def place(self) -> tuple[str, str, str]:
        return self.family, self.table, self.name


def _told(lines: list[str]) -> Raw:
    if len(lines) == 1:
        return Raw(f"nft {lines[0]}")
    return Raw("nft -f - <<'EOF'\n" + "".join(f"{line}\n" for line in lines) + "EOF")


@shell("{nft}", nft=lambda values: _told([one.added for one in values["elements"]]))
def elements_add(elements: Sequence[SetElement]) -> None:
    """All or none. NftError: no such table, set or chain, or another value is there. One that is there is fine."""
    _send(_messages(_NEWSETELEM, elements, _content))


@shell("{nft}", nft=lambda values: _told([one.deleted for one in values["elements"]]))
def elements_del(elements: Sequence[SetElement]) -> None:
    """All or none. NftError when one of them is not there."""
    _send(_messages(_DELSETELEM, elements, _key))


def _send(messages: list[Message]) -> None:
    netlink = Netlink(NETLINK_NETFILTER)
    edge = struct.pack(">BBH", 0, 0, _SUBSYSTEM)
    try:
        netlink.transaction([Message(_BATCH_BEGIN, edge), *messages, Message(_BATCH_END, edge)])
    except OSError as error:
        raise NftError(error.errno, f"{os.strerror(error.errno or 0)}: nftables refused an element") from error
    finally:
        _unclosed.append(netlink)
        if len(_unclosed) > 1:
            _unclosed.pop(0).close()


def _messages(kind: int, elements: Sequence[SetElement], write: Callable[[SetElement], bytes]) -> list[Message]:
    found = []
    for (family, table, name), group in groupby(elements, lambda one: one.place):
        head = struct.pack("=BBH", _FAMILIES[family], 0, 0) + _text(_LIST_TABLE, table) + _text(_LIST_SET, name)
        inside = [nested(_LIST_ELEM, write(one)) for one in group]
        for start in range(0, len(inside), _MOST):
            some = nested(_LIST_ELEMENTS, *inside[start : start + _MOST])
            found.append(Message(kind, head + some, NLM_F_CREATE if kind == _NEWSETELEM else 0))
    return found


def _key(one: SetElement) -> bytes:
    """In a set of intervals every part has an end: of `8000-8010` the second number, of others the same again."""
    kind, _, flags = one.kind.partition(";")
    types, words = kind.partition(" : ")[0], one.key.split(" . ")
    if "interval" not in flags:
        return nested(_KEY, attribute(_VALUE, _packed(types, words)))
    spans = [word.partition("-") for word in words]
    first, last = [start for start, _, _ in spans], [end or start for start, _, end in spans]
    return b"".join(
        nested(at, attribute(_VALUE, _packed(types, ends))) for at, ends in ((_KEY, first), (_KEY_END, last))
    )


def _content(one: SetElement) -> bytes:
    content = _key(one)
    if one.value:
        content += nested(_DATA, _value(one.kind.partition(";")[0].partition(" : ")[2], one.value))
    if one.comment:
        text = one.comment.encode() + b"\0"
        content += attribute(_USERDATA, bytes([_COMMENT, len(text)]) + text)
    return content


def _value(types: str, text: str) -> bytes:
    if types != "verdict":
        return attribute(_VALUE, _packed(types, text.split(" . ")))
    word, chain = text.split()
    return nested(_VERDICT, attribute(_VERDICT_CODE, struct.pack(">i", _VERDICTS[word])), _text(_VERDICT_CHAIN, chain))


def _packed(types: str, words: list[str]) -> bytes:
    """A concatenation has each of its parts at a multiple of four bytes."""
    pairs = zip(types.removeprefix("type ").removeprefix("typeof ").split(" . "), words, strict=True)
    parts = [_PACK[kind](part) for kind, part in pairs]
    return parts[0] if len(parts) == 1 else b"".join(part + b"\0" * (-len(part) % 4) for part in parts)


def _interface(text: str) -> bytes:
    return text.strip('"').encode().ljust(_IFNAMSIZ, b"\0")


def _hardware(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _address(text: str) -> bytes:
    return ip_address(text).packed


# By the words of `type`, and of `typeof`.
_PACK: dict[str, Callable[[str], bytes]] = {
    "ifname": _interface,
    "iifname": _interface,
    "ether_addr": _hardware,
    "ether saddr": _hardware,
    "ipv4_addr": _address,
    "ipv6_addr": _address,
    "@th,64,128": lambda text: int(text, 16).to_bytes(16, "big"),
    "inet_proto": lambda text: bytes([PROTOCOLS[text]]),
    "inet_service": lambda text: int(text).to_bytes(2, "big"),
}


def _text(kind: int, text: str) -> bytes:
    return attribute(kind, text.encode() + b"\0")
