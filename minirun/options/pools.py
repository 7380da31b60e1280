"""The options of `network create`: address pools, and the driver's own."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeVar

from minirun.model import Address, PoolRequest, PoolRequest4, PoolRequest6, Subnet
from minirun.options import option_error
from minirun.options.values import parse_with

T = TypeVar("T")


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
    whole = parse_with(network, subnet, "subnet")
    request: PoolRequest[Subnet, Address] = PoolRequest(
        whole,
        None if gateway is None else _inside(parse_with(address, gateway, "gateway"), whole),
        None if ip_range is None else _inside(parse_with(network, ip_range, "ip-range"), whole),
        tuple(_aux(text, whole, address) for text in options.aux),
    )
    return request


def _aux(text: str, subnet: Subnet, address: type[Address]) -> tuple[str, Address]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise option_error(f"invalid aux-address {text}: not NAME=ADDRESS")
    return name, _inside(parse_with(address, value, "aux-address"), subnet)


def _only(texts: tuple[str, ...], what: str) -> str | None:
    if len(texts) > 1:
        raise option_error(f"a network has only one {what} per address family: remove --{what} {texts[1]}")
    return texts[0] if texts else None


def _inside(value: T, subnet: IPv4Network | IPv6Network) -> T:
    """Check that an address or a range is in its subnet, and return it."""
    first, last = (value[0], value[-1]) if isinstance(value, IPv4Network | IPv6Network) else (value, value)
    if first not in subnet or last not in subnet:
        raise option_error(f"no matching subnet for {value}: it is not in {subnet}")
    return value
