"""POST /containers/create: Docker's description of a container, turned into a Spec.

What both have as a text (a port, a volume, a limit) goes through the same parser as an option of `minirun create`;
so the same mistakes are refused, with the same words.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from minirun.api.bodies import (
    BindOptions,
    ContainerCreate,
    DriverConfig,
    EndpointSettings,
    Healthcheck,
    HostConfig,
    ImageOptions,
    IpamConfig,
    LogConfig,
    MountBody,
    PortBinding,
    Resources,
    RestartPolicy,
    TmpfsOptions,
    VolumeOptions,
    Words,
)
from minirun.api.http import ApiError, Response, answer
from minirun.api.request import Request, failing_with, message_of
from minirun.cli.container.launch import free_name
from minirun.cli.container.options import CreateOptions
from minirun.cli.container.spec import refuse_driver, spec_of
from minirun.cli.refused import RUN as REFUSED_FLAGS
from minirun.engine import start
from minirun.engine.inspect_config import RUNTIME
from minirun.errors import MinirunError, NotFoundError
from minirun.image.defaults import health_of, inherit
from minirun.image.platforms import parse_platform, runs
from minirun.image.records import Image
from minirun.image.reference import parse_reference
from minirun.image.resolve import local_image
from minirun.init.rootfs import MASKED, READ_ONLY
from minirun.instance import Instance
from minirun.model import Attachment, Health, Mode, NetworkRequest, Spec
from minirun.options.hosts import parse_links, parse_mac
from minirun.options.networks import parse_attachment, parse_network
from minirun.options.supervision import health_by_label
from minirun.options.values import check_name
from minirun.security.seccomp_cache import check as check_seccomp

_RUNC = ("runc", "io.containerd.runc.v2")  # Docker's own: what a client that names it expects is what minirun does
_SECOND = 1_000_000_000  # nanoseconds


def create(request: Request) -> Response:
    """POST /containers/create."""
    body = request.body.json(ContainerCreate)
    name = request.query.text("name").removeprefix("/")
    platform = request.query.text("platform")
    with failing_with(HTTPStatus.BAD_REQUEST):
        if name:
            check_name(name)
        spec = described(body)
        image = _image(request.instance, spec.image, platform)
        spec = _with_image(spec, image, body)
    instance = request.instance
    try:
        container = start.create(instance, name or free_name(instance), spec)
    except NotFoundError as error:  # 404 is for the image alone: clients pull it then, and ask again
        raise ApiError(HTTPStatus.BAD_REQUEST, message_of(error)) from error
    return answer({"Id": container.id, "Warnings": []}, HTTPStatus.CREATED)


def described(body: ContainerCreate) -> Spec:
    """What a body says, before the image has its say. MinirunError or ApiError for what is wrong or not supported."""
    if not body.image:
        raise ApiError(HTTPStatus.BAD_REQUEST, "no image was specified: config.Image is empty")
    host = body.host_config or HostConfig()
    log = host.log_config or LogConfig()
    refuse_unsupported(host)
    network = _network(body, host)
    profile, security = _seccomp(host)
    options = CreateOptions(
        **process_options(body),
        **limit_options(host),
        **_file_options(body, host),
        **_right_options(host, security),
        **_name_options(body, host),
        network=[str(network)] if network.mode is not Mode.BRIDGE else [],
        privileged=bool(host.privileged),
        remove=bool(host.auto_remove),
        restart=restart_text(host.restart_policy),
        log_driver=log.type or "",
        log_opt=_pairs(log.config),
    )
    attached = _attached(body)
    spec = spec_of(options, body.image, _words(body.cmd), detach=False)
    spec = replace(
        spec,
        network=network,
        env=tuple(_environment(body).items()),
        entrypoint=tuple(_words(body.entrypoint)),
        attach=attached,
        unused=_unused(host),
        # Its input stays open for the next client, unless the first one's end is to be its end (StdinOnce).
        detach=not attached or (bool(body.open_stdin) and not body.stdin_once),
    )
    made = {mount.target for mount in host.mounts or [] if mount.bind_options and mount.bind_options.create_mountpoint}
    mounts = tuple(replace(one, must_exist=one.must_exist and one.target not in made) for one in spec.mounts)
    spec = replace(spec, mounts=mounts)
    if profile:
        given = (*spec.security.given, "seccomp")
        spec = replace(spec, security=replace(spec.security, seccomp=profile, given=given))
    return spec


def _unused(host: HostConfig) -> tuple[tuple[str, str], ...]:
    """What is checked, and then changes nothing."""
    fields = {"Isolation": host.isolation, "Runtime": host.runtime, "VolumeDriver": host.volume_driver}
    return tuple((name, text) for name, text in fields.items() if text)


def process_options(body: ContainerCreate) -> dict[str, Any]:
    """The fields of ProcessOptions."""
    host = body.host_config or HostConfig()
    return {
        "interactive": bool(body.open_stdin),
        "tty": bool(body.tty),
        "workdir": body.working_dir or "",
        "user": body.user or "",
        "group_add": host.group_add or [],
        "init": bool(host.init),
        "stop_signal": body.stop_signal or "",
        "stop_timeout": body.stop_timeout,
        "label": _pairs(body.labels),
    }


def limit_options(host: Resources) -> dict[str, Any]:
    """The fields of LimitOptions. 0 is no limit, as in Docker."""
    return {
        "memory": _text(host.memory),
        "memory_swap": _text(host.memory_swap),
        "memory_reservation": _text(host.memory_reservation),
        "cpus": f"{host.nano_cpus / _SECOND:.9f}" if host.nano_cpus else None,
        "cpu_shares": host.cpu_shares or None,
        "cpu_period": host.cpu_period or None,
        "cpu_quota": host.cpu_quota or None,
        "cpuset_cpus": host.cpuset_cpus or None,
        "cpuset_mems": host.cpuset_mems or None,
        "pids_limit": host.pids_limit or None,
        "blkio_weight": host.blkio_weight or None,
    }


def restart_text(policy: RestartPolicy | None) -> str:
    """A policy as --restart has it."""
    if policy is None or not policy.name:
        return ""
    return f"{policy.name}:{policy.maximum_retry_count}" if policy.maximum_retry_count else policy.name


_REFUSED = {  # field: the option of that meaning, whose reason is the field's
    "cgroup_parent": "cgroup-parent",
    "blkio_weight_device": "blkio-weight-device",
    "blkio_device_read_bps": "device-read-bps",
    "blkio_device_write_bps": "device-write-bps",
    "blkio_device_read_iops": "device-read-iops",
    "blkio_device_write_iops": "device-write-iops",
    "cpu_realtime_period": "cpu-rt-period",
    "cpu_realtime_runtime": "cpu-rt-runtime",
    "device_requests": "gpus",
    "kernel_memory": "kernel-memory",
    "oom_kill_disable": "oom-kill-disable",
    "cpu_count": "cpu-count",
    "cpu_percent": "cpu-percent",
    "annotations": "annotation",
    "storage_opt": "storage-opt",
}


def refuse_unsupported(host: Resources) -> None:
    """ApiError for a setting that minirun cannot honour, unless it says what holds anyway."""
    for field, flag in _REFUSED.items():
        if getattr(host, field, None):
            raise ApiError(HTTPStatus.BAD_REQUEST, f"HostConfig: --{flag} is not supported: {REFUSED_FLAGS[flag]}")
    if host.memory_swappiness not in (None, -1):
        reason = REFUSED_FLAGS["memory-swappiness"]
        raise ApiError(HTTPStatus.BAD_REQUEST, f"HostConfig: --memory-swappiness is not supported: {reason}")
    if isinstance(host, HostConfig):
        if host.runtime not in (None, "", RUNTIME, *_RUNC):
            raise ApiError(HTTPStatus.BAD_REQUEST, f"unknown or invalid runtime name: {host.runtime}")
        if host.isolation not in (None, "", "default"):
            raise ApiError(HTTPStatus.BAD_REQUEST, f"invalid isolation '{host.isolation}': linux has only 'default'")
        for paths, own in ((host.masked_paths, MASKED), (host.readonly_paths, READ_ONLY)):
            if paths and not host.privileged and set(paths) != set(own):
                reason = "MaskedPaths and ReadonlyPaths may only be [], those that inspect shows, or left out"
                raise ApiError(HTTPStatus.BAD_REQUEST, reason)


def _file_options(body: ContainerCreate, host: HostConfig) -> dict[str, Any]:
    for bind in host.binds or []:
        if bind.startswith("."):
            raise ApiError(HTTPStatus.BAD_REQUEST, f"invalid volume specification: '{bind}': a relative path")
    return {
        "volume": [*(host.binds or []), *(body.volumes or {})],
        "mount": [mount_text(mount) for mount in host.mounts or []],
        "tmpfs": [f"{path}:{options}" if options else path for path, options in (host.tmpfs or {}).items()],
        "volumes_from": host.volumes_from or [],
        "volume_driver": host.volume_driver or "",
        "read_only": bool(host.readonly_rootfs),
        "device": [
            ":".join((one.path_on_host, one.path_in_container or one.path_on_host, one.cgroup_permissions or "rwm"))
            for one in host.devices or []
        ],
        "device_cgroup_rule": host.device_cgroup_rules or [],
        "shm_size": _text(host.shm_size) or "",
    }


def mount_text(mount: MountBody) -> str:
    """A mount as --mount has it."""
    bind, volume = mount.bind_options or BindOptions(), mount.volume_options or VolumeOptions()
    tmpfs, image = mount.tmpfs_options or TmpfsOptions(), mount.image_options or ImageOptions()
    driver = volume.driver_config or DriverConfig()
    if mount.type == "bind" and (mount.source or "").startswith("."):
        raise ApiError(HTTPStatus.BAD_REQUEST, f"invalid mount path: '{mount.source}' mount path must be absolute")
    words = [
        f"type={mount.type}",
        f"target={mount.target}",
        f"source={mount.source}" if mount.source else "",
        "readonly" if mount.read_only else "",
        f"consistency={mount.consistency}" if mount.consistency else "",
        f"bind-propagation={bind.propagation}" if bind.propagation else "",
        "bind-nonrecursive" if bind.non_recursive else "",
        "bind-recursive=writable" if bind.read_only_non_recursive else "",
        "bind-recursive=readonly" if bind.read_only_force_recursive else "",
        "volume-nocopy" if volume.no_copy else "",
        *(f"volume-label={pair}" for pair in _pairs(volume.labels)),
        f"volume-driver={driver.name}" if driver.name else "",
        *(f"volume-opt={pair}" for pair in _pairs(driver.options)),
        f"volume-subpath={volume.subpath}" if volume.subpath else "",
        f"tmpfs-size={tmpfs.size_bytes}" if tmpfs.size_bytes else "",
        f"tmpfs-mode={tmpfs.mode:o}" if tmpfs.mode else "",
        f"image-subpath={image.subpath}" if image.subpath else "",
    ]
    return _csv([word for word in words if word])


def _right_options(host: HostConfig, security: list[str]) -> dict[str, Any]:
    return {
        "cap_add": _words(host.cap_add),
        "cap_drop": _words(host.cap_drop),
        "security_opt": security,
        "pid": host.pid_mode or "",
        "ipc": host.ipc_mode or "",
        "uts": host.uts_mode or "",
        "cgroupns": host.cgroupns_mode or "",
        "userns": host.userns_mode or "",
        "ulimit": [f"{one.name}={one.soft}:{one.hard}" for one in host.ulimits or []],
        "sysctl": _pairs(host.sysctls),
        "oom_score_adj": host.oom_score_adj or 0,
    }


def _seccomp(host: HostConfig) -> tuple[str, list[str]]:
    """The text of a seccomp profile, which clients send in place of its path, and the other options."""
    profile, others = "", []
    for text in host.security_opt or []:
        name, _, value = text.partition("=")
        if name == "seccomp" and value.lstrip().startswith("{"):
            profile = value
        elif name == "seccomp" and value not in ("unconfined", "builtin", "default"):
            raise ApiError(HTTPStatus.BAD_REQUEST, "decoding seccomp profile failed: it is not JSON")
        else:
            others.append(text)
    if host.masked_paths == [] and host.readonly_paths == []:
        others.append("systempaths=unconfined")
    if profile:
        check_seccomp(profile)
    return profile, others


def _name_options(body: ContainerCreate, host: HostConfig) -> dict[str, Any]:
    return {
        "hostname": body.hostname or "",
        "domainname": body.domainname or "",
        "add_host": host.extra_hosts or [],
        "dns": host.dns or [],
        "dns_option": host.dns_options or [],
        "dns_search": host.dns_search or [],
        "expose": list(body.exposed_ports or {}),
        "publish": _publish_texts(host.port_bindings or {}),
        "publish_all": bool(host.publish_all_ports),
    }


def _publish_texts(bindings: Mapping[str, list[PortBinding] | None]) -> list[str]:
    """PortBindings as -p has them."""
    texts = []
    for port, places in bindings.items():
        for place in places or [PortBinding()]:
            address = place.host_ip or ""
            if ":" in address and not address.startswith("["):
                address = f"[{address}]"
            texts.append(":".join([*([address] if address else []), place.host_port or "", port]).removeprefix(":"))
    return texts


def _network(body: ContainerCreate, host: HostConfig) -> NetworkRequest:
    """NetworkMode and NetworkingConfig: the first says which network is the first, the other has all settings."""
    mode = "none" if body.network_disabled else host.network_mode or "default"
    settings = dict((body.networking_config and body.networking_config.endpoints_config) or {})
    first = settings.pop(mode, None)
    if mode in ("default", "bridge"):
        mode, first = "bridge", first or settings.pop("bridge", None) or settings.pop("default", None)
    names = {mode: first or EndpointSettings(), **settings}
    if mode in ("host", "none") or mode.startswith("container:"):
        return _without_endpoint(mode, names, body, host)
    texts = [_network_text(name, one or EndpointSettings()) for name, one in names.items()]
    request = parse_network(texts)
    attachments = []
    for place, (attachment, one) in enumerate(zip(request.attachments, names.values(), strict=False)):
        links = [*((one and one.links) or []), *((host.links or []) if place == 0 else [])]
        mac = attachment.mac or (parse_mac(body.mac_address) if body.mac_address and place == 0 else "")
        attachments.append(replace(attachment, links=parse_links(links), mac=mac))
    return replace(request, attachments=tuple(attachments))


def _without_endpoint(
    mode: str, names: Mapping[str, EndpointSettings | None], body: ContainerCreate, host: HostConfig
) -> NetworkRequest:
    """A mode without a network of its own. MinirunError for settings that would need one."""
    if mode.startswith("container:") and (host.port_bindings or host.publish_all_ports):  # before what they expose
        raise MinirunError("conflicting options: port publishing and the container type network mode")
    settings = names[mode] or EndpointSettings()
    mac = parse_mac(body.mac_address) if body.mac_address and not settings.mac_address else ""
    more = Attachment(links=parse_links([*(settings.links or []), *(host.links or [])]), mac=mac)
    return parse_network([_network_text(name, one or EndpointSettings()) for name, one in names.items()], more)


def attachment_of(network: str, settings: EndpointSettings) -> Attachment:
    """A container's settings in a network. MinirunError for one that is wrong."""
    return replace(parse_attachment(_network_text(network, settings)), links=parse_links(settings.links or []))


