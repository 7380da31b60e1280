"""A container's environment: the image's, what its networks share, what links tell of others, and its own -e."""

from dataclasses import replace

from minirun.instance import Instance
from minirun.model import DEFAULT_NETWORK, Container, Mode

_OF_EVERY_IMAGE = ("HOME", "PATH")  # nothing that is said of the other container


def environment(instance: Instance, container: Container) -> tuple[tuple[str, str], ...]:
    """In this order, each over the one before it: the image's, the networks' in the order of the attachments, the
    links', and what was typed at create."""
    spec = container.spec
    if spec.network.mode is not Mode.BRIDGE:
        return spec.env
    shared = _of_networks(instance, container) | _of_links(instance, container)
    if not shared:
        return spec.env
    from_image = set(spec.image_env)
    image = {key: value for key, value in spec.env if key in from_image}
    own = {key: value for key, value in spec.env if key not in from_image}
    return tuple({**image, **shared, **own}.items())


def with_environment(instance: Instance, container: Container) -> Container:
    """The container with all of it as its own: for what joins it."""
    found = environment(instance, container)
    if found == container.spec.env:
        return container
    return replace(container, spec=replace(container.spec, env=found))


def _of_networks(instance: Instance, container: Container) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in container.spec.network.names:
        network = instance.store.find_network(name)
        found |= dict(network.env) if network else {}
    return found


def _of_links(instance: Instance, container: Container) -> dict[str, str]:
    """Docker's variables of a link on the default network: https://docs.docker.com/engine/network/links/"""
    found: dict[str, str] = {}
    for attachment in container.spec.network.attachments:
        for linked, alias in attachment.links if attachment.network == DEFAULT_NETWORK else ():
            other = instance.store.container(linked)
            ends = instance.store.endpoints(sandbox=linked)
            if other is not None and ends:
                found |= _of_link(container.name, alias, other, str(ends[0].address))
    return found


def _of_link(name: str, alias: str, other: Container, address: str) -> dict[str, str]:
    prefix = alias.upper().replace("-", "_").replace(".", "_")
    found = {f"{prefix}_NAME": f"/{name}/{alias}"}
    own = (f"{mapping.container_port}/{mapping.protocol}" for mapping in other.spec.ports)
    ports = sorted({*other.spec.expose, *own}, key=lambda text: (int(text.partition("/")[0]), text))
    for text in ports:
        port, _, protocol = text.partition("/")
        key, where = f"{prefix}_PORT_{port}_{protocol.upper()}", f"{protocol}://{address}:{port}"
        found.setdefault(f"{prefix}_PORT", where)
        found |= {key: where, f"{key}_ADDR": address, f"{key}_PORT": port, f"{key}_PROTO": protocol}
    said = ((key, value) for key, value in other.spec.env if key not in _OF_EVERY_IMAGE)
    return found | {f"{prefix}_ENV_{key}": value for key, value in said}
