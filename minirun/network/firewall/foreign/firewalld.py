"""firewalld: which zone an interface is in decides what may pass, and its daemon binds interfaces to zones.

Its nftables table is rewritten at each reload and has no chain for others. So minirun binds its bridges to a zone by
D-Bus, as Docker and podman do: to `minirun` if the administrator has defined a zone of that name, else to `trusted`.
The binding is part of firewalld's runtime configuration and ends with a reload or restart. See firewalld.dbus(5).
"""

from minirun.kernel import rulesets
from minirun.kernel.dbus import Bus

FAMILY, TABLE = "inet", "firewalld"
ZONES = ("minirun", "trusted")
_NAME, _OBJECT = "org.fedoraproject.FirewallD1", "/org/fedoraproject/FirewallD1"
_ALREADY_BOUND = ("ZONE_ALREADY_SET", "ALREADY_ENABLED", "ZONE_CONFLICT")


def is_bound(pattern: str) -> bool:
    """Return whether the interface is in any zone: in another than minirun's, the administrator wants it there.

    pattern: its name, or a prefix followed by "*"
    """
    return any(rule.names_interface(pattern) for rule in rulesets.rules(FAMILY, TABLE))


def bind(pattern: str) -> str:
    """Bind the interface to a zone that accepts its packets; return firewalld's error if it refuses, or "".

    Raises OSError when the daemon does not answer.
    """
    error = ""
    for zone in ZONES:
        error = _call("addInterface", zone, pattern)
        if not error.startswith("INVALID_ZONE"):
            break
    return "" if error.startswith(_ALREADY_BOUND) else error


def unbind(pattern: str) -> None:
    """Remove the interface from minirun's zones; any other zone it is in was not minirun's choice.

    Raises OSError when the daemon does not answer.
    """
    for zone in ZONES:
        _call("removeInterface", zone, pattern)


def _call(method: str, zone: str, pattern: str) -> str:
    bus = Bus()
    try:
        failure = bus.call(_NAME, _OBJECT, f"{_NAME}.zone", method, "ss", zone, pattern.replace("*", "+"))
        return failure.text if failure else ""
    finally:
        bus.close()
