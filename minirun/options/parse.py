"""From the words of a command line to the model: ports, networks, names. Each error is one clear line."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv6Address, ip_address

from minirun.errors import FAILED, MinirunError
from minirun.model import DEFAULT_NETWORK, AnyAddress, Attachment, Mode, NetworkRequest, PortMapping, Restart

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
_HOSTNAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,61}[a-zA-Z0-9])?\Z")
_LONGEST_NAME = 128
_MODES = {"host": Mode.HOST, "none": Mode.NONE}


def _bad(message: str, hint: str = "") -> MinirunError:
    return MinirunError(message, hint, FAILED)


def check_name(name: str, what: str = "container") -> str:
    shortest = 2 if what == "container" else 1  # Docker's pattern for a container's name ends in +
    if not NAME.match(name) or not shortest <= len(name) <= _LONGEST_NAME:
        raise _bad(
            f"Invalid {what} name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            f"{shortest} to {_LONGEST_NAME} characters, the first a letter or digit",
        )
    return name


def check_hostname(name: str) -> str:
    if not _HOSTNAME.match(name):
        raise _bad(f"invalid hostname format: {name}", "letters, digits, - and ., 63 at most")
    return name


def parse_ports(texts: Iterable[str]) -> tuple[PortMapping, ...]:
    return tuple(parse_port(text) for text in texts)


def parse_port(text: str) -> PortMapping:
    """`[[ADDRESS:][HOST[-HOST]]:]CONTAINER[-CONTAINER][/PROTOCOL]`, as docker run -p takes it. An IPv6 address may be
    in brackets. A range of the host's for a single port of the container's: one that is free."""
    body, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in ("tcp", "udp"):
        raise _bad(f"Invalid proto: {protocol} in -p {text}", "tcp or udp")
    address, host, container = _split(body, text)
    first, count = _range(container, text, "containerPort")
    if not host or host == "0":
        return PortMapping(first, 0, protocol, address, count)
    at, places = _range(host, text, "hostPort")
    if places != count and count > 1:
        raise _bad(
            f"Invalid ranges specified for container and host Ports: {container} and {host}",
            "both must have the same length",
        )
    return PortMapping(first, at, protocol, address, count, at + places - 1 if places > count else 0)


def _split(body: str, whole: str) -> tuple[AnyAddress | None, str, str]:
    """From the right, as an IPv6 address has colons of its own."""
    parts = body.rsplit(":", 2)
    *addresses, host, container = ["", *parts] if len(parts) == 1 else parts
    if not container:
        raise _bad(f"No port specified: {whole}<empty>")
    text = addresses[0] if addresses else ""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not bare:
        return None, host, container
    try:
        address = ip_address(bare)
    except ValueError:
        raise _bad(f"Invalid ip address: {text} in -p {whole}") from None
    if isinstance(address, IPv6Address) and address.scope_id:
        raise _bad(f"Invalid ip address: {text} in -p {whole}", "without a zone")
    return address, host, container


def parse_place(text: str) -> PortMapping:
    """`[ADDRESS:]HOST[-HOST][/PROTOCOL]`: where something is published; its container_port says nothing."""
    body, slash, protocol = text.partition("/")
    mapping = parse_port(f"{body}:1{slash}{protocol}")
    if not mapping.host_port:
        raise _bad(f"No port specified: {text}", "the port on the host, such as 8080, 127.0.0.1:8080 or 53/udp")
    count = mapping.host_last - mapping.host_port + 1 if mapping.host_last else 1
    return replace(mapping, count=count, host_last=0)


def parse_private(text: str) -> tuple[int, str]:
    """`PORT[/PROTOCOL]` of a container."""
    mapping = parse_port(text)
    if mapping.host_port or mapping.host_address or mapping.count > 1 or ":" in text:
        raise _bad(f"invalid port: {text}", "PORT or PORT/PROTOCOL, such as 80 or 53/udp")
    return mapping.container_port, mapping.protocol


def _range(text: str, whole: str, what: str) -> tuple[int, int]:
    """(the first, how many)."""
    low, dash, high = text.partition("-")
    first = _port(low)
    last = _port(high) if dash else first
    if not 1 <= first <= last <= 65535:
        raise _bad(f"Invalid {what}: {text} in -p {whole}", "a port is 1 to 65535, a range LOW-HIGH")
    return first, last - first + 1


def _port(text: str) -> int:
    """0 for what is none. Without a pattern: -p is no reason to load them."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else 0


