"""A container's sandbox: its pinned network namespace, from creation to teardown.

Teardown works from the record alone, in whichever process ends the container, however far its start had come.
"""

import sys

from minirun.errors import FAILED, ConflictError, MinirunError, describe
from minirun.instance import Instance, StateRoot
from minirun.kernel.loopback import loopback_up
from minirun.kernel.netns import entered, netns_add, netns_del, netns_exists, netns_inode, pin_path
from minirun.kernel.own_ids import OWN_IDS
from minirun.kernel.sysctl import sysctl_ensure
from minirun.kernel.userns import netns_add_beside, netns_add_mapped
from minirun.model import Container, Status
from minirun.network.dns.veth import endpoints_with_networks
from minirun.network.drivers import driver_named
from minirun.network.firewall import foreign
from minirun.network.networks import add_event
from minirun.network.ports import reservations
from minirun.store.lookup import find_container

_NETNS_FILE = "netns"  # in the container's directory
_PING = "net.ipv4.ping_group_range"
# What an unprivileged user of the container may do with its own network: Docker's settings.
_SYSCTLS = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    _PING: f"0 {min(2147483647, OWN_IDS.last_group)}",
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
}


def refuse_foreign_pin(name: str) -> None:
    """Check that the pin /run/netns/NAME is free: minirun must neither use nor remove somebody else's namespace.

    ConflictError when it exists, MinirunError when it is the name of a DNS server's namespace.
    """
    if name == "minirun-dns" or (len(name) == 20 and name.startswith("minirun-") and name.endswith("-dns")):
        raise MinirunError(f"the name {name} is reserved for the DNS server's namespace", "choose another", FAILED)
    if netns_exists(name):
        raise ConflictError(
            f'a network namespace named "{name}" exists already ({pin_path(name)}) and is not minirun\'s',
            f"choose another --name, or remove it: ip netns del {name}",
            FAILED,
        )


def add_namespace(instance: Instance, container: Container) -> None:
    """Create a network namespace with loopback up, pinned under the container's name."""
    settings = _SYSCTLS
    if container.ids:
        _add_owned(instance, container)
        first, count = container.ids
        # The kernel maps these into the container's user namespace, where they are 0 to count - 1.
        settings = {**_SYSCTLS, _PING: f"{first} {first + count - 1}"}
    else:
        netns_add(container.name)
    with entered(container.name):
        for key, value in settings.items():
            sysctl_ensure(key, value)
        loopback_up()


def note_namespace(place: StateRoot, container: Container) -> None:
    """Write the inode of the container's namespace beside its files: a reset finds the pin without the records."""
    (place.container_dir(container.id) / _NETNS_FILE).write_text(str(netns_inode(container.name)))


def noted_namespace(place: StateRoot, container_id: str) -> int:
    """Return the inode of the namespace that a container has, or had when its processes were killed; 0 for none."""
    try:
        return int((place.container_dir(container_id) / _NETNS_FILE).read_text())
    except (OSError, ValueError):
        return 0


def teardown(instance: Instance, container: Container) -> None:
    """Remove the container from its sandbox: release its ports; with the last member, release addresses, too.

    Called after the container's status has left starting/running. Idempotent. The veths need no call: they are
    destroyed with the namespace, which goes with its last pin and process.
    """
    if not container.sandbox:
        return
    store = instance.store
    _detach_from_drivers(instance, container)
    netns_del(container.name)
    (instance.container_dir(container.id) / _NETNS_FILE).unlink(missing_ok=True)
    # A rename that was killed may have left a second pin, whose name may by now be another container's.
    if container.second_pin and not any(other.name == container.second_pin for other in store.containers()):
        netns_del(container.second_pin)
    with store.write():
        publications = store.ports(container=container.id)
        store.delete_ports(container.id)
        endpoints = [] if store.members(container.sandbox) else store.endpoints(sandbox=container.sandbox)
        if endpoints:
            networks = store.networks_of(container.sandbox)
            store.delete_endpoints(container.sandbox)
            for network in networks:
                add_event(store, "disconnect", network, container)
            foreign.withdraw(instance)
        reservations.withdraw(instance, publications, endpoints)


def _detach_from_drivers(instance: Instance, container: Container) -> None:
    """Let drivers release what does not go with the namespace, when its last member ends.

    A failure is printed and stops nothing: the container has ended.
    """
    if instance.store.members(container.sandbox):
        return
    for endpoint, network in endpoints_with_networks(instance, container.sandbox):
        try:
            driver = driver_named(network.driver)
            if driver.detaches_on_teardown:
                driver.detach(instance, network, endpoint, container)
        except (MinirunError, OSError) as error:
            print(f"minirun: network {network.name}: {describe(error)}", file=sys.stderr)


def _add_owned(instance: Instance, container: Container) -> None:
    """Create a namespace that belongs to the container's user namespace, which is new or another container's."""
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
