"""Networks: --network and its endpoint options, and the addresses of `network create`."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeVar

from minirun.model import (
    DEFAULT_NETWORK,
    Address,
    Attachment,
    Mode,
    NetworkRequest,
    PoolRequest,
    PoolRequest4,
    PoolRequest6,
    Subnet,
)
from minirun.options import option_error
from minirun.options.hosts import is_host_name, parse_links, parse_mac

T = TypeVar("T")
_MODES = {"host": Mode.HOST, "none": Mode.NONE}


def parse_network(texts: Sequence[str], first: Attachment | None = None) -> NetworkRequest:
    """Parse every --network: host, none, container:X, bridge, or names of networks with endpoint options.

    `first` holds the endpoint options of the first network that were given as options of their own, such as --ip.
    """
    attachments = [_attachment(text) for text in texts] or [Attachment()]
    names = [attachment.network for attachment in attachments]
    if "" in names:
        raise option_error("no name set for network")
    special = [name for name in names if name in _MODES or name.startswith("container:")]
    if special and len(names) > 1:
        raise option_error(f"conflicting options: cannot attach to {special[0]} and to other networks")
    if not special:
        if first is not None and first != Attachment():
            attachments[0] = _merge(attachments[0], first)
        if any((each.address or each.address6) and each.network == DEFAULT_NETWORK for each in attachments):
            raise option_error(
                f"invalid config for network {DEFAULT_NETWORK}: invalid endpoint settings:"
                " user specified IP address is supported on user defined networks only",
                "create one: minirun network create --subnet SUBNET NAME",
            )
        if any(each.aliases and each.network == DEFAULT_NETWORK for each in attachments):
            raise option_error(
                "network-scoped alias is supported only for containers in user defined networks",
                "create one: minirun network create NAME",
            )
        return NetworkRequest(Mode.BRIDGE, tuple(attachments))
    if first is not None and (first.address or first.address6):
        raise option_error(
            f"invalid config for network {names[0]}: --ip needs a network that allocates addresses",
            "use --ip with a bridge network",
        )
    if first is not None and first.aliases:
        raise option_error(f"network-scoped aliases are only supported for user-defined networks, not for {names[0]}")
    if first is not None and first.links and names[0] != "none":
        what = "host type networking" if names[0] == "host" else "container type network"
        raise option_error(
            f"conflicting options: {what} can't be used with links. This would result in undefined behavior"
        )
    if names[0] in _MODES:
        return NetworkRequest(_MODES[names[0]], ())
    if first is not None and first.mac:
        raise option_error("conflicting options: mac-address and the network mode")
    target = names[0].partition(":")[2]
    if not target:
        raise option_error("invalid container format container:<name|id>")
    return NetworkRequest(Mode.CONTAINER, (), target)


def parse_attachment(text: str) -> Attachment:
    """Parse NAME, or name=NAME,ip=..,ip6=..,alias=..,mac-address=..,gw-priority=.. in any order."""
    if "=" not in text:
        return Attachment(text)
    attachment, aliases = Attachment(""), []
    for word in next(csv.reader([text]), []):
        key, equals, value = word.partition("=")
        if not equals or not value:
            raise option_error(f"invalid network option in --network {text}: {word!r} is not KEY=VALUE")
        match key.strip().lower():
            case "name":
                attachment = replace(attachment, network=value)
            case "alias":
                aliases.append(check_alias(value))
            case "ip":
                attachment = replace(attachment, address=parse_ip4(value))
            case "ip6":
                attachment = replace(attachment, address6=parse_ip6(value))
            case "mac-address":
                attachment = replace(attachment, mac=parse_mac(value))
            case "gw-priority":
                attachment = replace(attachment, priority=parse_priority(value))
            case "driver-opt" | "link-local-ip":
                raise option_error(f"--network {text}: {key} is not supported")
            case _:
                raise option_error(f"invalid field key {key} in --network {text}")
    if not attachment.network:
        raise option_error(f"no name set for network in --network {text}")
    return replace(attachment, aliases=tuple(aliases))


def parse_first_attachment(ip: str, ip6: str, mac: str, aliases: tuple[str, ...], links: tuple[str, ...]) -> Attachment:
    """Parse --ip, --ip6, --mac-address, --network-alias and --link, which apply to the first network."""
    return Attachment(
        address=parse_ip4(ip) if ip else None,
        address6=parse_ip6(ip6) if ip6 else None,
        mac=parse_mac(mac) if mac else "",
        aliases=tuple(check_alias(alias) for alias in aliases),
        links=parse_links(links),
    )


def check_alias(text: str) -> str:
    """Check a network alias and return it."""
    if not is_host_name(text):
        raise option_error(f"invalid network alias {text!r}", "letters, digits, -, _ and .")
    return text


def parse_ip4(text: str) -> IPv4Address:
    """Parse the argument of --ip."""
    return _read(IPv4Address, text, "IPv4 address")


def parse_ip6(text: str) -> IPv6Address:
    """Parse the argument of --ip6."""
    return _read(IPv6Address, text, "IPv6 address")


def parse_priority(text: str) -> int:
    """Parse gw-priority: the endpoint with the highest one has the default gateway."""
    try:
        return int(text)
    except ValueError:
        raise option_error(f"invalid gw-priority {text!r}: not a number") from None


def _attachment(text: str) -> Attachment:
    if text in ("bridge", "default"):
        return Attachment()
    return parse_attachment(text)


def _merge(attachment: Attachment, flags: Attachment) -> Attachment:
    """Merge the options within --network with --ip, --ip6, --mac-address, --network-alias and --link."""
    for name, flag in (("address", "ip"), ("address6", "ip6"), ("mac", "mac-address")):
        if getattr(attachment, name) and getattr(flags, name):
            raise option_error(f"conflicting options: cannot specify both --{flag} and per-network {flag}")
    return replace(
        attachment,
        address=attachment.address or flags.address,
        address6=attachment.address6 or flags.address6,
        mac=attachment.mac or flags.mac,
        aliases=(*attachment.aliases, *flags.aliases),
        links=flags.links,
    )


@dataclass(frozen=True)
class PoolOptions:
    """The arguments of --subnet, --ip-range, --gateway and --aux-address, not parsed yet."""

    subnets: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    aux: tuple[str, ...] = ()

    def of_family(self, ipv6: bool) -> "PoolOptions":
        """Return those of one address family."""

        def chosen(texts: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(text for text in texts if (":" in text.partition("=")[2] or ":" in text) == ipv6)

        return PoolOptions(*(chosen(getattr(self, field.name)) for field in fields(self)))


def parse_driver_options(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Parse every `-o KEY=VALUE`. The driver checks which keys there are."""
    options = {}
    for text in texts:
        key, _, text = text.partition("=")
        if not key:
            raise option_error(f"invalid driver option: {text}")
        options[key] = text
    return tuple(options.items())


