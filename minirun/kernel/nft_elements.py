"""Elements of nftables' sets and maps, added and deleted by netlink itself (linux/netfilter/nf_tables.h).

libnftables can do the same, but it sends 7 requests in place of one, loading it takes 4 to 10 ms, and closing its
socket after a deletion waits for an RCU grace period, 8 to 15 ms. So a start, which adds three elements, does without;
many elements go by its text, which is 40 times quicker to encode. pyroute2's own NFTSetElem knows no map data, verdicts
or ends of intervals; its message class does.
"""

import os
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from itertools import groupby
from typing import Any, NamedTuple

from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, nfgen_msg
from pyroute2.netlink.nfnetlink.nftsocket import (
    NFPROTO_BRIDGE,
    NFPROTO_INET,
    NFT_MSG_DELSETELEM,
    NFT_MSG_NEWSETELEM,
    nft_set_elem_list_msg,
)

from minirun.kernel.netlink_sockets import PROTOCOLS, nf_tables
from minirun.kernel.nft import NftError, transact
from minirun.kernel.seam import Raw, shell

Attributes = list[tuple[str, Any]]
_FAMILIES = {"inet": NFPROTO_INET, "bridge": NFPROTO_BRIDGE}
_NFNL_MSG_BATCH_BEGIN, _NFNL_MSG_BATCH_END = 0x10, 0x11  # linux/netfilter/nfnetlink.h
_VERDICTS = {"jump": -3, "goto": -4}  # NFT_JUMP, NFT_GOTO
_IFNAMSIZ = 16
_MANY = 64  # elements: 25 ms to encode


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
    return _send(_messages(NFT_MSG_NEWSETELEM, elements, _content))


@shell("{nft}", nft=lambda values: _command([element.deleted for element in values["elements"]]))
def elements_del(elements: Sequence[SetElement]) -> None:
    """Delete elements, all or none. Raises NftError when one of them does not exist."""
    if len(elements) > _MANY:
        return transact("\n".join(element.deleted for element in elements))
    return _send(_messages(NFT_MSG_DELSETELEM, elements, _key))


def _send(messages: list[nft_set_elem_list_msg]) -> None:
    begin, end = (_message(nfgen_msg, kind, 0) for kind in (_NFNL_MSG_BATCH_BEGIN, _NFNL_MSG_BATCH_END))
    begin["res_id"] = end["res_id"] = NFNL_SUBSYS_NFTABLES
    try:
        with nf_tables() as nft:
            nft.nlm_request_batch([begin, *messages, end])
    except OSError as error:
        raise NftError(error.errno, f"{os.strerror(error.errno or 0)}: nftables refused an element") from error


def _messages(
    kind: int, elements: Sequence[SetElement], attributes: Callable[[SetElement], Attributes]
) -> list[nft_set_elem_list_msg]:
    messages = []
    for (family, table, name), group in groupby(elements, lambda element: element.place):
        create = NLM_F_CREATE if kind == NFT_MSG_NEWSETELEM else 0
        message = _message(nft_set_elem_list_msg, NFNL_SUBSYS_NFTABLES << 8 | kind, NLM_F_ACK | create)
        message["nfgen_family"] = _FAMILIES[family]
        message["attrs"] = [
            ("NFTA_SET_ELEM_LIST_TABLE", table),
            ("NFTA_SET_ELEM_LIST_SET", name),
            ("NFTA_SET_ELEM_LIST_ELEMENTS", [{"attrs": attributes(element)} for element in group]),
        ]
        messages.append(message)
    return messages


def _message(message_class: type[nfgen_msg], kind: int, flags: int) -> nfgen_msg:
    message = message_class()
    message["header"].update(type=kind, flags=NLM_F_REQUEST | flags)
    return message


def _key(element: SetElement) -> Attributes:
    """In a set of intervals every part has an end: of `8000-8010` the second number, of others the same again."""
    kind, _, flags = element.kind.partition(";")
    types, words = kind.partition(" : ")[0], element.key.split(" . ")
    if "interval" not in flags:
        return [("NFTA_SET_ELEM_KEY", _value(types, words))]
    spans = [word.partition("-") for word in words]
    first, last = [start for start, _, _ in spans], [end or start for start, _, end in spans]
    return [("NFTA_SET_ELEM_KEY", _value(types, first)), ("NFTA_SET_ELEM_KEY_END", _value(types, last))]


def _content(element: SetElement) -> Attributes:
    content = _key(element)
    if element.value:
        content.append(("NFTA_SET_ELEM_DATA", _data(element.kind.partition(";")[0].partition(" : ")[2], element.value)))
    if element.comment:
        content.append(("NFTA_SET_ELEM_USERDATA", [("NFTNL_UDATA_SET_ELEM_COMMENT", element.comment)]))
    return content


def _data(types: str, text: str) -> dict[str, Attributes]:
    if types != "verdict":
        return _value(types, text.split(" . "))
    word, chain = text.split()
    verdict = [("NFTA_VERDICT_CODE", _VERDICTS[word]), ("NFTA_VERDICT_CHAIN", chain)]
    return {"attrs": [("NFTA_DATA_VERDICT", {"attrs": verdict})]}


def _value(types: str, words: list[str]) -> dict[str, Attributes]:
    return {"attrs": [("NFTA_DATA_VALUE", _packed(types, words))]}


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
