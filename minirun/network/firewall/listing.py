"""The rules of one container (`minirun inspect --rules`): every link, element and rule that exists for it.

The text is the kernel's own, read back with libnftables; the table's documentation is rules.py and antispoof.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minirun.instance import Instance
from minirun.kernel import rulesets
from minirun.kernel.link_queries import interfaces
from minirun.kernel.nft import nft_objects, nft_rules, with_names
from minirun.kernel.rulesets import nft_tables
from minirun.model import Container, Network
from minirun.network.dns.veth import endpoints_with_networks
from minirun.network.firewall.foreign.backends import NFT


@dataclass(frozen=True)
class Shown:
    """A part of the kernel's state that exists for the container.

    place: "interface", or table family, table name and what is in it
    text: as the kernel lists it
    why: the container itself, or the network that it shares with others
    """

    place: str
    text: str
    why: str


def rules_of(instance: Instance, container: Container) -> list[Shown]:
    """Return everything that exists for the container: links, elements, its networks' chains, rules of others."""
    pairs = endpoints_with_networks(instance, container.sandbox)
    words = {container.short_id}
    for endpoint, _ in pairs:
        addresses = (endpoint.address, endpoint.address6)
        words |= {endpoint.veth, endpoint.mac, *(str(address) for address in addresses if address)}
    shown = list(_interfaces(container))
    networks = [network for _, network in pairs]
    chains = {
        f"{prefix}_{network.chain}": network for network in networks for prefix in ("into", "from", "within", "out_of")
    }
    for family in ("inet", "bridge"):
        if (family, instance.table) in nft_tables():
            shown += _in_table(family, instance.table, words, chains)
    return shown + list(_in_foreign_tables(instance, networks))


def _interfaces(container: Container) -> Iterator[Shown]:
    """A link's alias holds the short id of its container."""
    for link in interfaces():
        if container.short_id in link.alias.split():
            yield Shown("interface", f'{link.name} alias "{link.alias}"', container.name)


def _in_table(family: str, table: str, words: set[str], chains: dict[str, Network]) -> Iterator[Shown]:
    """Elements that contain one of the words, and all rules of the chains."""
    try:
        objects, texts = nft_objects(family, table), nft_rules(family, table, counters=True)
    except OSError:
        return
    for wrapped in objects:
        kind, content = next(iter(wrapped.items()))
        if kind in ("set", "map"):
            for element in content.get("elem", []):
                if words & set(_strings(element)):
                    text = _element_text(element)
                    if "inet_proto" in content["type"]:
                        text = with_names(text)
                    yield Shown(f"{family} {table} {kind} {content['name']}", text, "container")
        elif kind == "rule" and (network := chains.get(content["chain"])):
            place = f"{family} {table} chain {content['chain']}"
            yield Shown(place, texts[content["handle"]], f"network {network.name}")


def _strings(value: Any) -> Iterator[str]:
    """All strings in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)


def _element_text(element: Any) -> str:
    """From libnftables-json(5) to nft's syntax: tcp . 8080 : 172.17.0.2 . 80"""
    if isinstance(element, list):
        return " : ".join(_element_text(part) for part in element)
    if isinstance(element, dict):
        if "concat" in element:
            return " . ".join(_element_text(part) for part in element["concat"])
        if "elem" in element:
            comment = element["elem"].get("comment")
            return _element_text(element["elem"]["val"]) + (f' comment "{comment}"' if comment else "")
        if "range" in element:
            return "-".join(_element_text(end) for end in element["range"])
        if "prefix" in element:
            return f"{element['prefix']['addr']}/{element['prefix']['len']}"
        kind, value = next(iter(element.items()))
        return f"{kind} {value.get('target', '')}".strip() if isinstance(value, dict) else kind
    return str(element)


def _in_foreign_tables(instance: Instance, networks: list[Network]) -> Iterator[Shown]:
    """minirun's accept rules in other firewalls' tables, which serve all its networks."""
    if not networks:
        return
    for place in instance.store.places():
        if place.kind != NFT:
            continue
        texts = nft_rules(place.family, place.table, counters=True)
        for rule in rulesets.rules(place.family, place.table, place.chain):
            if rule.comment(f"{instance.table}: "):
                chain = f"{place.family} {place.table} chain {place.chain}"
                yield Shown(chain, texts.get(rule.handle, ""), "all networks, in another firewall's table")
