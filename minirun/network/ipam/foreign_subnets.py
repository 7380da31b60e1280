"""Subnets in the configuration files of other container runtimes and of libvirt, whether their bridges exist or not.

Existing bridges are in the kernel's routes (kernel/link_queries.py). These files belong to other programs and may hold
anything: unreadable ones are skipped, and size, number and nesting are bounded.
"""

import json
import os
import stat
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

_MAX_BYTES = 1 << 18
_MAX_FILES = 256
_JSON_DIRECTORIES = (
    ("etc/containers/networks", (".json",), "podman"),
    ("etc/cni/net.d", (".conf", ".conflist", ".json"), "CNI"),
)
_LIBVIRT = "etc/libvirt/qemu/networks"
# podman with netavark keeps its default network in no file.
_PODMAN, _PODMAN_SUBNET = "etc/containers", IPv4Network("10.88.0.0/16")


def foreign_subnets(root: Path = Path("/")) -> Iterator[tuple[IPv4Network | IPv6Network, str]]:
    """Yield each configured subnet with its owner, such as "podman (web.json)".

    root: the directory that /etc is looked up in
    """
    if (root / _PODMAN).is_dir():
        yield _PODMAN_SUBNET, "podman's default network"
    for directory, suffixes, owner in _JSON_DIRECTORIES:
        for name, text in _files(root / directory, suffixes):
            for subnet in subnets_in_json(text):
                yield subnet, f"{owner} ({name})"
    for name, text in _files(root / _LIBVIRT, (".xml",)):
        for subnet in subnets_in_xml(text):
            yield subnet, f"libvirt ({name})"


def subnets_in_json(text: bytes) -> list[IPv4Network | IPv6Network]:
    """Return the value of every key "subnet", at any depth.

    That covers podman's `subnets` (netavark(1)) and the forms of CNI's `ipam` (host-local's `subnet` and `ranges`).
    """
    try:
        pending = [json.loads(text)]
    except (ValueError, RecursionError):
        return []
    subnets = []
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            subnets += _parse_subnet(value.get("subnet"))
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return subnets


def subnets_in_xml(text: bytes) -> list[IPv4Network | IPv6Network]:
    """Return the subnets of libvirt's <ip> and <route> elements: `address` with `netmask` or `prefix`.

    Format: https://libvirt.org/formatnetwork.html
    """
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError):  # LookupError: an unknown encoding
        return []
    subnets = []
    for element in root.iter():
        if element.tag in ("ip", "route") and (address := element.get("address")):
            prefix = element.get("prefix") or element.get("netmask") or ""
            subnets += _parse_subnet(f"{address}/{prefix}".rstrip("/"))
    return subnets


def _parse_subnet(text: Any) -> list[IPv4Network | IPv6Network]:
    if not isinstance(text, str):
        return []
    try:
        return [ip_network(text, strict=False)]
    except ValueError:
        return []


def _files(directory: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(suffixes))
    except OSError:
        return
    for name in names[:_MAX_FILES]:
        text = _read(directory / name)
        if text is not None:
            yield name, text


def _read(path: Path) -> bytes | None:
    """Read a regular file of bounded size. O_NONBLOCK, because opening a FIFO would wait for a writer."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
                return None
            return file.read(_MAX_BYTES)
    except OSError:
        return None
