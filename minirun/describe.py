"""inspect: the records, in Docker's shape and field names."""

import json
from collections.abc import Iterable
from typing import Any

from minirun.instance import Instance
from minirun.kernel.netns import pin_path
from minirun.log import timestamp
from minirun.model import ACTIVE, Container, Endpoint, Network, PortMapping, Status

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
        "Image": spec.image,
        "ResolvConfPath": str(directory / "resolv.conf"),
        "HostnamePath": str(directory / "hostname"),
        "HostsPath": str(directory / "hosts"),
        "LogPath": str(directory / "log"),
        "Name": f"/{container.name}",
        "RestartCount": container.restarts,
        "HostConfig": {
            "Binds": [
                f"{volume.source}:{volume.target}" + (":ro" if volume.read_only else "")
                for volume in spec.mounts
                if volume.kind == "bind"
            ],
            "NetworkMode": str(spec.network),
            "PortBindings": _bindings(spec.ports),
            "RestartPolicy": {"Name": spec.restart.name, "MaximumRetryCount": spec.restart.most},
            "AutoRemove": spec.auto_remove,
            "Init": spec.init,
        },
        "Mounts": [
            {
                "Type": volume.kind,
                "Source": volume.source,
                "Destination": volume.target,
                "Mode": "ro" if volume.read_only else "",
                "RW": not volume.read_only,
                "Propagation": "rprivate",
            }
            for volume in spec.mounts
        ],
        "Config": {
            "Hostname": spec.hostname or container.short_id,
            "User": spec.user,
            "Tty": spec.tty,
            "OpenStdin": spec.interactive,
            "Env": [f"{key}={value}" for key, value in spec.env],
            "Cmd": list(spec.argv),
            "Image": spec.image,
            "WorkingDir": spec.workdir,
            "Labels": dict(spec.labels),
        },
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
        "IPAM": {
            "Driver": "default",
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
    by_id = {network.id: network for network in store.networks()}
    endpoints = store.endpoints(sandbox=container.id)
    ports = [publication.mapping for publication in store.ports(container=container.id)]
    first = endpoints[0] if endpoints else None
    network = by_id[first.network] if first else None
    return {
        "SandboxID": container.sandbox,
        "SandboxKey": str(pin_path(container.name)) if container.sandbox else "",
        "Ports": _bindings(ports),
        "Gateway": str(network.gateway) if network else "",
        "IPAddress": str(first.address) if first else "",
        "IPPrefixLen": network.subnet.prefixlen if network else 0,
        "MacAddress": first.mac if first else "",
        "Networks": {by_id[end.network].name: _endpoint(end, by_id[end.network]) for end in endpoints},
    }


def _endpoint(endpoint: Endpoint, network: Network) -> dict[str, Any]:
    return {
        "NetworkID": network.id,
        "Gateway": str(network.gateway),
        "IPAddress": str(endpoint.address),
        "IPPrefixLen": network.subnet.prefixlen,
        "MacAddress": endpoint.mac,
        "Interface": endpoint.interface,
        "HostInterface": endpoint.veth,
        "Bridge": network.bridge,
    }


def _bindings(ports: Iterable[PortMapping]) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for mapping in ports:
        key = f"{mapping.container_port}/{mapping.protocol}"
        binding = {"HostIp": str(mapping.host_address), "HostPort": str(mapping.host_port)}
        found.setdefault(key, []).append(binding)
    return found


def _time(seconds: float) -> str:
    return timestamp(int(seconds * 1e9)) if seconds else _NEVER
