"""inspect: the options of `create`, as Docker's Config (portable) and HostConfig (of this host).

https://docs.docker.com/reference/api/engine/ (ContainerInspect)
"""

from collections.abc import Iterable
from typing import Any

from minirun.init.rootfs import MASKED, READ_ONLY
from minirun.kernel import limits
from minirun.model import Container, Health, PortMapping, Security, Spec
from minirun.volume import inspect

RUNTIME = "minirun"
_SHM_SIZE = 64 << 20
_SHELL = ("/bin/sh", "-c")  # what --health-cmd is run by
_NANOSECONDS = 1_000_000_000
# Fields of kernel.limits.Limits -> Docker's.
_LIMITS = {
    "memory": "Memory",
    "memory_reservation": "MemoryReservation",
    "nano_cpus": "NanoCpus",
    "cpu_shares": "CpuShares",
    "cpu_period": "CpuPeriod",
    "cpu_quota": "CpuQuota",
    "cpuset_cpus": "CpusetCpus",
    "cpuset_mems": "CpusetMems",
    "blkio_weight": "BlkioWeight",
}


def config(container: Container) -> dict[str, Any]:
    """The field Config."""
    spec = container.spec
    exposed = dict.fromkeys([*spec.expose, *(port for mapping in spec.ports for port in mapping.private_ports)])
    default = () if spec.detach else (*(("stdin",) if spec.interactive else ()), "stdout", "stderr")
    attached = spec.attach or default
    return {
        "Hostname": spec.hostname or container.short_id,
        "Domainname": spec.domainname,
        "User": spec.user,
        "AttachStdin": "stdin" in attached,
        "AttachStdout": "stdout" in attached,
        "AttachStderr": "stderr" in attached,
        **({"ExposedPorts": {port: {} for port in exposed}} if exposed else {}),
        "Tty": spec.tty,
        "OpenStdin": spec.interactive,
        "StdinOnce": bool(attached) and spec.interactive and not spec.detach,
        "Env": [*(f"{key}={value}" for key, value in spec.env), *spec.unset_env],
        "Cmd": list(spec.argv[len(spec.entrypoint) :]) or None,
        **({"Healthcheck": health(spec.health)} if spec.health else {}),
        "Image": spec.image,
        "Volumes": {mount.target: {} for mount in spec.mounts if mount.anonymous} or None,
        "WorkingDir": spec.workdir,
        "Entrypoint": list(spec.entrypoint) or None,
        "OnBuild": None,
        "Labels": dict(spec.labels),
        **({"StopSignal": spec.stop_signal} if spec.stop_signal else {}),
        **({"StopTimeout": spec.stop_timeout} if spec.stop_timeout is not None else {}),
    }


# Settings that minirun refuses, with the values that they have in Docker when nobody has asked for them.
_UNUSED: dict[str, Any] = {
    **dict.fromkeys(("BlkioDeviceReadBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteBps", "BlkioDeviceWriteIOps")),
    **dict.fromkeys(("BlkioWeightDevice", "DeviceRequests", "MemorySwappiness")),
    "OomKillDisable": False,
    **dict.fromkeys(("CpuCount", "CpuPercent", "CpuRealtimePeriod", "CpuRealtimeRuntime"), 0),
    **dict.fromkeys(("IOMaximumBandwidth", "IOMaximumIOps"), 0),
    **dict.fromkeys(("Cgroup", "CgroupParent", "ContainerIDFile", "Isolation", "VolumeDriver"), ""),
    "Runtime": RUNTIME,
    "ConsoleSize": [0, 0],
}


def host_config(spec: Spec) -> dict[str, Any]:
    """The field HostConfig."""
    return {
        **_UNUSED,
        **dict(spec.unused),
        **inspect.host_config(spec),
        "LogConfig": {"Type": spec.logging.driver, "Config": dict(spec.logging.options)},
        # The first one's name, as in Docker: NetworkSettings.Networks has all of them.
        "NetworkMode": str(spec.network).partition(",")[0],
        "PortBindings": bindings(spec.ports),
        "RestartPolicy": {"Name": spec.restart.name, "MaximumRetryCount": spec.restart.most},
        "AutoRemove": spec.auto_remove,
        **({"Init": True} if spec.init else {}),
        **_rights(spec),
        **_namespaces(spec),
        **_names(spec),
        **_bounds(spec),
    }


