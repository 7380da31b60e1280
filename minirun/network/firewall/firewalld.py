"""firewalld: what it lets pass is decided by the zone that an interface is in, and its daemon is who puts it there.

Its table is its own, written anew at each reload; there is no chain in it for others. So the bridges of minirun are put
into a zone, by D-Bus, as Docker's and podman's are: into `minirun` if the administrator has made one of that name,
otherwise into `trusted`. The binding is firewalld's runtime configuration, and goes with a reload or a restart.
"""

from minirun.kernel import rulesets
from minirun.kernel.dbus import Bus

FAMILY, TABLE = "inet", "firewalld"
ZONES = ("minirun", "trusted")
_NAME, _OBJECT = "org.fedoraproject.FirewallD1", "/org/fedoraproject/FirewallD1"


def is_bound(pattern: str) -> bool:
    """Whether the interface (or all that begin like it) is in a zone, whichever: if another one than ours, then because
    somebody wants it there."""
    return any(rule.names_interface(pattern) for rule in rulesets.rules(FAMILY, TABLE))


def bind(pattern: str) -> str:
    """Have the interface in a zone that lets it pass. What is wrong, if it cannot be had. OSError: nobody answers."""
    said = ""
    for zone in ZONES:
        said = _call("addInterface", zone, pattern)
        if not said.startswith("INVALID_ZONE"):
            break
    return "" if said.startswith(("ZONE_ALREADY_SET", "ALREADY_ENABLED", "ZONE_CONFLICT")) else said


def unbind(pattern: str) -> None:
    """Out of our zones; elsewhere it was put by somebody else. OSError: nobody answers."""
    for zone in ZONES:
        _call("removeInterface", zone, pattern)


def _call(member: str, zone: str, pattern: str) -> str:
    bus = Bus()
    try:
        failure = bus.call(_NAME, _OBJECT, f"{_NAME}.zone", member, "ss", zone, pattern.replace("*", "+"))
        return failure.text if failure else ""
    finally:
        bus.close()
