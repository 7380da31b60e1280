"""Check the exercises of the chapters, by looking at what there is: namespaces, links, containers, images, and
connections that are really made. Each check returns what is missing, as sentences.
"""

import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address

from minirun.image import records
from minirun.instance import Instance
from minirun.kernel.link_queries import interfaces
from minirun.kernel.netns import entered, netns_exists
from minirun.kernel.programs import program_run
from minirun.model import DEFAULT_NETWORK, Container, Mode, Status

_SECONDS = 2.0  # that a connection may take
_HOST = "this host"


class MissingError(Exception):
    """Something that the exercise asks for is not there; the text says what."""


def check(instance: Instance, number: int, program: str) -> list[str]:
    """Return what the exercise of chapter `number` still lacks, [] when it is done. `program` is minirun's path."""
    try:
        return list(_CHECKS[number](instance, program))
    except MissingError as error:
        return [str(error)]


def _check1(instance: Instance, program: str) -> Iterator[str]:
    for name, address in (("east", "10.1.0.1"), ("west", "10.1.0.2")):
        _require_address(name, address)
    yield from _unreachable("east", "10.1.0.2", "both ends of the pair must be up")


def _check2(instance: Instance, program: str) -> Iterator[str]:
    bridge = next((link for link in interfaces() if link.name == "br7"), None)
    if bridge is None or bridge.kind != "bridge":
        raise MissingError("There is no bridge called br7 on this host.")
    if "10.7.0.1" not in {str(each.address) for each in bridge.addresses}:
        yield "br7 does not have the address 10.7.0.1."
    _require_address("lab", "10.7.0.2")
    yield from _unreachable("", "10.7.0.2", "is the other end of its veth pair a port of br7, and is all of it up?")


def _check3(instance: Instance, program: str) -> Iterator[str]:
    plain = _running(instance, "plain")
    address = _address(instance, plain, DEFAULT_NETWORK)
    if plain.spec.ports:
        yield "plain publishes a port; its own address is enough."
    yield from _unserved("", address, 80)


def _check4(instance: Instance, program: str) -> Iterator[str]:
    if _running(instance, "local").spec.network.mode is not Mode.HOST:
        yield "local is not in the host's network: use --net=host."
    yield from _unserved("", "127.0.0.1", 9100)


def _check5(instance: Instance, program: str) -> Iterator[str]:
    cart, stock = _running(instance, "cart"), _running(instance, "stock")
    _address(instance, cart, "shop")
    address = _address(instance, stock, "shop")
    answer = program_run(program, ["--root", str(instance.root), "exec", "cart", "nslookup", "stock"], seconds=10)
    if address not in answer.out:
        yield f"In cart, the name stock does not lead to {address}."
    yield from _unserved("cart", address, 6000)


def _check6(instance: Instance, program: str) -> Iterator[str]:
    main, helper = _running(instance, "main"), _running(instance, "helper")
    if main.sandbox != helper.sandbox or not main.sandbox:
        yield "helper is not in the network of main: use --net=container:main."
    yield from _unserved("helper", "127.0.0.1", 7000)
    for endpoint in instance.store.endpoints(sandbox=main.sandbox):
        if endpoint.address and not list(_unserved("", str(endpoint.address), 7000)):
            yield "The program of main listens on more than 127.0.0.1: the host reaches it, too."


def _check7(instance: Instance, program: str) -> Iterator[str]:
    vault = _running(instance, "vault")
    if not vault.sandbox:
        raise MissingError("vault is in the host's network: all packets of the host reach it.")
    with entered("vault"):
        others = [link.name for link in interfaces() if link.name != "lo"]
    if others:
        yield f"vault has an interface: {', '.join(others)}. Use --net=none."


def _check8(instance: Instance, program: str) -> Iterator[str]:
    shop = _running(instance, "shop")
    ports = [port.mapping for port in instance.store.ports(container=shop.id)]
    mapping = next((each for each in ports if each.host_port <= 9000 < each.host_port + each.count), None)
    if mapping is None:
        published = ", ".join(str(each.host_port) for each in ports) or "none"
        raise MissingError(f"shop does not publish port 9000 of the host; it publishes: {published}.")
    target = mapping.container_port + 9000 - mapping.host_port
    for _ in _unserved("", "127.0.0.1", 9000):
        yield f"Port 9000 leads to port {target} of shop, where nothing answers: does its program listen on 0.0.0.0?"


