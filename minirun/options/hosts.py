"""Names and addresses that a container knows: --add-host, --dns*, --link, --mac-address."""

import re
from collections.abc import Iterable
from ipaddress import ip_address

from minirun.model import HOST_GATEWAY
from minirun.options import invalid_argument, option_error

_NAME = re.compile(r"[a-zA-Z0-9_]([a-zA-Z0-9_.-]*[a-zA-Z0-9_])?\.?\Z")
_MAC = re.compile(r"([0-9a-f]{2}[:-]){5}[0-9a-f]{2}\Z", re.IGNORECASE)


def is_host_name(text: str) -> bool:
    """Return whether the text is a host name that DNS answers can contain."""
    return bool(_NAME.match(text))


def parse_extra_hosts(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Parse every `NAME:ADDRESS` or `NAME=ADDRESS` of --add-host. Return (name, address) pairs.

    The address may be IPv6, in brackets or not, or `host-gateway`.
    """
    hosts = []
    for text in texts:
        name, separator, address = text.partition("=")
        if not separator:
            name, separator, address = text.partition(":")
        if not separator or not name:
            raise invalid_argument(text, "add-host", f'bad format for add-host: "{text}"')
        if not _NAME.match(name):
            raise invalid_argument(text, "add-host", f'"{name}" is not a host name')
        bare = address.removeprefix("[").removesuffix("]") if address.startswith("[") else address
        if bare != HOST_GATEWAY and not _is_address(bare):
            raise invalid_argument(text, "add-host", f'invalid IP address in add-host: "{address}"')
        hosts.append((name, bare))
    return tuple(hosts)


def parse_dns(texts: Iterable[str]) -> tuple[str, ...]:
    """Check every address of --dns."""
    for text in texts:
        if not _is_address(text):
            raise invalid_argument(text, "dns", f"IP address is not correctly formatted: {text}")
    return tuple(texts)


def parse_dns_search(texts: Iterable[str]) -> tuple[str, ...]:
    """Check every domain of --dns-search; `.` alone means no search list."""
    for text in texts:
        if text != "." and not _NAME.match(text):
            raise invalid_argument(text, "dns-search", f"domain is invalid: {text}")
    return tuple(texts)


def parse_dns_options(texts: Iterable[str]) -> tuple[str, ...]:
    """Check every --dns-option, an option of resolv.conf(5)."""
    for text in texts:
        if not text or any(char.isspace() or not char.isprintable() for char in text):
            raise invalid_argument(text, "dns-option", "an option of resolv.conf(5) is one word")
    return tuple(texts)


def parse_mac(text: str) -> str:
    """Parse --mac-address. Return it in lower case with colons."""
    if not _MAC.match(text):
        raise option_error(f"{text} is not a valid mac address")
    mac = text.lower().replace("-", ":")
    if int(mac[:2], 16) & 1:
        raise option_error(f"{text} is not a valid mac address: it is a multicast address")
    return mac


def parse_links(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Parse every `CONTAINER[:ALIAS]` of --link. Return (container, alias) pairs."""
    links = []
    for text in texts:
        name, _, alias = text.partition(":")
        if not name or ":" in alias or not _NAME.match(alias or name):
            raise option_error(f"bad format for links: {text}", "CONTAINER or CONTAINER:ALIAS")
        links.append((name, alias or name))
    return tuple(links)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
