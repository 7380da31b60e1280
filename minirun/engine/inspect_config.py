"""inspect: what was asked for at create, as Docker's Config (of the container) and HostConfig (of its place here).

https://docs.docker.com/reference/api/engine/ (ContainerInspect)
"""

from collections.abc import Iterable
from typing import Any

from minirun.model import Container, Health, PortMapping, Spec
from minirun.volume import inspect

_SHM_SIZE = 64 << 20
_NANOSECONDS = 1_000_000_000
# Fields of kernel.limits.Limits, as Docker calls them.
_LIMITS = {
    "memory": "Memory",
    "memory_swap": "MemorySwap",
    "memory_reservation": "MemoryReservation",
    "nano_cpus": "NanoCpus",
    "cpu_shares": "CpuShares",
    "cpuset_cpus": "CpusetCpus",
    "pids": "PidsLimit",
    "blkio_weight": "BlkioWeight",
}


def config(container: Container) -> dict[str, Any]:
    spec = container.spec
    exposed = dict.fromkeys([*spec.expose, *(port for mapping in spec.ports for port in mapping.private_ports)])
    attached = not spec.detach
    return {
        "Hostname": spec.hostname or container.short_id,
        "Domainname": spec.domainname,
        "User": spec.user,
        "AttachStdin": attached and spec.interactive,
        "AttachStdout": attached,
        "AttachStderr": attached,
        **({"ExposedPorts": {port: {} for port in exposed}} if exposed else {}),
        "Tty": spec.tty,
        "OpenStdin": spec.interactive,
        "StdinOnce": attached and spec.interactive,
        "Env": [f"{key}={value}" for key, value in spec.env],
        "Cmd": list(spec.argv[len(spec.entrypoint) :]) or None,
        **({"Healthcheck": health(spec.health)} if spec.health else {}),
        "Image": spec.image,
        "Volumes": {one.target: {} for one in spec.mounts if one.anonymous} or None,
        "WorkingDir": spec.workdir,
        "Entrypoint": list(spec.entrypoint) or None,
        "Labels": dict(spec.labels),
        **({"StopSignal": spec.stop_signal} if spec.stop_signal else {}),
        **({"StopTimeout": spec.stop_timeout} if spec.stop_timeout is not None else {}),
    }


def host_config(spec: Spec) -> dict[str, Any]:
    return {
        **inspect.host_config(spec),
        "LogConfig": {"Type": spec.logging.driver, "Config": _log_options(spec)},
        "NetworkMode": str(spec.network),
        "PortBindings": bindings(spec.ports),
        "RestartPolicy": {"Name": spec.restart.name, "MaximumRetryCount": spec.restart.most},
        "AutoRemove": spec.auto_remove,
        "Init": spec.init,
        **_rights(spec),
        **_namespaces(spec),
        **_names(spec),
        **_bounds(spec),
    }


def _rights(spec: Spec) -> dict[str, Any]:
    security = spec.security
    options = ["no-new-privileges"] if security.no_new_privileges else []
    options += [f"apparmor={security.apparmor}"] if security.apparmor else []
    options += [f"seccomp={security.seccomp}"] if security.seccomp else []
    return {
        "CapAdd": _capabilities(security.cap_add),
        "CapDrop": _capabilities(security.cap_drop),
        "Privileged": security.privileged,
        "SecurityOpt": options or None,
        "ReadonlyRootfs": spec.read_only,
        "GroupAdd": list(spec.groups) or None,
        "Devices": [
            {"PathOnHost": one.source, "PathInContainer": one.target, "CgroupPermissions": one.access}
            for one in spec.devices
        ],
        "DeviceCgroupRules": list(spec.device_rules) or None,
    }


def _namespaces(spec: Spec) -> dict[str, str]:
    return {
        "PidMode": spec.pid_mode,
        "IpcMode": spec.ipc_mode or "private",
        "UTSMode": spec.uts_mode,
        "CgroupnsMode": spec.cgroupns or "private",
        "UsernsMode": spec.userns,
    }


def _names(spec: Spec) -> dict[str, Any]:
    return {
        "Dns": list(spec.dns),
        "DnsOptions": list(spec.dns_options),
        "DnsSearch": list(spec.dns_search),
        "ExtraHosts": [f"{name}:{address}" for name, address in spec.extra_hosts] or None,
        "Links": [f"{container}:{alias}" for one in spec.network.attachments for container, alias in one.links] or None,
        "PublishAllPorts": spec.publish_all,
    }


def _bounds(spec: Spec) -> dict[str, Any]:
    given = dict(spec.limits)
    return {
        "ShmSize": spec.shm_size or _SHM_SIZE,
        "OomScoreAdj": spec.oom_score_adj,
        "Ulimits": [{"Name": name, "Hard": hard, "Soft": soft} for name, soft, hard in spec.ulimits],
        "Sysctls": dict(spec.sysctls),
        **{theirs: given.get(ours, "" if ours == "cpuset_cpus" else 0) for ours, theirs in _LIMITS.items()},
    }


def _log_options(spec: Spec) -> dict[str, str]:
    size = {"max-size": str(spec.logging.size)} if spec.logging.size else {}
    return size | ({"max-file": str(spec.logging.files)} if spec.logging.files > 1 else {})


def health(said: Health) -> dict[str, Any]:
    """Times are nanoseconds."""
    return {
        "Test": ["CMD", *said.test],
        "Interval": int(said.interval * _NANOSECONDS),
        "Timeout": int(said.timeout * _NANOSECONDS),
        "StartPeriod": int(said.start_period * _NANOSECONDS),
        "StartInterval": int(said.start_interval * _NANOSECONDS),
        "Retries": said.retries,
    }


def _capabilities(names: Iterable[str]) -> list[str] | None:
    return ["ALL" if name == "all" else f"CAP_{name.upper()}" for name in names] or None


def bindings(ports: Iterable[PortMapping]) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for mapping in ports:
        address = str(mapping.host_address or "")
        for step, key in enumerate(mapping.private_ports):
            binding = {"HostIp": address, "HostPort": _host_port(mapping, step)}
            found.setdefault(key, []).append(binding)
    return found


def _host_port(mapping: PortMapping, step: int) -> str:
    """As it was asked for: "" for a random one, a range for one of it."""
    if mapping.host_last:
        return f"{mapping.host_port}-{mapping.host_last}"
    return str(mapping.host_port + step) if mapping.host_port else ""
