"""host and none, as networks: modes without a record, which have ids and can be inspected as in Docker."""

import hashlib
from typing import Any

from minirun.instance import Instance
from minirun.model import ACTIVE, Mode

_MODES = {"host": Mode.HOST, "none": Mode.NONE}
NEVER = "0001-01-01T00:00:00Z"  # Go's zero time
BUILTIN = {"host": "host", "none": "null"}  # their drivers


def builtin_id(name: str) -> str:
    """Return the id of host or none: the same on every host."""
    return hashlib.sha256(f"minirun network {name}".encode()).hexdigest()


def find_builtin(reference: str) -> str:
    """Return which of the two a name, an id or the start of an id means; "" for neither."""
    named = [name for name in BUILTIN if reference in (name, builtin_id(name))]
    begun = [name for name in BUILTIN if reference and builtin_id(name).startswith(reference.lower())]
    return (named or (begun if len(begun) == 1 else [""]))[0]


def describe_builtin(instance: Instance, name: str) -> dict[str, Any]:
    """What `minirun network inspect` prints of it."""
    members = [
        container
        for container in instance.store.containers()
        if container.status in ACTIVE and container.spec.network.mode is _MODES[name]
    ]
    return {
        "Name": name,
        "Id": builtin_id(name),
        "Created": NEVER,
        "Scope": "local",
        "Driver": BUILTIN[name],
        "EnableIPv4": True,
        "EnableIPv6": False,
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": None},
        "Containers": {
            container.id: {
                "Name": container.name,
                "EndpointID": "",
                "MacAddress": "",
                "IPv4Address": "",
                "IPv6Address": "",
            }
            for container in members
        },
        "Options": {},
        "Labels": {},
    }
