"""inspect: containers and networks in Docker's structure and field names.

https://docs.docker.com/reference/api/engine/ (ContainerInspect, NetworkInspect)
"""

import json
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from minirun.engine.builtin_networks import NEVER, describe_builtin, find_builtin
from minirun.engine.exec_records import running_execs
from minirun.engine.inspect_config import bindings, config, host_config
from minirun.instance import Instance
from minirun.kernel.netns import pin_path
from minirun.model import (
    ACTIVE,
    Attachment,
    Container,
    Endpoint,
    Mode,
    Network,
    Pool4,
    Pool6,
    PoolRequest4,
    PoolRequest6,
    Spec,
    Status,
)
from minirun.network import operations
from minirun.options.values import timestamp
from minirun.store import Store
from minirun.store.lookup import find_network
from minirun.volume import inspect

AnyPool = Pool4 | Pool6 | PoolRequest4 | PoolRequest6


def describe_container(instance: Instance, container: Container) -> dict[str, Any]:
    """What `minirun inspect CONTAINER` prints."""
    spec = container.spec
    directory = instance.container_dir(container.id)
    return {
        "Id": container.id,
        "Created": _time(container.created),
        "Path": spec.argv[0],
        "Args": list(spec.argv[1:]),
        "State": _state(container),
        "Image": image_of(spec),
        "ResolvConfPath": str(directory / "resolv.conf"),
        "HostnamePath": str(directory / "hostname"),
        "HostsPath": str(directory / "hosts"),
        "LogPath": "" if spec.logging.driver == "none" else str(directory / "log"),
        "Name": f"/{container.name}",
        "RestartCount": container.restarts,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": running_execs(instance, container.id) or None,
        "HostConfig": host_config(spec) | {"IDMappings": _id_mappings(container)},
        "GraphDriver": {"Name": "overlay2", "Data": _overlay(directory)},
        "Mounts": inspect.mounts(instance, spec),
        "Config": config(container),
        "NetworkSettings": network_settings(instance, container),
    }


def image_of(spec: Spec) -> str:
    """The id of a container's image."""
    return f"sha256:{spec.image_id}" if spec.image_id else spec.image


def network_named(instance: Instance, reference: str) -> dict[str, Any] | None:
    """What `minirun network inspect` prints of the network that an id, a name or the start of an id means.

    None when there is none. MinirunError when there are several.
    """
    if not instance.store.find_networks(reference):
        builtin = find_builtin(reference)
        return describe_builtin(instance, builtin) if builtin else None
    return _describe_network(instance, find_network(instance.store, reference))


def _describe_network(instance: Instance, network: Network) -> dict[str, Any]:
    endpoints = instance.store.endpoints(network=network.id)
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": _time(network.created),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": True,
        "EnableIPv6": bool(network.template.ipv6 if network.template else network.pool6),
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": network.config_from},
        "ConfigOnly": network.template is not None,
        "IPAM": {
            "Driver": "default",
            "Options": {},
            "Config": [_pool(pool) for pool in _pools(network)],
        },
        "Containers": {
            endpoint.sandbox: {
                "Name": (owner := instance.store.container(endpoint.sandbox)) and owner.name,
                "EndpointID": endpoint.id,
                "MacAddress": endpoint.mac,
                "IPv4Address": _with_length(endpoint.address, network.pool),
                "IPv6Address": _with_length(endpoint.address6, network.pool6),
                "Interface": endpoint.interface,
                "HostInterface": endpoint.veth,
            }
            for endpoint in endpoints
        },
        "Options": operations.options_of(network),
        "Labels": dict(network.labels),
        "Env": [f"{key}={text}" for key, text in network.env],
    }


def _id_mappings(container: Container) -> dict[str, list[str]] | None:
    """inside:outside:count, as podman has it; Docker has no such field."""
    if not container.ids:
        return None
    first, count = container.ids
    return {key: [f"0:{first}:{count}"] for key in ("UidMap", "GidMap")}


def _state(container: Container) -> dict[str, Any]:
    running = container.status is Status.RUNNING
    return {
        "Status": "paused" if container.paused else container.status,
        "Running": running,
        "Paused": container.paused,
        "Restarting": container.status is Status.RESTARTING,
        "OOMKilled": container.oom_killed,
        **({"Health": json.loads(container.health)} if container.health else {}),
        "Dead": False,
        "Pid": container.init.pid if running and container.init else 0,
        "MonitorPid": container.shim.pid if container.status in ACTIVE and container.shim else 0,
        "ExitCode": container.exit_code,
        "Error": container.error,
        "StartedAt": _time(container.started_at),
        "FinishedAt": _time(container.finished_at),
    }


def network_settings(instance: Instance, container: Container) -> dict[str, Any]:
    """The field NetworkSettings."""
    store = instance.store
    networks = _networks(instance, container)
    first = networks[next(iter(networks))] if networks else _endpoint(None, None)
    mappings = [publication.mapping for publication in store.ports(container=container.id)]
    exposed = dict.fromkeys(container.spec.expose) if container.status in ACTIVE else {}
    return {
        "Bridge": "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "SandboxID": container.sandbox,
        "SandboxKey": str(pin_path(container.name)) if container.sandbox else "",
        "Ports": {**exposed, **bindings(mappings)},
        **{name: first[name] for name in _OF_FIRST_NETWORK},
        "Networks": networks,
    }


