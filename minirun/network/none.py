"""--net=none: a network namespace with loopback and nothing else."""

from contextlib import ExitStack

from minirun.errors import FAILED, ConflictError, MinirunError
from minirun.instance import Instance
from minirun.kernel.netns import entered, netns_add, netns_exists, pin_path
from minirun.kernel.sockets import loopback_up
from minirun.kernel.sysctl import sysctl_ensure
from minirun.model import Container, Spec

# What an unprivileged user of the container may do with its own network, as Docker sets it.
_SYSCTLS = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
}


class Isolated:
    def validate(self, instance: Instance, spec: Spec) -> None:
        if spec.ports:
            raise MinirunError(
                "conflicting options: port publishing and the network mode none: it has no address to publish",
                "leave out -p, or use --net=bridge",
                FAILED,
            )

    def reserve(self, instance: Instance, container: Container) -> str:
        return container.id

    def pin(self, instance: Instance, container: Container) -> str:
        add_namespace(container.name)
        return container.name

    def connect(self, instance: Instance, container: Container, undo: ExitStack) -> list[str]:
        return []


def refuse_foreign_pin(name: str) -> None:
    """A namespace that somebody else keeps under this name must not be taken over, nor removed later."""
    if name == "minirun-dns" or (len(name) == 20 and name.startswith("minirun-") and name.endswith("-dns")):
        raise MinirunError(f"the name {name} is that of the resolver's network namespace", "choose another", FAILED)
    if netns_exists(name):
        raise ConflictError(
            f'a network namespace named "{name}" exists already ({pin_path(name)}) and is not minirun\'s',
            f"choose another --name, or remove it: ip netns del {name}",
            FAILED,
        )


def add_namespace(name: str) -> None:
    """A new pinned namespace with loopback up: where `none` ends, and `bridge` begins."""
    netns_add(name)
    with entered(name):
        for key, value in _SYSCTLS.items():
            sysctl_ensure(key, value)
        loopback_up()
