"""Elements of nftables' sets and maps, added and deleted by netlink itself (linux/netfilter/nf_tables.h).

libnftables can do the same, but it sends 7 requests in place of one, loading it takes 4 to 10 ms, and closing its
socket after a deletion waits for an RCU grace period, 8 to 15 ms. So a start, which adds three elements, does without;
many elements go by its text, which is 40 times quicker to encode. pyroute2's own NFTSetElem knows no map data, verdicts
or ends of intervals; its message class does.
"""

import os
import struct
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from itertools import groupby
from typing import NamedTuple

from minirun.kernel.netlink import NETLINK_NETFILTER, NLM_F_ACK, NLM_F_CREATE, PROTOCOLS, Attribute, Message, request
from minirun.kernel.nft import NftError, transact
from minirun.kernel.seam import Raw, shell

Attributes = list[Attribute]
_FAMILIES = {"inet": 1, "bridge": 7}  # NFPROTO_*
# linux/netfilter/nfnetlink.h
_NFNL_MSG_BATCH_BEGIN, _NFNL_MSG_BATCH_END, NFNL_SUBSYS_NFTABLES = 0x10, 0x11, 10
_NFT_MSG_NEWSETELEM, _NFT_MSG_DELSETELEM = 12, 14
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS, _LIST_ELEM = 1, 2, 3, 1  # NFTA_SET_ELEM_LIST_*, NFTA_LIST_ELEM
_KEY, _DATA, _USERDATA, _KEY_END = 1, 2, 6, 10  # NFTA_SET_ELEM_*
_DATA_VALUE, _DATA_VERDICT, _VERDICT_CODE, _VERDICT_CHAIN = 1, 2, 1, 2  # NFTA_DATA_*, NFTA_VERDICT_*
_VERDICTS = {"jump": -3, "goto": -4}  # NFT_JUMP, NFT_GOTO
_UDATA_COMMENT = 0  # NFTNL_UDATA_SET_ELEM_COMMENT of libnftnl: type, length, text
_IFNAMSIZ = 16
_MANY = 64  # elements


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
        """nft's command that adds the element."""
        comment = f' comment "{self.comment}"' if self.comment else ""
        value = f" : {self.value}" if self.value else ""
        return f"add element {self.family} {self.table} {self.name} {{ {self.key}{comment}{value} }}"

    @property
    def deleted(self) -> str:
        """nft's command that deletes it."""
        return f"delete element {self.family} {self.table} {self.name} {{ {self.key} }}"

    @property
    def place(self) -> tuple[str, str, str]:
        """The set or map that it is in: family, table, name."""
        return self.family, self.table, self.name


def _command(lines: list[str]) -> Raw:
    if len(lines) == 1:
        return Raw(f"nft {lines[0]}")
    return Raw("nft -f - <<'EOF'\n" + "".join(f"{line}\n" for line in lines) + "EOF")


@shell("{nft}", nft=lambda values: _command([element.added for element in values["elements"]]))
def elements_add(elements: Sequence[SetElement]) -> None:
    """Add elements, all or none; one that exists is fine.

    Raises NftError when a table, set or chain does not exist, or the element has another value.
    """
    if len(elements) > _MANY:
        return transact("\n".join(element.added for element in elements))
    return _send(_messages(_NFT_MSG_NEWSETELEM, elements, _content))


@shell("{nft}", nft=lambda values: _command([element.deleted for element in values["elements"]]))
def elements_del(elements: Sequence[SetElement]) -> None:
    """Delete elements, all or none. Raises NftError when one of them does not exist."""
    if len(elements) > _MANY:
        return transact("\n".join(element.deleted for element in elements))
    return _send(_messages(_NFT_MSG_DELSETELEM, elements, _key))


def _send(messages: list[Message]) -> None:
    batch = struct.pack(">BBH", 0, 0, NFNL_SUBSYS_NFTABLES)
    begin, end = (Message(kind, 0, batch) for kind in (_NFNL_MSG_BATCH_BEGIN, _NFNL_MSG_BATCH_END))
    try:
        request(NETLINK_NETFILTER, begin, *messages, end)
    except OSError as error:
        raise NftError(error.errno, f"{os.strerror(error.errno or 0)}: nftables refused an element") from error


def _messages(
    kind: int, elements: Sequence[SetElement], attributes: Callable[[SetElement], Attributes]
) -> list[Message]:
    create = NLM_F_CREATE if kind == _NFT_MSG_NEWSETELEM else 0
    messages = []
    for (family, table, name), group in groupby(elements, lambda element: element.place):
        listed: Attributes = [(_LIST_ELEM, attributes(element)) for element in group]
        place: Attributes = [(_LIST_TABLE, table), (_LIST_SET, name)]
        header = struct.pack(">BBH", _FAMILIES[family], 0, 0)
        kinds = NFNL_SUBSYS_NFTABLES << 8 | kind
        messages.append(Message(kinds, NLM_F_ACK | create, header, [*place, (_LIST_ELEMENTS, listed)]))
    return messages


def _key(element: SetElement) -> Attributes:
    """In a set of intervals every part has an end: of `8000-8010` the second number, of others the same again."""
    kind, _, flags = element.kind.partition(";")
    types, words = kind.partition(" : ")[0], element.key.split(" . ")
    if "interval" not in flags:
        return [(_KEY, _value(types, words))]
    spans = [word.partition("-") for word in words]
    first, last = [start for start, _, _ in spans], [end or start for start, _, end in spans]
    return [(_KEY, _value(types, first)), (_KEY_END, _value(types, last))]


def _content(element: SetElement) -> Attributes:
    content = _key(element)
    if element.value:
        content.append((_DATA, _data(element.kind.partition(";")[0].partition(" : ")[2], element.value)))
    if element.comment:
        text = element.comment.encode() + b"\0"
        content.append((_USERDATA, bytes([_UDATA_COMMENT, len(text)]) + text))
    return content


def _data(types: str, text: str) -> Attributes:
    if types != "verdict":
        return _value(types, text.split(" . "))
    word, chain = text.split()
    verdict: Attributes = [(_VERDICT_CODE, struct.pack(">i", _VERDICTS[word])), (_VERDICT_CHAIN, chain)]
    return [(_DATA_VERDICT, verdict)]


def _value(types: str, words: list[str]) -> Attributes:
    return [(_DATA_VALUE, _packed(types, words))]


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