def _rights(spec: Spec) -> dict[str, Any]:
    security = spec.security
    return {
        "CapAdd": _capabilities(security.cap_add),
        "CapDrop": _capabilities(security.cap_drop),
        "Privileged": security.privileged,
        "SecurityOpt": _security_options(spec) or None,
        "MaskedPaths": _covered(security, MASKED),
        "ReadonlyPaths": _covered(security, READ_ONLY),
        "ReadonlyRootfs": spec.read_only,
        "GroupAdd": list(spec.groups) or None,
        "Devices": [
            {"PathOnHost": device.source, "PathInContainer": device.target, "CgroupPermissions": device.access}
            for device in spec.devices
        ],
        "DeviceCgroupRules": list(spec.device_rules) or None,
    }


def _security_options(spec: Spec) -> list[str]:
    """As given. Docker adds that labels are off, unless they were asked for (generateSecurityOpt)."""
    security = spec.security
    options = [f"seccomp={security.seccomp}" if text == "seccomp" else text for text in security.given]
    sees_the_host = security.privileged or "host" in (spec.ipc_mode, spec.pid_mode)
    has_labels = any(text.partition("=")[0] == "label" for text in options)
    return [*options, "label=disable"] if sees_the_host and not has_labels else options


def _covered(security: Security, paths: tuple[str, ...]) -> list[str] | None:
    if security.privileged:
        return None
    return [] if security.unmasked else list(paths)


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
        "Links": [
            f"{container}:{alias}" for attachment in spec.network.attachments for container, alias in attachment.links
        ]
        or None,
        "PublishAllPorts": spec.publish_all,
    }


def _bounds(spec: Spec) -> dict[str, Any]:
    values = dict(spec.limits)
    return {
        "ShmSize": spec.shm_size or _SHM_SIZE,
        "OomScoreAdj": spec.oom_score_adj,
        "Ulimits": [{"Name": name, "Hard": hard, "Soft": soft} for name, soft, hard in spec.ulimits],
        "Sysctls": dict(spec.sysctls),
        **{key: values.get(name, "" if name.startswith("cpuset") else 0) for name, key in _LIMITS.items()},
        "MemorySwap": _memory_swap(limits.of(spec.limits)),
        "PidsLimit": values.get("pids"),
    }


def _memory_swap(bounds: limits.Limits) -> int:
    """What the cgroup has: twice the memory where only that is limited, or no limit where the host counts no swap."""
    if not bounds.memory:
        return bounds.memory_swap
    return limits.swap_total(bounds) if limits.counts_swap() else -1


def health(check: Health) -> dict[str, Any]:
    """The field Healthcheck; times are in nanoseconds."""
    test = ["CMD-SHELL", check.test[2]] if check.test[:2] == _SHELL else ["CMD", *check.test]
    return {
        "Test": ["LISTENING", *(f"{port}/{kind}" for port, kind in check.listening)] if check.listening else test,
        "Interval": int(check.interval * _NANOSECONDS),
        "Timeout": int(check.timeout * _NANOSECONDS),
        "StartPeriod": int(check.start_period * _NANOSECONDS),
        "StartInterval": int(check.start_interval * _NANOSECONDS),
        "Retries": check.retries,
    }


def _capabilities(names: Iterable[str]) -> list[str] | None:
    return ["ALL" if name == "all" else f"CAP_{name.upper()}" for name in names] or None


def bindings(ports: Iterable[PortMapping]) -> dict[str, list[dict[str, str]]]:
    """Docker's map from a container port ("80/tcp") to the host addresses and ports that it is published on."""
    published: dict[str, list[dict[str, str]]] = {}
    for mapping in ports:
        address = str(mapping.host_address or "")
        for step, key in enumerate(mapping.private_ports):
            binding = {"HostIp": address, "HostPort": _host_port(mapping, step)}
            published.setdefault(key, []).append(binding)
    return published


def _host_port(mapping: PortMapping, step: int) -> str:
    """As requested: "" for a random port, a range for one port of a range."""
    if mapping.host_last:
        return f"{mapping.host_port}-{mapping.host_last}"
    return str(mapping.host_port + step) if mapping.host_port else ""
