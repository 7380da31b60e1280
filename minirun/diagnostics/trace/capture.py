"""Where `capture` listens: a container's interfaces, a network's bridge, or those of the container behind a port."""

from dataclasses import dataclass

from minirun.diagnostics.trace.endpoints import in_netns_of, port_of_host, running_container
from minirun.errors import FAILED, MinirunError, NotFoundError, printable
from minirun.instance import Instance
from minirun.kernel.link_queries import Interface, interfaces
from minirun.kernel.taps import Tap
from minirun.model import Container, Network


@dataclass(frozen=True)
class Place:
    """An opened tap. The caller closes it.

    port: the container's port, if the place was named by a published port; else 0
    text: the interfaces and whose they are, for people
    """

    tap: Tap
    port: int
    text: str


def open_place(instance: Instance, word: str) -> Place:
    """Open a tap where `word` says: a container, a network, or a published port (8080, 8080/udp, ADDRESS:8080).

    NotFoundError when it is none of these; MinirunError when there is nothing to listen to.
    """
    store = instance.store
    is_container = bool(store.find_containers(word))
    if word.partition("/")[0].rpartition(":")[2].isdecimal() and not is_container:
        target = port_of_host(instance, word)
        if target.container is None:
            raise NotFoundError(f"no container publishes port {word}", "minirun ps shows what is published", FAILED)
        return _of_container(target.container, target.container_port)
    if is_container:
        return _of_container(running_container(instance, word), 0)
    networks = store.find_networks(word)
    if len(networks) != 1:
        problem = f"{word} means several networks" if networks else f"there is no container or network {word}"
        raise NotFoundError(problem, "`minirun ps` and `minirun network ls` list them; a port is a number", FAILED)
    return _of_network(networks[0])


def _of_container(container: Container, port: int) -> Place:
    with in_netns_of(container):
        tap, links = Tap(), interfaces()
    if not container.sandbox:
        return Place(tap, port, f"all interfaces of the host, whose network {container.name} has")
    links = [link for link in links if link.name != "lo"] or links
    return Place(tap, port, f"{' and '.join(map(_described, links))} of {container.name}")


def _of_network(network: Network) -> Place:
    if not network.bridge:
        raise MinirunError(f"network {network.name} has no bridge to listen on", "capture a container of it", FAILED)
    link = next((link for link in interfaces() if link.name == network.bridge), None)
    if link is None:
        raise MinirunError(
            f"network {network.name} has no bridge yet: no container has been in it since the last boot",
            f"minirun run --network {network.name} ...",
            FAILED,
        )
    return Place(Tap(network.bridge), 0, f"bridge {_described(link)} of network {network.name}")


def _described(link: Interface) -> str:
    addresses = ", ".join(str(address.address) for address in link.addresses)
    return printable(link.name) + (f" ({addresses})" if addresses else "")
