"""The host-wide configuration file, /etc/minirun/config.json, with the keys that dockerd(8) uses in daemon.json.

    {"default-address-pools": [{"base": "10.10.0.0/16", "size": 24}, {"base": "fd10:10::/48", "size": 64}],
     "forkserver-idle-seconds": 600}

It is read when a network is created and when the fork server starts, not when a container starts. MINIRUN_CONFIG names
another file for a command; the fork server does not have the variables of the command that starts it.
"""

import json
import os
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Generic

from minirun.errors import MinirunError
from minirun.model import Subnet

DEFAULT_PATH = Path("/etc/minirun/config.json")
VARIABLE = "MINIRUN_CONFIG"
POOLS = "default-address-pools"
IDLE_TIME = "forkserver-idle-seconds"
_KEYS = (POOLS, IDLE_TIME)
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
    """

    pools4: tuple[AddressPool[IPv4Network], ...] = ()
    pools6: tuple[AddressPool[IPv6Network], ...] = ()
    forkserver_idle_time: int = 1800


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
        raise _invalid(path, f"unknown key {unknown[0]!r}; the keys are {' and '.join(map(repr, _KEYS))}")
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
    )


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
