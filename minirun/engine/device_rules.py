"""Which devices a container that asks for some may use, as rules for its group (kernel/devices.py)."""

import os
import stat
from collections.abc import Iterable

from minirun.init.devices import nodes
from minirun.kernel.devices import ALWAYS, Rule
from minirun.model import Device


def rules_for(devices: Iterable[Device], texts: Iterable[str]) -> tuple[Rule, ...]:
    """Those of every container, those of the nodes that it is shown, and those that were written out."""
    found = [*ALWAYS]
    for device in devices:
        for path in nodes(device.source):
            node = os.stat(path)
            kind = "b" if stat.S_ISBLK(node.st_mode) else "c"
            found.append((kind, os.major(node.st_rdev), os.minor(node.st_rdev), device.access))
    for text in texts:
        kinds, numbers, access = text.split(" ")
        major, minor = (-1 if number == "*" else int(number) for number in numbers.split(":"))
        found += [(kind, major, minor, access) for kind in ("bc" if kinds == "a" else kinds)]
    return tuple(found)
