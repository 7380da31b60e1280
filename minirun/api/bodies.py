"""What clients send about containers, as Docker's API describes it (api/swagger.yaml). Unknown fields are ignored.

https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerCreate
"""

from typing import Any

import msgspec

Words = list[str] | str | None


class Body(msgspec.Struct, rename="pascal", frozen=True):
    """An object of the API. Every field may be left out, or null."""


class Healthcheck(Body, frozen=True):
    """Times in nanoseconds; 0: the default."""

    test: list[str] | None = None
    interval: int | None = None
    timeout: int | None = None
    retries: int | None = None
    start_period: int | None = None
    start_interval: int | None = None


class LogConfig(Body, frozen=True):
    """The log driver, and its options."""

    type: str | None = None
    config: dict[str, str] | None = None


class RestartPolicy(Body, frozen=True):
    """What happens when the program ends."""

    name: str | None = None
    maximum_retry_count: int | None = None


class PortBinding(Body, frozen=True):
    """Where a port is published on the host."""

    host_ip: str | None = None
    host_port: str | None = None


class DeviceMapping(Body, frozen=True):
    """A device of the host in the container."""

    path_on_host: str = ""
    path_in_container: str | None = None
    cgroup_permissions: str | None = None


class Ulimit(Body, frozen=True):
    """A resource limit of the processes."""

    name: str = ""
    soft: int = 0
    hard: int = 0


class BindOptions(Body, frozen=True):
    """What a bind mount has besides its paths."""

    propagation: str | None = None
    non_recursive: bool | None = None
    create_mountpoint: bool | None = None
    read_only_non_recursive: bool | None = None
    read_only_force_recursive: bool | None = None


class DriverConfig(Body, frozen=True):
    """The driver of a new volume, and its options."""

    name: str | None = None
    options: dict[str, str] | None = None


class VolumeOptions(Body, frozen=True):
    """What a volume's mount has besides its name."""

    no_copy: bool | None = None
    labels: dict[str, str] | None = None
    driver_config: DriverConfig | None = None
    subpath: str | None = None


class TmpfsOptions(Body, frozen=True):
    """Size in bytes, and mode."""

    size_bytes: int | None = None
    mode: int | None = None


class ImageOptions(Body, frozen=True):
    """What an image's mount has besides its name."""

    subpath: str | None = None


class MountBody(Body, frozen=True):
    """A mount, as --mount has it."""

    type: str = "volume"
    source: str | None = None
    target: str = ""
    read_only: bool | None = None
    consistency: str | None = None
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    tmpfs_options: TmpfsOptions | None = None
    image_options: ImageOptions | None = None


class Resources(Body, frozen=True):
    """The limits, which POST /containers/{name}/update takes, too."""

    cpu_shares: int | None = None
    memory: int | None = None
    nano_cpus: int | None = None
    cgroup_parent: str | None = None
    blkio_weight: int | None = None
    blkio_weight_device: list[Any] | None = None
    blkio_device_read_bps: list[Any] | None = None
    blkio_device_write_bps: list[Any] | None = None
    blkio_device_read_iops: list[Any] | None = msgspec.field(name="BlkioDeviceReadIOps", default=None)
    blkio_device_write_iops: list[Any] | None = msgspec.field(name="BlkioDeviceWriteIOps", default=None)
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpu_realtime_period: int | None = None
    cpu_realtime_runtime: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    devices: list[DeviceMapping] | None = None
    device_cgroup_rules: list[str] | None = None
    device_requests: list[Any] | None = None
    kernel_memory: int | None = None
    memory_reservation: int | None = None
    memory_swap: int | None = None
    memory_swappiness: int | None = None
    oom_kill_disable: bool | None = None
    pids_limit: int | None = None
    ulimits: list[Ulimit] | None = None
    cpu_count: int | None = None
    cpu_percent: int | None = None
    restart_policy: RestartPolicy | None = None


class HostConfig(Resources, frozen=True):
    """What depends on the host."""

    binds: list[str] | None = None
    log_config: LogConfig | None = None
    network_mode: str | None = None
    port_bindings: dict[str, list[PortBinding] | None] | None = None
    auto_remove: bool | None = None
    volume_driver: str | None = None
    volumes_from: list[str] | None = None
    mounts: list[MountBody] | None = None
    annotations: dict[str, str] | None = None
    cap_add: Words = None
    cap_drop: Words = None
    cgroupns_mode: str | None = None
    dns: list[str] | None = None
    dns_options: list[str] | None = None
    dns_search: list[str] | None = None
    extra_hosts: list[str] | None = None
    group_add: list[str] | None = None
    ipc_mode: str | None = None
    links: list[str] | None = None
    oom_score_adj: int | None = None
    pid_mode: str | None = None
    privileged: bool | None = None
    publish_all_ports: bool | None = None
    readonly_rootfs: bool | None = None
    security_opt: list[str] | None = None
    storage_opt: dict[str, str] | None = None
    tmpfs: dict[str, str] | None = None
    uts_mode: str | None = msgspec.field(name="UTSMode", default=None)
    userns_mode: str | None = None
    shm_size: int | None = None
    sysctls: dict[str, str] | None = None
    runtime: str | None = None
    isolation: str | None = None
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None
    init: bool | None = None


class IpamConfig(Body, frozen=True):
    """The addresses that are asked for."""

    ipv4_address: str | None = msgspec.field(name="IPv4Address", default=None)
    ipv6_address: str | None = msgspec.field(name="IPv6Address", default=None)
    link_local_ips: list[str] | None = msgspec.field(name="LinkLocalIPs", default=None)


class EndpointSettings(Body, frozen=True):
    """A container's settings in one network."""

    ipam_config: IpamConfig | None = msgspec.field(name="IPAMConfig", default=None)
    links: list[str] | None = None
    aliases: list[str] | None = None
    mac_address: str | None = None
    driver_opts: dict[str, str] | None = None
    gw_priority: int | None = None


class NetworkingConfig(Body, frozen=True):
    """The settings in each network, by its name or id."""

    endpoints_config: dict[str, EndpointSettings | None] | None = None


class ContainerCreate(Body, frozen=True):
    """A new container."""

    hostname: str | None = None
    domainname: str | None = None
    user: str | None = None
    attach_stdin: bool | None = None
    attach_stdout: bool | None = None
    attach_stderr: bool | None = None
    exposed_ports: dict[str, Any] | None = None
    tty: bool | None = None
    open_stdin: bool | None = None
    stdin_once: bool | None = None
    env: list[str] | None = None
    cmd: Words = None
    healthcheck: Healthcheck | None = None
    image: str | None = None
    volumes: dict[str, Any] | None = None
    working_dir: str | None = None
    entrypoint: Words = None
    network_disabled: bool | None = None
    mac_address: str | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | None = None
    stop_timeout: int | None = None
    host_config: HostConfig | None = None
    networking_config: NetworkingConfig | None = None