def _network_text(name: str, settings: EndpointSettings) -> str:
    """A network and its settings as --network has them."""
    addresses = settings.ipam_config or IpamConfig()
    if addresses.link_local_ips:
        raise ApiError(HTTPStatus.BAD_REQUEST, f"LinkLocalIPs: {REFUSED_FLAGS['link-local-ip']}")
    words = [
        *(f"alias={alias}" for alias in settings.aliases or []),
        f"ip={addresses.ipv4_address}" if addresses.ipv4_address else "",
        f"ip6={addresses.ipv6_address}" if addresses.ipv6_address else "",
        f"mac-address={settings.mac_address}" if settings.mac_address else "",
        f"gw-priority={settings.gw_priority}" if settings.gw_priority else "",
        *(f"driver-opt={pair}" for pair in _pairs(settings.driver_opts)),
    ]
    words = [word for word in words if word]
    return _csv([f"name={name}", *words]) if words else name


def _environment(body: ContainerCreate) -> dict[str, str]:
    """The variables with a value: one without is not set, and the service's own are nobody's."""
    pairs = (text.partition("=") for text in body.env or [])
    return {key: value for key, equals, value in pairs if equals}


def _attached(body: ContainerCreate) -> tuple[str, ...]:
    wanted = (("stdin", body.attach_stdin), ("stdout", body.attach_stdout), ("stderr", body.attach_stderr))
    return tuple(name for name, is_wanted in wanted if is_wanted)


