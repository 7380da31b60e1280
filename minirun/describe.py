"""inspect: the records, in Docker's shape and field names."""

import json
from pathlib import Path
from typing import Any

from minirun.describe_config import bindings, config, host_config
from minirun.instance import Instance
from minirun.kernel.netns import pin_path
from minirun.log import timestamp
from minirun.model import ACTIVE, Container, Endpoint, Mode, Network, Status
from minirun.volumes import describing

_NEVER = "0001-01-01T00:00:00Z"


def describe_container(instance: Instance, container: Container) -> dict[str, Any]:
    spec = container.spec
    directory = instance.container_dir(container.id)
    return {
        "Id": container.id,
        "Created": _time(container.created),
        "Path": spec.argv[0],
        "Args": list(spec.argv[1:]),
        "State": _state(container),
        "Image": f"sha256:{spec.image_id}" if spec.image_id else spec.image,
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
        "ExecIDs": None,
        "HostConfig": host_config(spec),
        "GraphDriver": {"Name": "overlay2", "Data": _overlay(directory)},
        "Mounts": describing.mounts(instance, spec),
        "Config": config(container),
        "NetworkSettings": _network_settings(instance, container),
    }


def describe_network(instance: Instance, network: Network) -> dict[str, Any]:
    endpoints = instance.store.endpoints(network=network.id)
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": _time(network.created),
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": True,
        "EnableIPv6": False,
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "IPAM": {
            "Driver": "default",
            "Options": {},
            "Config": [{"Subnet": str(network.subnet), "Gateway": str(network.gateway)}],
        },
        "Containers": {
            endpoint.sandbox: {
                "Name": (owner := instance.store.container(endpoint.sandbox)) and owner.name,
                "MacAddress": endpoint.mac,
                "IPv4Address": f"{endpoint.address}/{network.subnet.prefixlen}",
                "IPv6Address": "",
                "Interface": endpoint.interface,
                "HostInterface": endpoint.veth,
            }
            for endpoint in endpoints
        },
        "Options": {"minirun.bridge.name": network.bridge, "minirun.mtu": str(network.mtu)},
        "Labels": {},
    }


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
        "MonitorPid": container.monitor.pid if container.status in ACTIVE and container.monitor else 0,
        "ExitCode": container.exit_code,
        "Error": container.error,
        "StartedAt": _time(container.started_at),
        "FinishedAt": _time(container.finished_at),
    }


def _network_settings(instance: Instance, container: Container) -> dict[str, Any]:
    store = instance.store
    networks = _networks(instance, container)
    first = networks[next(iter(networks))] if networks else _endpoint(None, None)
    mappings = [publication.mapping for publication in store.ports(container=container.id)]
    exposed = dict.fromkeys(container.spec.expose) if container.status in ACTIVE else {}
    return {
        "Bridge": "",
        "SandboxID": container.sandbox,
        "SandboxKey": str(pin_path(container.name)) if container.sandbox else "",
        "Ports": {**exposed, **bindings(mappings)},
        **{name: first[name] for name in _OF_THE_FIRST},
        "Networks": networks,
    }


_OF_THE_FIRST = (
    *("EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen"),
    *("IPv6Gateway", "MacAddress"),
)


def _networks(instance: Instance, container: Container) -> dict[str, dict[str, Any]]:
    """Those it is in, by name; of one that is stopped, those it will be in, without addresses."""
    by_id = {network.id: network for network in instance.store.networks()}
    endpoints = instance.store.endpoints(sandbox=container.id)
    if endpoints:
        return {by_id[end.network].name: _endpoint(end, by_id[end.network]) for end in endpoints}
    request = container.spec.network
    names = request.names if request.mode is Mode.BRIDGE else (request.mode,)
    if request.mode is Mode.CONTAINER:
        return {}
    return {str(name): _endpoint(None, instance.store.find_network(str(name))) for name in names}


def _endpoint(endpoint: Endpoint | None, network: Network | None) -> dict[str, Any]:
    """`EndpointID` is what follows from sandbox and position: minirun keeps no second name for it."""
    there = {
        "EndpointID": f"{endpoint.sandbox}-{endpoint.position}" if endpoint else "",
        "Gateway": str(network.gateway) if network and endpoint else "",
        "IPAddress": str(endpoint.address) if endpoint else "",
        "IPPrefixLen": network.subnet.prefixlen if network and endpoint else 0,
        "MacAddress": endpoint.mac if endpoint else "",
        "Interface": endpoint.interface if endpoint else "",
        "HostInterface": endpoint.veth if endpoint else "",
    }
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "DriverOpts": None,
        "NetworkID": network.id if network else "",
        **there,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": None,
        "Bridge": network.bridge if network else "",
    }


def _overlay(directory: Path) -> dict[str, str]:
    names = {"UpperDir": "upper", "WorkDir": "work", "MergedDir": "rootfs"}
    return {key: str(directory / name) for key, name in names.items()}


def _time(seconds: float) -> str:
    return timestamp(int(seconds * 1e9)) if seconds else _NEVER