def parse_pools(options: PoolOptions, ipv6: bool) -> tuple[PoolRequest4, PoolRequest6 | None]:
    """Parse the address pools of a new network: one subnet per address family, as in Docker's bridge driver."""
    options6 = options.of_family(True)
    if not ipv6 and options6 != PoolOptions():
        raise option_error("an IPv6 subnet needs --ipv6")
    return (
        _pool_request(options.of_family(False), IPv4Network, IPv4Address),
        _pool_request(options6, IPv6Network, IPv6Address) if ipv6 else None,
    )


def _pool_request(options: PoolOptions, network: type[Subnet], address: type[Address]) -> PoolRequest[Subnet, Address]:
    subnet = _only(options.subnets, "subnet")
    ip_range, gateway = _only(options.ranges, "ip-range"), _only(options.gateways, "gateway")
    if subnet is None:
        if text := ip_range or gateway or next(iter(options.aux), None):
            raise option_error(f"every gateway, range and aux address needs a subnet: add --subnet for {text}")
        return PoolRequest()
    whole = _read(network, subnet, "subnet")
    request: PoolRequest[Subnet, Address] = PoolRequest(
        whole,
        None if gateway is None else _inside(_read(address, gateway, "gateway"), whole),
        None if ip_range is None else _inside(_read(network, ip_range, "ip-range"), whole),
        tuple(_aux(text, whole, address) for text in options.aux),
    )
    return request


def _aux(text: str, subnet: Subnet, address: type[Address]) -> tuple[str, Address]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise option_error(f"invalid aux-address {text}: not NAME=ADDRESS")
    return name, _inside(_read(address, value, "aux-address"), subnet)


def _only(texts: tuple[str, ...], what: str) -> str | None:
    if len(texts) > 1:
        raise option_error(f"a network has only one {what} per address family: remove --{what} {texts[1]}")
    return texts[0] if texts else None


def _read(kind: type[T], text: str, what: str) -> T:
    try:
        return kind(text)  # type: ignore[call-arg]
    except ValueError as error:
        raise option_error(f"invalid {what} {text}: {error}") from None


def _inside(value: T, subnet: IPv4Network | IPv6Network) -> T:
    """Check that an address or a range is in its subnet, and return it."""
    first, last = (value[0], value[-1]) if isinstance(value, IPv4Network | IPv6Network) else (value, value)
    if first not in subnet or last not in subnet:
        raise option_error(f"no matching subnet for {value}: it is not in {subnet}")
    return value