def _check9(instance: Instance, program: str) -> Iterator[str]:
    farmer, miller = _running(instance, "farmer"), _running(instance, "miller")
    _address(instance, farmer, "north")
    addresses = [_address(instance, miller, "south")]
    addresses += [str(each.address) for each in instance.store.endpoints(sandbox=miller.sandbox) if each.address]
    if all(list(_unserved("farmer", address, 80)) for address in addresses):
        yield (
            f"farmer cannot connect to port 80 of miller ({addresses[0]}): does miller listen there, and do the two"
            " share a network? minirun trace farmer miller:80 shows where a packet ends."
        )


def _check10(instance: Instance, program: str) -> Iterator[str]:
    menu, busybox = (records.tagged(instance.store, f"{name}:latest") for name in ("menu", "busybox"))
    if menu is None or busybox is None:
        raise MissingError("There is no image called menu.")
    below = len(busybox.layers)
    if menu.layers[:below] != busybox.layers:
        yield "menu is not built from busybox: its first layer is another one."
    elif len(menu.layers) != below + 1:
        yield f"menu has {len(menu.layers)} layers, and busybox {below}: it needs one more than busybox."
    answer = program_run(program, ["--root", str(instance.root), "run", "--rm", "--net=none", "menu"], seconds=10)
    if answer.out.strip() != "soup":
        yield "minirun run --rm menu does not print soup: CMD says what a container of the image runs."


_CHECKS: dict[int, Callable[[Instance, str], Iterator[str]]] = {
    1: _check1,
    2: _check2,
    3: _check3,
    4: _check4,
    5: _check5,
    6: _check6,
    7: _check7,
    8: _check8,
    9: _check9,
    10: _check10,
}


def _running(instance: Instance, name: str) -> Container:
    container = next((each for each in instance.store.containers() if each.name == name), None)
    if container is None:
        raise MissingError(f"There is no container called {name}.")
    if container.status is not Status.RUNNING:
        raise MissingError(f"The container {name} does not run; minirun logs {name} may say why.")
    return container


def _address(instance: Instance, container: Container, network_name: str) -> str:
    """Return the container's IPv4 address in a network."""
    network = instance.store.find_network(network_name)
    if network is None:
        raise MissingError(f"There is no network called {network_name}.")
    for endpoint in instance.store.endpoints(sandbox=container.sandbox):
        if endpoint.network == network.id and endpoint.address:
            return str(endpoint.address)
    raise MissingError(f"The container {container.name} is not in the network {network_name}.")


def _require_address(netns: str, address: str) -> None:
    if not netns_exists(netns):
        raise MissingError(f"There is no network namespace called {netns}.")
    with entered(netns):
        addresses = {each.address for link in interfaces() for each in link.addresses}
    if ip_address(address) not in addresses:
        raise MissingError(f"In the namespace {netns}, no interface has the address {address}.")


def _unreachable(netns: str, address: str, hint: str) -> Iterator[str]:
    """Yield a sentence unless a packet from the namespace ("": the host) gets to the address and back. A refused
    connection is an answer, too. Asked twice: the kernel remembers for a moment that a neighbour did not answer."""
    for _ in range(2):
        try:
            _connect(netns, address, 9)
        except ConnectionRefusedError:
            return
        except OSError:
            continue
        return
    yield f"No packet gets from {netns or _HOST} to {address} and back: {hint}"


def _unserved(netns: str, address: str, port: int) -> Iterator[str]:
    """Yield a sentence unless somebody accepts a connection from the namespace ("": the host)."""
    try:
        _connect(netns, address, port)
    except OSError as error:
        reason = error.strerror or error
        yield f"From {netns or _HOST}, nobody accepts a connection to {address} port {port} ({reason})."


def _connect(netns: str, address: str, port: int) -> None:
    if netns:
        with entered(netns):
            return _connect("", address, port)
    socket.create_connection((address, port), timeout=_SECONDS).close()
    return None
