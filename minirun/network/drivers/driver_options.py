"""-o KEY=VALUE: which keys a driver knows, and what they take."""

import re
from collections.abc import Callable, Mapping
from ipaddress import AddressValueError, IPv4Address

from minirun.errors import MinirunError
from minirun.model import Network

MTU = "com.docker.network.driver.mtu"
_LINK_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,14}\Z")
# Whether a value will do, and how that is said to whoever gave another.
Takes = tuple[Callable[[str], bool], str]


def one_of(*words: str) -> Takes:
    return (lambda text: text in words), ", ".join(words)


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


SWITCH: Takes = (lambda text: text in ("true", "false", "1", "0")), "true or false"
LINK: Takes = (lambda text: bool(_LINK_NAME.match(text))), "the name of a link, 15 characters at most"
LINKS: Takes = (lambda text: all(_LINK_NAME.match(one) for one in text.split(":"))), "names of links, with : between"
ADDRESS: Takes = _is_address, "an IPv4 address"
MTU_SIZE: Takes = (lambda text: text.isascii() and text.isdigit() and 68 <= int(text) <= 65535), "68 to 65535"


def check_options(network: Network, known: Mapping[str, Takes]) -> None:
    for key, text in network.options:
        if key not in known:
            raise MinirunError(
                f"invalid option {key}: the driver {network.driver} has none of that name", f"it has {', '.join(known)}"
            )
        is_good, wanted = known[key]
        if not is_good(text):
            raise MinirunError(f"invalid value {text!r} for option {key}", f"it takes {wanted}")
