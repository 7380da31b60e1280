"""-o KEY=VALUE of `network create`: the kinds of values that drivers take, and checking a network's options."""

import re
from collections.abc import Callable, Mapping
from ipaddress import AddressValueError, IPv4Address

from minirun.errors import MinirunError
from minirun.model import Network

MTU = "com.docker.network.driver.mtu"
INTERFACE_PREFIX = "com.docker.network.container_iface_prefix"
_LINK_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,14}\Z")
ValueKind = tuple[Callable[[str], bool], str]  # whether a value is valid; the valid values, for the error's hint


def one_of(*words: str) -> ValueKind:
    """Return the kind whose values are these words."""
    return (lambda text: text in words), ", ".join(words)


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


SWITCH: ValueKind = (lambda text: text in ("true", "false", "1", "0")), "true or false"
PREFIX: ValueKind = (
    (lambda text: bool(_LINK_NAME.match(f"{text}999"))),
    "the beginning of a link's name, at most 12 characters",
)
LINK: ValueKind = (lambda text: bool(_LINK_NAME.match(text))), "the name of a link, at most 15 characters"
LINKS: ValueKind = (
    (lambda text: all(_LINK_NAME.match(name) for name in text.split(":"))),
    "names of links separated by :",
)
ADDRESS: ValueKind = _is_address, "an IPv4 address"
MTU_SIZE: ValueKind = (lambda text: text.isascii() and text.isdigit() and 68 <= int(text) <= 65535), "68 to 65535"


def check_options(network: Network, known: Mapping[str, ValueKind]) -> None:
    """Check the network's options against those that its driver knows. MinirunError for the first wrong one."""
    for key, text in network.options:
        if key not in known:
            raise MinirunError(
                f"invalid option {key}: the driver {network.driver} has no such option",
                f"its options are {', '.join(known)}",
            )
        is_valid, valid_values = known[key]
        if not is_valid(text):
            raise MinirunError(f"invalid value {text!r} for option {key}", f"it takes {valid_values}")
