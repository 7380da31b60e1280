"""What the administrator of this host has said once for all: /etc/minirun/config.json, in Docker's words.

    {"default-address-pools": [{"base": "10.10.0.0/16", "size": 24}, {"base": "fd10:10::/48", "size": 64}]}

Read when a network is made, not at a start. MINIRUN_CONFIG names another file.
"""

import json
import os
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from minirun.errors import MinirunError
from minirun.network.ipam.subnets import AddressPool

DEFAULT_PATH = Path("/etc/minirun/config.json")
VARIABLE = "MINIRUN_CONFIG"
POOLS = "default-address-pools"
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Config:
    pools4: tuple[AddressPool[IPv4Network], ...] = ()
    pools6: tuple[AddressPool[IPv6Network], ...] = ()


def load() -> Config:
    """What is said; nothing where there is no file, unless MINIRUN_CONFIG names it."""
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else DEFAULT_PATH
    try:
        with path.open("rb") as file:
            return parse(file.read(_LARGEST), path)
    except FileNotFoundError:
        if named:
            raise _bad(path, f"there is no such file, but {VARIABLE} names it") from None
        return Config()
    except OSError as error:
        raise _bad(path, f"it cannot be read: {error.strerror}") from error


def parse(text: bytes, path: Path) -> Config:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"it is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise _bad(path, "it is not a JSON object")
    if unknown := sorted(set(data) - {POOLS}):
        raise _bad(path, f"unknown key {unknown[0]!r}; known is {POOLS!r}")
    entries = data.get(POOLS, [])
    if not isinstance(entries, list):
        raise _bad(path, f"{POOLS} is not a list")
    pools = [_pool(entry, path) for entry in entries]
    return Config(
        tuple(AddressPool(base, size) for base, size in pools if isinstance(base, IPv4Network)),
        tuple(AddressPool(base, size) for base, size in pools if isinstance(base, IPv6Network)),
    )


def _pool(entry: Any, path: Path) -> tuple[IPv4Network | IPv6Network, int]:
    if not isinstance(entry, dict) or set(entry) != {"base", "size"}:
        raise _bad(path, f'{POOLS}: {entry!r} is not of the form {{"base": "10.10.0.0/16", "size": 24}}')
    base, size = entry["base"], entry["size"]
    if not isinstance(base, str) or type(size) is not int:
        raise _bad(path, f"{POOLS}: base is a string and size a number, unlike {entry!r}")
    try:
        network = ip_network(base)
    except ValueError as error:
        raise _bad(path, f"{POOLS}: invalid base: {error}") from None
    longest = network.max_prefixlen - 2  # room for a gateway and a container
    if not network.prefixlen <= size <= longest:
        raise _bad(path, f"{POOLS}: the size {size} for {base} is not between {network.prefixlen} and {longest}")
    return network, size


def _bad(path: Path, what: str) -> MinirunError:
    return MinirunError(f"the configuration {path} cannot be used: {what}", "correct the file, or remove it")
