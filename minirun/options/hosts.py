"""What a container knows of names and addresses: --add-host, --dns*, --mac-address, --link, --expose."""

import re
from collections.abc import Iterable
from ipaddress import ip_address

from minirun.model import HOST_GATEWAY
from minirun.options import bad, invalid

_NAME = re.compile(r"[a-zA-Z0-9_]([a-zA-Z0-9_.-]*[a-zA-Z0-9_])?\.?\Z")
_MAC = re.compile(r"([0-9a-f]{2}[:-]){5}[0-9a-f]{2}\Z", re.IGNORECASE)
_EXPOSE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?\Z", re.IGNORECASE)


def parse_extra_hosts(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """NAME:ADDRESS or NAME=ADDRESS; the address may be IPv6, in brackets or not, or `host-gateway`."""
    found = []
    for text in texts:
        name, separator, address = text.partition("=")
        if not separator:
            name, separator, address = text.partition(":")
        if not separator or not name:
            raise invalid(text, "add-host", f'bad format for add-host: "{text}"')
        if not _NAME.match(name):
            raise invalid(text, "add-host", f'"{name}" is not a host name')
        bare = address.removeprefix("[").removesuffix("]") if address.startswith("[") else address
        if bare != HOST_GATEWAY and not _is_address(bare):
            raise invalid(text, "add-host", f'invalid IP address in add-host: "{address}"')
        found.append((name, bare))
    return tuple(found)


def is_name(text: str) -> bool:
    return bool(_NAME.match(text))


def parse_dns(texts: Iterable[str]) -> tuple[str, ...]:
    for text in texts:
        if not _is_address(text):
            raise invalid(text, "dns", f"IP address is not correctly formatted: {text}")
    return tuple(texts)


def parse_dns_search(texts: Iterable[str]) -> tuple[str, ...]:
    """`.` alone: no search list."""
    for text in texts:
        if text != "." and not _NAME.match(text):
            raise invalid(text, "dns-search", f"domain is invalid: {text}")
    return tuple(texts)


def parse_dns_options(texts: Iterable[str]) -> tuple[str, ...]:
    for text in texts:
        if not text or any(char.isspace() or not char.isprintable() for char in text):
            raise invalid(text, "dns-option", "an option of resolv.conf(5) is one word")
    return tuple(texts)


def parse_mac(text: str) -> str:
    if not _MAC.match(text):
        raise bad(f"{text} is not a valid mac address")
    mac = text.lower().replace("-", ":")
    if int(mac[:2], 16) & 1:
        raise bad(f"{text} is not a valid mac address: it is a multicast address")
    return mac


def parse_links(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """CONTAINER or CONTAINER:ALIAS."""
    found = []
    for text in texts:
        name, _, alias = text.partition(":")
        if not name or ":" in alias or not _NAME.match(alias or name):
            raise bad(f"bad format for links: {text}", "CONTAINER or CONTAINER:ALIAS")
        found.append((name, alias or name))
    return tuple(found)


def parse_expose(texts: Iterable[str]) -> tuple[str, ...]:
    """PORT[-PORT][/PROTOCOL], one entry a port: 80/tcp."""
    found: dict[str, None] = {}
    for text in texts:
        match = _EXPOSE.match(text)
        first = int(match[1]) if match else 0
        last = int(match[2] or first) if match else 0
        if match is None or not 1 <= first <= last <= 65535:
            raise bad(f"invalid range format for --expose: {text}", "PORT, PORT-PORT, and /tcp or /udp behind it")
        protocol = (match[3] or "tcp").lower()
        if protocol == "sctp":
            raise bad(f"--expose {text}: the protocol is tcp or udp")
        found |= dict.fromkeys(f"{port}/{protocol}" for port in range(first, last + 1))
    return tuple(found)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
