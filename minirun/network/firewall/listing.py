"""Whose a rule is: of one container, every element and rule that is there for it, with the text that the kernel has."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minirun.instance import Instance
from minirun.kernel import rulesets
from minirun.kernel.link_queries import interfaces
from minirun.kernel.nft import nft_objects, nft_rules, with_names
from minirun.kernel.rulesets import nft_tables
from minirun.model import Container, Network
from minirun.network.dns.veth import legs_of


@dataclass(frozen=True)
class Shown:
    """A part of the kernel's state that is there for the container."""

    place: str  # interface, or family and table and what in it
    text: str
    why: str  # the container itself, or the network that it shares with others


def rules_of(instance: Instance, container: Container) -> list[Shown]:
    legs = legs_of(instance, container.sandbox)
    words = {container.short_id}
    for end, _ in legs:
        words |= {end.veth, end.mac, *(str(one) for one in (end.address, end.address6) if one)}
    found = list(_interfaces(container))
    networks = [network for _, network in legs]
    chains = {
        f"{kind}_{network.chain}": network for network in networks for kind in ("into", "from", "within", "out_of")
    }
    for family in ("inet", "bridge"):
        if (family, instance.table) in nft_tables() or family == "bridge":
            found += _of_table(family, instance.table, words, chains)
    return found + list(_elsewhere(instance, networks))


def _interfaces(container: Container) -> Iterator[Shown]:
    """The alias of a link leads back to the container."""
    for link in interfaces():
        if container.short_id in link.alias.split():
            yield Shown("interface", f'{link.name} alias "{link.alias}"', container.name)


def _of_table(family: str, table: str, words: set[str], chains: dict[str, Network]) -> Iterator[Shown]:
    try:
        objects, texts = nft_objects(family, table), nft_rules(family, table, counters=True)
    except OSError:
        return
    for one in objects:
        kind, found = next(iter(one.items()))
        if kind in ("set", "map"):
            for element in found.get("elem", []):
                if words & set(_strings(element)):
                    text = _element(element)
                    if "inet_proto" in found["type"]:
                        text = with_names(text)
                    yield Shown(f"{family} {table} {kind} {found['name']}", text, "container")
        elif kind == "rule" and (network := chains.get(found["chain"])):
            yield Shown(f"{family} {table} chain {found['chain']}", texts[found["handle"]], f"network {network.name}")


def _strings(element: Any) -> Iterator[str]:
    if isinstance(element, str):
        yield element
    elif isinstance(element, list):
        for one in element:
            yield from _strings(one)
    elif isinstance(element, dict):
        for one in element.values():
            yield from _strings(one)


def _element(element: Any) -> str:
    """tcp . 8080 : 172.17.0.2 . 80"""
    if isinstance(element, list):
        return " : ".join(_element(one) for one in element)
    if isinstance(element, dict):
        if "concat" in element:
            return " . ".join(_element(one) for one in element["concat"])
        if "elem" in element:
            comment = element["elem"].get("comment")
            return _element(element["elem"]["val"]) + (f' comment "{comment}"' if comment else "")
        if "range" in element:
            return "-".join(_element(one) for one in element["range"])
        if "prefix" in element:
            return f"{element['prefix']['addr']}/{element['prefix']['len']}"
        kind, value = next(iter(element.items()))
        return f"{kind} {value.get('target', '')}".strip() if isinstance(value, dict) else kind
    return str(element)


def _elsewhere(instance: Instance, networks: list[Network]) -> Iterator[Shown]:
    """minirun's rules in others' rule sets, which are there for all its networks."""
    if not networks:
        return
    for place in instance.store.places():
        if place.kind != "nft":
            continue
        texts = nft_rules(place.family, place.table, counters=True)
        for rule in rulesets.rules(place.family, place.table, place.chain):
            if rule.comment(f"{instance.table}: "):
                where = f"{place.family} {place.table} chain {place.chain}"
                yield Shown(where, texts.get(rule.handle, ""), "all networks, among somebody else's rules")