def parse_network(texts: Sequence[str], first: Attachment | None = None) -> NetworkRequest:
    """--net: host, none, container:X, bridge, or names of networks, each with what is wanted there. `first` is what
    other flags say of the first network."""
    wanted = [_attachment(text) for text in texts] or [Attachment()]
    names = [one.network for one in wanted]
    if "" in names:
        raise _bad("no name set for network")
    special = [name for name in names if name in _MODES or name.startswith("container:")]
    if special and len(names) > 1:
        raise _bad(f"conflicting options: cannot attach to {special[0]} and to other networks")
    if not special:
        if first is not None and first != Attachment():
            wanted[0] = _both(wanted[0], first)
        if any(one.aliases and one.network == DEFAULT_NETWORK for one in wanted):
            raise _bad(
                "network-scoped alias is supported only for containers in user defined networks",
                "make one: minirun network create NAME",
            )
        return NetworkRequest(Mode.BRIDGE, tuple(wanted))
    if first is not None and (first.address or first.address6):
        raise _bad(
            f"invalid config for network {names[0]}: --ip needs a network that gives addresses",
            "use --ip with a bridge network",
        )
    if first is not None and first.aliases:
        raise _bad(f"network-scoped aliases are only supported for user-defined networks, not for {names[0]}")
    if names[0] in _MODES:
        return NetworkRequest(_MODES[names[0]], ())
    target = names[0].partition(":")[2]
    if not target:
        raise _bad("invalid container format container:<name|id>")
    return NetworkRequest(Mode.CONTAINER, (), target)


def _attachment(text: str) -> Attachment:
    if text in ("bridge", "default"):
        return Attachment()
    if "=" not in text:
        return Attachment(text)
    from minirun.options.network_options import parse_attachment  # seldom given

    return parse_attachment(text)


def _both(one: Attachment, flags: Attachment) -> Attachment:
    """What --network name=.. and what --ip, --ip6, --mac-address, --network-alias and --link say of one network."""
    for name, flag in (("address", "ip"), ("address6", "ip6"), ("mac", "mac-address")):
        if getattr(one, name) and getattr(flags, name):
            raise _bad(f"conflicting options: cannot specify both --{flag} and per-network {flag}")
    return replace(
        one,
        address=one.address or flags.address,
        address6=one.address6 or flags.address6,
        mac=one.mac or flags.mac,
        aliases=(*one.aliases, *flags.aliases),
        links=flags.links,
    )


def parse_env(texts: Iterable[str], files: Iterable[str] = ()) -> tuple[tuple[str, str], ...]:
    """KEY=VALUE, or KEY alone for the caller's own value (left out when the caller has none). What is typed goes over
    what is in a file."""
    found: dict[str, str] = {}
    for text in (*_env_lines(files), *texts):
        key, equals, value = text.partition("=")
        if not key:
            raise _bad(f"invalid environment variable: {text}")
        if equals:
            found[key] = value
        elif key in os.environ:
            found[key] = os.environ[key]
    return tuple(found.items())


def unset_env(texts: Iterable[str], files: Iterable[str] = ()) -> list[str]:
    """Names alone of what the caller does not have: the image's own are then left out, too."""
    return [text for text in (*_env_lines(files), *texts) if "=" not in text and text not in os.environ]


def _env_lines(files: Iterable[str]) -> list[str]:
    if not files:
        return []
    from minirun.options.environment_files import read_env_file  # seldom given

    return [line for path in files for line in read_env_file(path)]


def parse_restart(text: str, auto_remove: bool = False) -> Restart:
    """no, always, unless-stopped, on-failure[:MOST]."""
    name, _, most = text.partition(":")
    if name not in ("", "no", "always", "unless-stopped", "on-failure"):
        raise _bad(f"invalid restart policy: unknown policy '{name}'", "no, always, unless-stopped or on-failure[:N]")
    if most and name != "on-failure":
        raise _bad("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if most and not (most.isascii() and most.isdigit()):
        raise _bad(f"invalid restart policy format: maximum retry count must be an integer: {most}")
    if auto_remove and name not in ("", "no"):
        raise _bad("conflicting options: cannot specify both --restart and --rm")
    return Restart(name or "no", int(most or 0))
