"""Published and exposed ports: -p, --expose, and the arguments of `port`."""

import re
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Address, ip_address

from minirun.model import AnyAddress, PortMapping
from minirun.options import option_error

_EXPOSE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?\Z", re.IGNORECASE)


def parse_ports(texts: Iterable[str]) -> tuple[PortMapping, ...]:
    """Parse every -p."""
    return tuple(parse_port(text) for text in texts)


def parse_port(text: str) -> PortMapping:
    """Parse `[[ADDRESS:][HOST[-HOST]]:]CONTAINER[-CONTAINER][/PROTOCOL]`, the argument of `docker run -p`.

    An IPv6 address may be in brackets. A range of host ports for a single container port means any free one of them.
    https://docs.docker.com/engine/network/port-publishing/
    """
    body, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in ("tcp", "udp", "sctp"):
        raise option_error(f"Invalid proto: {protocol} in -p {text}", "tcp, udp or sctp")
    address, host, container = _split(body, text)
    first, count = _range(container, text, "containerPort")
    if not host or host == "0":
        return PortMapping(first, 0, protocol, address, count)
    host_first, host_count = _range(host, text, "hostPort")
    if host_count != count and count > 1:
        raise option_error(
            f"Invalid ranges specified for container and host Ports: {container} and {host}",
            "both must have the same length",
        )
    host_last = host_first + host_count - 1 if host_count > count else 0
    return PortMapping(first, host_first, protocol, address, count, host_last)


def parse_host_port(text: str) -> PortMapping:
    """Parse `[ADDRESS:]HOST[-HOST][/PROTOCOL]`, a published port. The result's container_port has no meaning."""
    body, slash, protocol = text.partition("/")
    mapping = parse_port(f"{body}:1{slash}{protocol}")
    if not mapping.host_port:
        raise option_error(f"No port specified: {text}", "a port on the host, such as 8080, 127.0.0.1:8080 or 53/udp")
    count = mapping.host_last - mapping.host_port + 1 if mapping.host_last else 1
    return replace(mapping, count=count, host_last=0)


def parse_container_port(text: str) -> tuple[int, str]:
    """Parse `PORT[/PROTOCOL]`, a port of a container. Return its number and protocol."""
    mapping = parse_port(text)
    if mapping.host_port or mapping.host_address or mapping.count > 1 or ":" in text:
        raise option_error(f"invalid port: {text}", "PORT or PORT/PROTOCOL, such as 80 or 53/udp")
    return mapping.container_port, mapping.protocol


def parse_expose(texts: Iterable[str]) -> tuple[str, ...]:
    """Parse every `PORT[-PORT][/PROTOCOL]` of --expose. Return one entry per port, such as 80/tcp."""
    exposed: dict[str, None] = {}
    for text in texts:
        match = _EXPOSE.match(text)
        first = int(match[1]) if match else 0
        last = int(match[2] or first) if match else 0
        if match is None or not 1 <= first <= last <= 65535:
            raise option_error(
                f"invalid range format for --expose: {text}", "PORT or PORT-PORT, optionally with /tcp, /udp or /sctp"
            )
        exposed |= dict.fromkeys(f"{port}/{(match[3] or 'tcp').lower()}" for port in range(first, last + 1))
    return tuple(exposed)


def _split(body: str, whole: str) -> tuple[AnyAddress | None, str, str]:
    """Split into address, host port and container port, from the right: an IPv6 address contains colons."""
    parts = body.rsplit(":", 2)
    *addresses, host, container = ["", *parts] if len(parts) == 1 else parts
    if not container:
        raise option_error(f"No port specified: {whole}<empty>")
    text = addresses[0] if addresses else ""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not bare:
        return None, host, container
    try:
        address = ip_address(bare)
    except ValueError:
        raise option_error(f"Invalid ip address: {text} in -p {whole}") from None
    if isinstance(address, IPv6Address) and address.scope_id:
        raise option_error(f"Invalid ip address: {text} in -p {whole}", "without a zone")
    return address, host, container


def _range(text: str, whole: str, what: str) -> tuple[int, int]:
    """Parse a port or a range. Return the first port and the count."""
    low, dash, high = text.partition("-")
    first = _port(low)
    last = _port(high) if dash else first
    if not 1 <= first <= last <= 65535:
        raise option_error(f"Invalid {what}: {text} in -p {whole}", "a port is 1 to 65535, a range LOW-HIGH")
    return first, last - first + 1


def _port(text: str) -> int:
    """Return the port's number, 0 if it is not a number."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else 0
