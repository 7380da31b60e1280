"""--sysctl net.*: settings of the container's network namespace, written by whoever makes its interfaces.

`net.ipv4.conf.default.*` counts for interfaces that are made later, so all settings are written before the first one;
but those of an interface, once it is there. The others, of IPC, are the first process's (init/first_process.py).
"""

import re
from collections.abc import Callable, Sequence

from minirun.errors import FAILED, MinirunError
from minirun.kernel.netns import entered
from minirun.kernel.sysctl import sysctl_write
from minirun.model import INTERFACE_SYSCTLS, Container, Endpoint, Spec

_OF_INTERFACE = re.compile(r"net\.\w+\.(?:conf|neigh)\.(?!(?:all|default|lo)\.)([^.]+)\.")


def of_network(spec: Spec) -> tuple[tuple[str, str], ...]:
    """Return the settings of the network namespace, as name and value."""
    return tuple(one for one in spec.sysctls if one[0].startswith("net."))


def set_for_namespace(container: Container) -> None:
    """Write the settings that name no interface, in the namespace pinned under the container's name.

    MinirunError when the kernel refuses one, or has none of that name.
    """
    _write(container, lambda interface: not interface)


def set_for_interfaces(container: Container, attached: Sequence[Endpoint]) -> None:
    """Write the settings of these endpoints' interfaces, by --sysctl and by driver options.

    MinirunError as in `set_for_namespace`.
    """
    names = {endpoint.interface for endpoint in attached}
    _write(container, lambda interface: interface in names)
    own = [(name, value, endpoint.interface) for endpoint in attached for name, value in endpoint.sysctls]
    if own:
        with entered(container.name):
            for name, value, interface in own:
                _write_one(name, value, f"{INTERFACE_SYSCTLS}=", interface)


def refuse_unknown_interfaces(container: Container, attached: set[str]) -> None:
    """Check that each setting of an interface is of an attached one. MinirunError names the first that is not."""
    for name, value in container.spec.sysctls:
        interface = _interface_of(name)
        if interface and interface not in attached:
            raise MinirunError(
                f"--sysctl {name}={value}: the container has no interface {interface}",
                f"it has {', '.join(sorted({'lo', *attached}))}: one for each network, in the order of --network",
                FAILED,
            )


def _write(container: Container, is_wanted: Callable[[str], bool]) -> None:
    settings = [one for one in of_network(container.spec) if is_wanted(_interface_of(one[0]))]
    if not settings:
        return
    with entered(container.name):
        for name, value in settings:
            _write_one(name, value, "--sysctl ")


def _write_one(name: str, value: str, option: str, interface: str = "") -> None:
    """`interface` takes the place of IFNAME in the name, in which it may have dots of its own."""
    key = "/".join(interface if part.upper() == "IFNAME" else part for part in name.split(".")) if interface else name
    try:
        sysctl_write(key, value)
    except OSError as error:
        raise MinirunError(f"{option}{name}={value}: {error.strerror}", code=FAILED) from error


def _interface_of(name: str) -> str:
    """The interface that a setting is of; "" for none, for all of them, and for lo, which is always there."""
    found = _OF_INTERFACE.match(name)
    return found[1] if found else ""
