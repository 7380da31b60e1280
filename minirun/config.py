"""The host-wide configuration file, /etc/minirun/config.json, with the keys that dockerd(8) uses in daemon.json.

    {"default-address-pools": [{"base": "10.10.0.0/16", "size": 24}, {"base": "fd10:10::/48", "size": 64}],
     "forkserver-idle-seconds": 600, "registry-mirrors": ["https://mirror.example"],
     "insecure-registries": ["registry.example:5000", "10.0.0.0/8"]}

It is read when a network is created, when a registry is asked and when the fork server starts, not when a container
starts. MINIRUN_CONFIG names another file for a command; the fork server does not have the variables of the command that
starts it.
"""

import json
import os
import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Generic
from urllib.parse import urlsplit

from minirun.errors import MinirunError
from minirun.model import Subnet

DEFAULT_PATH = Path("/etc/minirun/config.json")
VARIABLE = "MINIRUN_CONFIG"
POOLS = "default-address-pools"
IDLE_TIME = "forkserver-idle-seconds"
MIRRORS = "registry-mirrors"
INSECURE = "insecure-registries"
_KEYS = (POOLS, IDLE_TIME, MIRRORS, INSECURE)
_HOST = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::[0-9]+)?")
_MAX_BYTES = 1 << 20
_LONGEST_IDLE_TIME = 7 * 24 * 3600


@dataclass(frozen=True)
class AddressPool(Generic[Subnet]):
    """An address range that networks get their subnets from.

    base: the whole range
    size: prefix length of each subnet cut from it (24 cuts /24s)
    """

    base: Subnet
    size: int


@dataclass(frozen=True)
class Config:
    """The parsed configuration; an empty tuple means minirun's built-in pools.

    forkserver_idle_time: seconds without a command after which the fork server ends
    registry_mirrors: URLs of servers that are asked before Docker Hub
    insecure_registries, insecure_networks: registries that may be without TLS, HOST[:PORT] or by their addresses
    """

    pools4: tuple[AddressPool[IPv4Network], ...] = ()
    pools6: tuple[AddressPool[IPv6Network], ...] = ()
    forkserver_idle_time: int = 1800
    registry_mirrors: tuple[str, ...] = ()
    insecure_registries: tuple[str, ...] = ()
    insecure_networks: tuple[IPv4Network | IPv6Network, ...] = ()


def load() -> Config:
    """Read the configuration file; return the defaults when there is none.

    Raises MinirunError when the file is unreadable or invalid, or MINIRUN_CONFIG names a missing file.
    """
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else DEFAULT_PATH
    try:
        with path.open("rb") as file:
            return parse(file.read(_MAX_BYTES), path)
    except FileNotFoundError:
        if named:
            raise _invalid(path, f"no such file, but {VARIABLE} names it") from None
        return Config()
    except OSError as error:
        raise _invalid(path, f"cannot read it: {error.strerror}") from error


def load_or_default() -> Config:
    """The same for a process that has nobody to tell of an invalid file: the commands that use the file do."""
    try:
        return load()
    except MinirunError:
        return Config()


def parse(text: bytes, path: Path) -> Config:
    """Validate the file's content; `path` is only quoted in the MinirunError of an invalid one."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _invalid(path, f"it is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise _invalid(path, "it is not a JSON object")
    if unknown := sorted(set(data) - set(_KEYS)):
        raise _invalid(path, f"unknown key {unknown[0]!r}; the keys are {', '.join(map(repr, _KEYS))}")
    entries = data.get(POOLS, [])
    if not isinstance(entries, list):
        raise _invalid(path, f"{POOLS} is not a list")
    pools = [_parse_pool(entry, path) for entry in entries]
    idle_time = data.get(IDLE_TIME, Config.forkserver_idle_time)
    if type(idle_time) is not int or not 1 <= idle_time <= _LONGEST_IDLE_TIME:
        raise _invalid(path, f"{IDLE_TIME} is not a number of seconds from 1 to {_LONGEST_IDLE_TIME}")
    return Config(
        tuple(AddressPool(base, size) for base, size in pools if isinstance(base, IPv4Network)),
        tuple(AddressPool(base, size) for base, size in pools if isinstance(base, IPv6Network)),
        idle_time,
        tuple(_parse_mirror(text, path) for text in _strings(data, MIRRORS, path)),
        *_parse_insecure(_strings(data, INSECURE, path), path),
    )


def _strings(data: dict[str, Any], key: str, path: Path) -> list[str]:
    entries = data.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise _invalid(path, f"{key} is not a list of strings")
    return entries


def _parse_mirror(text: str, path: Path) -> str:
    """The URL without a slash at its end."""
    try:
        parts = urlsplit(text)
        is_valid = parts.scheme in ("http", "https") and _HOST.fullmatch(parts.netloc.lower()) and (parts.port or 1) > 0
    except ValueError:
        is_valid = None
    if not is_valid or parts.path.strip("/") or parts.query or parts.fragment:
        raise _invalid(path, f"{MIRRORS}: {text!r} is not of the form https://HOST[:PORT]")
    return f"{parts.scheme}://{parts.netloc}"


def _parse_insecure(entries: list[str], path: Path) -> tuple[tuple[str, ...], tuple[IPv4Network | IPv6Network, ...]]:
    """(registries by name, registries by network)."""
    names, networks = [], []
    for text in entries:
        try:
            if "/" in text:
                networks.append(ip_network(text, strict=False))
                continue
        except ValueError:
            pass
        if not _HOST.fullmatch(text.lower()):
            raise _invalid(path, f"{INSECURE}: {text!r} is neither HOST[:PORT] nor a network such as 10.0.0.0/8")
        names.append(text.lower())
    return tuple(names), tuple(networks)


def _parse_pool(entry: Any, path: Path) -> tuple[IPv4Network | IPv6Network, int]:
    if not isinstance(entry, dict) or set(entry) != {"base", "size"}:
        raise _invalid(path, f'{POOLS}: {entry!r} is not of the form {{"base": "10.10.0.0/16", "size": 24}}')
    base, size = entry["base"], entry["size"]
    if not isinstance(base, str) or type(size) is not int:
        raise _invalid(path, f"{POOLS}: base must be a string and size a number: {entry!r}")
    try:
        network = ip_network(base)
    except ValueError as error:
        raise _invalid(path, f"{POOLS}: invalid base: {error}") from None
    longest = network.max_prefixlen - 2  # room for a gateway and a container
    if not network.prefixlen <= size <= longest:
        raise _invalid(path, f"{POOLS}: the size {size} for {base} is not between {network.prefixlen} and {longest}")
    return network, size


def _invalid(path: Path, reason: str) -> MinirunError:
    return MinirunError(f"invalid configuration {path}: {reason}", "correct the file or remove it")
