"""A container's environment variables: its image's, its networks', those of --link, and its own (-e)."""

from collections.abc import Collection
from dataclasses import replace

from minirun.instance import Instance
from minirun.model import DEFAULT_NETWORK, Container, Mode

_NOT_LINKED = ("HOME", "PATH")  # every image has these


def environment(instance: Instance, container: Container) -> tuple[tuple[str, str], ...]:
    """The container's variables: the image's, its networks' in the order of attachment, the links', then -e.

    Each overrides those before it.
    """
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


def with_environment(instance: Instance, container: Container, unset: Collection[str] = ()) -> Container:
    """The container with all these variables in its spec but those in `unset`, for exec and health checks."""
    env = tuple(one for one in environment(instance, container) if one[0] not in unset)
    return replace(container, spec=replace(container.spec, env=env))


def _of_networks(instance: Instance, container: Container) -> dict[str, str]:
    variables: dict[str, str] = {}
    for name in container.spec.network.names:
        network = instance.store.find_network(name)
        variables |= dict(network.env) if network else {}
    return variables


def _of_links(instance: Instance, container: Container) -> dict[str, str]:
    """Docker's variables of a link on the default network: https://docs.docker.com/engine/network/links/"""
    variables: dict[str, str] = {}
    for attachment in container.spec.network.attachments:
        for linked, alias in attachment.links if attachment.network == DEFAULT_NETWORK else ():
            other = instance.store.container(linked)
            endpoints = instance.store.endpoints(sandbox=linked)
            if other is not None and endpoints:
                variables |= _of_link(container.name, alias, other, str(endpoints[0].address))
    return variables


def _of_link(name: str, alias: str, other: Container, address: str) -> dict[str, str]:
    prefix = alias.upper().replace("-", "_").replace(".", "_")
    variables = {f"{prefix}_NAME": f"/{name}/{alias}"}
    own = (f"{mapping.container_port}/{mapping.protocol}" for mapping in other.spec.ports)
    ports = sorted({*other.spec.expose, *own}, key=lambda text: (int(text.partition("/")[0]), text))
    for text in ports:
        port, _, protocol = text.partition("/")
        key, url = f"{prefix}_PORT_{port}_{protocol.upper()}", f"{protocol}://{address}:{port}"
        variables.setdefault(f"{prefix}_PORT", url)
        variables |= {key: url, f"{key}_ADDR": address, f"{key}_PORT": port, f"{key}_PROTO": protocol}
    linked = ((key, value) for key, value in other.spec.env if key not in _NOT_LINKED)
    return variables | {f"{prefix}_ENV_{key}": value for key, value in linked}
