"""Subnets that other runtimes of this host have written down, whether their bridges are up now or not.

What is up is seen in the kernel (kernel/routes.py). These files are others' and may be anything: what cannot be read
is passed over, and nothing here takes long.
"""

import json
import os
import stat
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

_LARGEST_FILE = 1 << 18
_MOST_FILES = 256
_JSON_PLACES = (
    ("etc/containers/networks", (".json",), "podman"),
    ("etc/cni/net.d", (".conf", ".conflist", ".json"), "CNI"),
)
_LIBVIRT = "etc/libvirt/qemu/networks"
# podman with netavark has its first network in no file.
_PODMAN, _PODMAN_SUBNET = "etc/containers", IPv4Network("10.88.0.0/16")


def foreign_subnets(root: Path = Path("/")) -> Iterator[tuple[IPv4Network | IPv6Network, str]]:
    """With who has it, such as "podman (web.json)"."""
    if (root / _PODMAN).is_dir():
        yield _PODMAN_SUBNET, "podman's default network"
    for place, endings, owner in _JSON_PLACES:
        for name, text in _files(root / place, endings):
            for subnet in subnets_in_json(text):
                yield subnet, f"{owner} ({name})"
    for name, text in _files(root / _LIBVIRT, (".xml",)):
        for subnet in subnets_in_xml(text):
            yield subnet, f"libvirt ({name})"


def subnets_in_json(text: bytes) -> list[IPv4Network | IPv6Network]:
    """podman's `subnets`, CNI's `ipam` in its several shapes: all of them say "subnet", at whatever depth."""
    try:
        waiting = [json.loads(text)]
    except (ValueError, RecursionError):
        return []
    found = []
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            found += _subnet(one.get("subnet"))
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return found


def subnets_in_xml(text: bytes) -> list[IPv4Network | IPv6Network]:
    """libvirt's <ip> and <route>: an address with `netmask` or `prefix`."""
    from xml.etree import ElementTree  # most hosts have no such files

    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError):  # LookupError: an encoding of no such name
        return []
    found = []
    for one in root.iter():
        if one.tag in ("ip", "route") and (address := one.get("address")):
            found += _subnet(f"{address}/{one.get('prefix') or one.get('netmask') or ''}".rstrip("/"))
    return found


def _subnet(text: Any) -> list[IPv4Network | IPv6Network]:
    if not isinstance(text, str):
        return []
    try:
        return [ip_network(text, strict=False)]
    except ValueError:
        return []


def _files(directory: Path, endings: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(endings))
    except OSError:
        return
    for name in names[:_MOST_FILES]:
        text = _read(directory / name)
        if text is not None:
            yield name, text


def _read(path: Path) -> bytes | None:
    """A regular file of a bearable size: opening a FIFO would wait for a writer."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_FILE:
                return None
            return file.read(_LARGEST_FILE)
    except OSError:
        return None