_OF_FIRST_NETWORK = (
    *("EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen"),
    *("IPv6Gateway", "MacAddress"),
)


def _networks(instance: Instance, container: Container) -> dict[str, dict[str, Any]]:
    """The container's networks by name; for a stopped one those of its next start, without addresses."""
    store, request = instance.store, container.spec.network
    attachments = {attachment.network: attachment for attachment in request.attachments}
    described = {}
    for endpoint in store.endpoints(sandbox=container.id):
        if network := store.network(endpoint.network):
            attachment = attachments.get(network.name) or attachments.get(network.id)
            described[network.name] = _endpoint(endpoint, network, attachment, container, _links(store, attachment))
    if described or request.mode is Mode.CONTAINER:
        return described
    if request.mode is not Mode.BRIDGE:
        return {str(request.mode): _endpoint(None, None)}
    return {
        name: _endpoint(None, store.find_network(name), attachment, container, _links(store, attachment))
        for name, attachment in attachments.items()
    }


def _links(store: Store, attachment: Attachment | None) -> list[str]:
    """By the names that the linked containers have now."""
    pairs = attachment.links if attachment else ()
    found = ((store.container(linked), linked, alias) for linked, alias in pairs)
    return [f"{container.name if container else linked}:{alias}" for container, linked, alias in found]


def _endpoint(
    endpoint: Endpoint | None,
    network: Network | None,
    attachment: Attachment | None = None,
    container: Container | None = None,
    links: list[str] | None = None,
) -> dict[str, Any]:
    pool, pool6 = (network.pool, network.pool6) if network and endpoint else (None, None)
    address6 = endpoint.address6 if endpoint else None
    addresses = {
        "EndpointID": endpoint.id if endpoint else "",
        "Gateway": str(pool.gateway) if pool else "",
        "IPAddress": str(endpoint.address or "") if endpoint else "",
        "IPPrefixLen": pool.subnet.prefixlen if pool else 0,
        "MacAddress": endpoint.mac if endpoint else attachment.mac if attachment else "",
        "Interface": endpoint.interface if endpoint else "",
        "HostInterface": endpoint.veth if endpoint and network and network.bridge else "",
        "IPv6Gateway": str(pool6.gateway) if pool6 else "",
        "GlobalIPv6Address": str(address6 or ""),
        "GlobalIPv6PrefixLen": pool6.subnet.prefixlen if pool6 and address6 else 0,
    }
    return {
        "IPAMConfig": _wanted_addresses(attachment) if attachment else None,
        "Links": links or None,
        "Aliases": list(attachment.aliases) or None if attachment else None,
        "DriverOpts": dict(attachment.driver_options) or None if attachment else None,
        "GwPriority": attachment.priority if attachment else 0,
        "NetworkID": network.id if network else "",
        **addresses,
        "DNSNames": _dns_names(container, attachment) if container and network and not network.is_default else None,
        "Bridge": network.bridge if network else "",
    }


def _dns_names(container: Container, attachment: Attachment | None) -> list[str]:
    """What the DNS server answers to in this network."""
    aliases = attachment.aliases if attachment else ()
    return list(
        dict.fromkeys([container.name, *aliases, container.short_id, container.spec.hostname or container.short_id])
    )


def _wanted_addresses(attachment: Attachment) -> dict[str, str] | None:
    wanted = (("IPv4Address", attachment.address), ("IPv6Address", attachment.address6))
    return {key: str(address) for key, address in wanted if address} or None


def _pools(network: Network) -> list[AnyPool]:
    """The address pools; of a configuration-only network, those that were asked for."""
    template = network.template
    pools = (template.ipv4, template.ipv6) if template else (network.pool, network.pool6)
    return [pool for pool in pools if pool and pool.subnet]


def _pool(pool: AnyPool) -> dict[str, Any]:
    return {
        "Subnet": str(pool.subnet),
        **({"IPRange": str(pool.ip_range)} if pool.ip_range else {}),
        **({"Gateway": str(pool.gateway)} if pool.gateway else {}),
        **({"AuxiliaryAddresses": {name: str(address) for name, address in pool.aux}} if pool.aux else {}),
    }


def _with_length(address: IPv4Address | IPv6Address | None, pool: Pool4 | Pool6 | None) -> str:
    return f"{address}/{pool.subnet.prefixlen}" if address and pool else str(address or "")


def _overlay(directory: Path) -> dict[str, str]:
    names = {"UpperDir": "upper", "WorkDir": "work", "MergedDir": "rootfs"}
    return {key: str(directory / name) for key, name in names.items()}


def _time(seconds: float) -> str:
    return timestamp(int(seconds * 1e9)) if seconds else NEVER