def _image(instance: Instance, name: str, platform: str) -> Image:
    """The image on this host. The client pulls one that is missing, and asks again."""
    image = local_image(instance, name)
    if image is None or (platform and not runs(parse_platform(platform), image.platform)):
        raise NotFoundError(f"No such image: {parse_reference(name).tagged().familiar}")
    return image


def _with_image(spec: Spec, image: Image, body: ContainerCreate) -> Spec:
    unset = [text for text in body.env or [] if "=" not in text]
    spec = inherit(spec, image, unset)
    refuse_driver((body.host_config and body.host_config.volume_driver) or "", spec.mounts)
    check = health(body.healthcheck, health_of(image))
    if not (body.healthcheck and body.healthcheck.test == ["NONE"]):
        check = health_by_label(spec.labels, check)
    return replace(spec, health=check)


def health(given: Healthcheck | None, image: Health | None) -> Health | None:
    """The health check: what is given, and the rest from the image's, or Docker's defaults."""
    if given is None:
        return image
    kind, *words = given.test or [""]
    if kind == "NONE":
        return None
    test = {"CMD-SHELL": ("/bin/sh", "-c", *words), "CMD": tuple(words)}.get(kind, image.test if image else ())
    if kind not in ("", "CMD", "CMD-SHELL"):
        raise ApiError(HTTPStatus.BAD_REQUEST, f"Unknown healthcheck type '{kind}': one of NONE, CMD and CMD-SHELL")
    for name in ("interval", "timeout", "start_period", "start_interval"):
        if 0 < (nanoseconds := getattr(given, name) or 0) < 1_000_000 or nanoseconds < 0:
            raise ApiError(HTTPStatus.BAD_REQUEST, f"{name} in Healthcheck cannot be less than 1ms")
    if (given.retries or 0) < 0:
        raise ApiError(HTTPStatus.BAD_REQUEST, "Retries in Healthcheck cannot be negative")
    base = image or Health()
    checked = Health(
        test,
        (given.interval or 0) / _SECOND or base.interval,
        (given.timeout or 0) / _SECOND or base.timeout,
        given.retries or base.retries,
        (given.start_period or 0) / _SECOND or base.start_period,
        (given.start_interval or 0) / _SECOND or base.start_interval,
    )
    return checked if checked.test else None


def _words(words: Words) -> list[str]:
    """A list of words, which may have come as one word."""
    return [words] if isinstance(words, str) else words or []


def _pairs(pairs: Mapping[str, str] | None) -> list[str]:
    return [f"{key}={text}" for key, text in (pairs or {}).items()]


def _text(number: int | None) -> str | None:
    return str(number) if number else None


def _csv(words: Iterable[str]) -> str:
    """Words as one line of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(words)
    return text.getvalue()
