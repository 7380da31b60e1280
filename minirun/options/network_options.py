"""--network name=..,ip=.. of run, and what `network create` says of addresses."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeVar

from minirun.model import Address, Attachment, PoolRequest, PoolRequest4, PoolRequest6, Subnet
from minirun.options import bad
from minirun.options.hosts import is_name, parse_links, parse_mac

T = TypeVar("T")


def parse_attachment(text: str) -> Attachment:
    """NAME, or name=NAME,ip=..,ip6=..,alias=..,mac-address=..,gw-priority=.. in any order."""
    if "=" not in text:
        return Attachment(text)
    found, aliases = Attachment(""), []
    for word in next(csv.reader([text]), []):
        key, equals, value = word.partition("=")
        if not equals or not value:
            raise bad(f"invalid network option in --network {text}: {word!r} is not KEY=VALUE")
        match key.strip().lower():
            case "name":
                found = replace(found, network=value)
            case "alias":
                aliases.append(check_alias(value))
            case "ip":
                found = replace(found, address=parse_ip4(value))
            case "ip6":
                found = replace(found, address6=parse_ip6(value))
            case "mac-address":
                found = replace(found, mac=parse_mac(value))
            case "gw-priority":
                found = replace(found, priority=parse_priority(value))
            case "driver-opt" | "link-local-ip":
                raise bad(f"--network {text}: {key} cannot be had: endpoints have no options of their own")
            case _:
                raise bad(f"invalid field key {key} in --network {text}")
    if not found.network:
        raise bad(f"no name set for network in --network {text}")
    return replace(found, aliases=tuple(aliases))


def first_attachment(ip: str, ip6: str, mac: str, aliases: tuple[str, ...], links: tuple[str, ...]) -> Attachment:
    """What the flags of run that stand for themselves say of the first network."""
    return Attachment(
        address=parse_ip4(ip) if ip else None,
        address6=parse_ip6(ip6) if ip6 else None,
        mac=parse_mac(mac) if mac else "",
        aliases=tuple(check_alias(alias) for alias in aliases),
        links=parse_links(links),
    )


def check_alias(text: str) -> str:
    if not is_name(text):
        raise bad(f"invalid network alias {text!r}", "letters, digits, -, _ and .")
    return text


def parse_ip4(text: str) -> IPv4Address:
    return _read(IPv4Address, text, "IPv4 address")


def parse_ip6(text: str) -> IPv6Address:
    return _read(IPv6Address, text, "IPv6 address")


def parse_priority(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise bad(f"invalid gw-priority {text!r}: it is a number") from None


@dataclass(frozen=True)
class PoolWords:
    """--subnet, --ip-range, --gateway and --aux-address, as they were typed."""

    subnets: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    aux: tuple[str, ...] = ()

    def of_family(self, ipv6: bool) -> "PoolWords":
        def chosen(texts: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(text for text in texts if (":" in text.partition("=")[2] or ":" in text) == ipv6)

        return PoolWords(*(chosen(getattr(self, one.name)) for one in fields(self)))


def parse_options(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """-o KEY=VALUE; which keys there are is the driver's to know."""
    found = {}
    for text in texts:
        key, _, text = text.partition("=")
        if not key:
            raise bad(f"invalid driver option: {text}")
        found[key] = text
    return tuple(found.items())


def parse_pools(words: PoolWords, ipv6: bool) -> tuple[PoolRequest4, PoolRequest6 | None]:
    """One subnet a family, as Docker's bridge driver has it."""
    six = words.of_family(True)
    if not ipv6 and six != PoolWords():
        raise bad("an IPv6 subnet needs --ipv6")
    return (
        _wish(words.of_family(False), IPv4Network, IPv4Address),
        _wish(six, IPv6Network, IPv6Address) if ipv6 else None,
    )


def _wish(words: PoolWords, network: type[Subnet], address: type[Address]) -> PoolRequest[Subnet, Address]:
    subnet = _only(words.subnets, "subnet")
    part, gateway = _only(words.ranges, "ip-range"), _only(words.gateways, "gateway")
    if subnet is None:
        if text := part or gateway or next(iter(words.aux), None):
            raise bad(f"every gateway, range and aux address needs a subnet: give --subnet for {text}")
        return PoolRequest()
    whole = _read(network, subnet, "subnet")
    wish: PoolRequest[Subnet, Address] = PoolRequest(
        whole,
        None if gateway is None else _inside(_read(address, gateway, "gateway"), whole),
        None if part is None else _inside(_read(network, part, "ip-range"), whole),
        tuple(_aux(text, whole, address) for text in words.aux),
    )
    return wish


def _aux(text: str, subnet: Subnet, address: type[Address]) -> tuple[str, Address]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise bad(f"invalid aux-address {text}: it is NAME=ADDRESS")
    return name, _inside(_read(address, value, "aux-address"), subnet)


def _only(texts: tuple[str, ...], what: str) -> str | None:
    if len(texts) > 1:
        raise bad(f"a network has one {what} of each family: leave out --{what} {texts[1]}")
    return texts[0] if texts else None


def _read(kind: type[T], text: str, what: str) -> T:
    try:
        return kind(text)  # type: ignore[call-arg]
    except ValueError as error:
        raise bad(f"invalid {what} {text}: {error}") from None


def _inside(found: T, subnet: IPv4Network | IPv6Network) -> T:
    """In its subnet, be it an address or a range."""
    first, last = (found[0], found[-1]) if isinstance(found, IPv4Network | IPv6Network) else (found, found)
    if first not in subnet or last not in subnet:
        raise bad(f"no matching subnet for {found}: it is not in {subnet}")
    return found
