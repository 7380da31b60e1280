"""--net=none: a network namespace with loopback and nothing else."""

from contextlib import ExitStack

from minirun.errors import FAILED, ConflictError, MinirunError
from minirun.instance import Instance
from minirun.kernel.netns import entered, netns_add, netns_exists, pin_path
from minirun.kernel.sockets import loopback_up
from minirun.kernel.sysctl import sysctl_ensure
from minirun.model import Container, Spec, Status
from minirun.store.lookup import find_container

_PING = "net.ipv4.ping_group_range"
# What an unprivileged user of the container may do with its own network, as Docker sets it.
_SYSCTLS = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    _PING: "0 2147483647",
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
        add_namespace(instance, container)
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


def add_namespace(instance: Instance, container: Container) -> None:
    """A new namespace, pinned under the container's name, with loopback up: where `none` ends, and `bridge` begins."""
    settings = _SYSCTLS
    if container.ids:
        _add_owned(instance, container)
        first, count = container.ids
        settings = {**_SYSCTLS, _PING: f"{first} {first + count - 1}"}  # read inside, these are its 0 to the last
    else:
        netns_add(container.name)
    with entered(container.name):
        for key, value in settings.items():
            sysctl_ensure(key, value)
        loopback_up()


def _add_owned(instance: Instance, container: Container) -> None:
    """It belongs to the container's user namespace, which is made along with it or is another container's."""
    from minirun.kernel.userns import netns_add_beside, netns_add_mapped

    kind, _, other = container.spec.userns.partition(":")
    if kind != "container":
        first, count = container.ids
        netns_add_mapped(container.name, first, count)
        return
    target = find_container(instance.store, other, code=FAILED)
    if target.status is not Status.RUNNING:
        raise MinirunError(
            f"cannot join the user namespace of a non running container: {target.name} ({target.status})",
            "start it first: its namespaces exist only while it runs",
            FAILED,
        )
    netns_add_beside(container.name, target.name)
