"""Networks: --network and its endpoint options."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from minirun.model import (
    DEFAULT_NETWORK,
    INTERFACE_NAME,
    INTERFACE_SYSCTLS,
    Attachment,
    Mode,
    NetworkRequest,
)
from minirun.options import option_error
from minirun.options.hosts import is_host_name, parse_links, parse_mac
from minirun.options.values import csv_fields, is_link_name, parse_with

T = TypeVar("T")
_INTERFACE_SYSCTL = re.compile(r"net\.(?:ipv4|ipv6|mpls)\.\w+\.(?:IFNAME|ifname)\.[\w.-]+=.+\Z")
_MODES = {"host": Mode.HOST, "none": Mode.NONE}


def parse_network(texts: Sequence[str], first: Attachment | None = None) -> NetworkRequest:
    """Parse every --network: host, none, container:X, bridge, or names of networks with endpoint options.

    `first` holds the endpoint options of the first network that were given as options of their own, such as --ip.
    """
    attachments = [_attachment(text) for text in texts] or [Attachment()]
    names = [attachment.network for attachment in attachments]
    if "" in names:
        raise option_error("no name set for network")
    _check_names([attachment.interface for attachment in attachments])
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
    first = _merge(replace(attachments[0], network=DEFAULT_NETWORK), first or Attachment())
    if first.driver_options or first.priority:
        raise option_error(f"invalid config for network {names[0]}: there is no endpoint for driver-opt or gw-priority")
    if first.address or first.address6:
        raise option_error(
            f"invalid config for network {names[0]}: --ip needs a network that allocates addresses",
            "use --ip with a bridge network",
        )
    if first.aliases:
        raise option_error(f"network-scoped aliases are only supported for user-defined networks, not for {names[0]}")
    if first.links and names[0] != "none":
        what = "host type networking" if names[0] == "host" else "container type network"
        raise option_error(
            f"conflicting options: {what} can't be used with links. This would result in undefined behavior"
        )
    if names[0] in _MODES:
        return NetworkRequest(_MODES[names[0]], ())
    if first.mac:
        raise option_error("conflicting options: mac-address and the network mode")
    target = names[0].partition(":")[2]
    if not target:
        raise option_error("invalid container format container:<name|id>")
    return NetworkRequest(Mode.CONTAINER, (), target)


def parse_attachment(text: str) -> Attachment:
    """Parse NAME, or name=NAME,ip=..,ip6=..,alias=..,mac-address=..,gw-priority=.. in any order."""
    if "=" not in text:
        return Attachment(text)
    attachment, aliases, driver_options = Attachment(""), [], []
    for word in csv_fields(text, "network"):
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
            case "driver-opt":
                driver_options.append(value)
            case "link-local-ip":
                raise option_error(f"--network {text}: {key} is not supported")
            case _:
                raise option_error(f"invalid field key {key} in --network {text}")
    if not attachment.network:
        raise option_error(f"no name set for network in --network {text}")
    return replace(attachment, aliases=tuple(aliases), driver_options=parse_endpoint_options(driver_options))


def parse_endpoint_options(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Parse every KEY=VALUE of --driver-opt. As in Docker, keys that nothing knows are recorded."""
    options = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise option_error(f"invalid key value pair format in driver options: {text}", "KEY=VALUE")
        options[key.strip()] = value.strip()
    if INTERFACE_NAME in options and not is_link_name(options[INTERFACE_NAME]):
        raise option_error(
            f"invalid interface name {options[INTERFACE_NAME]!r}", "1 to 15 characters, without / and blanks"
        )
    for setting in options[INTERFACE_SYSCTLS].split(",") if INTERFACE_SYSCTLS in options else ():
        if not _INTERFACE_SYSCTL.match(setting):
            raise option_error(
                f"invalid endpoint settings: unrecognised network interface sysctl '{setting}'; represent"
                " 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'"
            )
    return tuple(options.items())


def _check_names(names: Iterable[str]) -> None:
    given = [name for name in names if name]
    if repeated := next((name for name in given if given.count(name) > 1), ""):
        raise option_error(f"conflicting options: two interfaces of the name {repeated}")


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
    return parse_with(IPv4Address, text, "IPv4 address")


def parse_ip6(text: str) -> IPv6Address:
    """Parse the argument of --ip6."""
    return parse_with(IPv6Address, text, "IPv6 address")


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
