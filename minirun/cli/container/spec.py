"""From the options of run and create to a Spec, and from the limit options to limits."""

import os
import sys
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from minirun.cli.container.options import CreateOptions, HealthOptions, LimitOptions
from minirun.cli.session import session, warn
from minirun.engine.id_ranges import refuse_hosts_namespaces
from minirun.errors import FAILED, MinirunError, NotFoundError
from minirun.image.defaults import health_of, inherit
from minirun.image.platforms import Platform, host_platform, parse_platform, runs
from minirun.image.records import Image
from minirun.image.reference import parse_reference
from minirun.image.resolve import find_image, local_image
from minirun.instance import Instance
from minirun.kernel import controllers, limits
from minirun.model import Health, Logging, Mode, Mount, NetworkRequest, Spec
from minirun.options import (
    environment,
    hosts,
    mounts,
    networks,
    option_error,
    ports,
    process,
    supervision,
    values,
    volumes,
)
from minirun.options.environment import parse_labels
from minirun.options.limits import check_limits, parse_limits
from minirun.options.networks import parse_first_attachment
from minirun.options.supervision import parse_health, parse_logging
from minirun.options.values import parse_bytes, parse_signal

STREAMS = ("stdin", "stdout", "stderr")
_DEFAULT_LIMITS = (("pids", 2048),)  # as podman: room for any program, and an end to a fork bomb
Limits = tuple[tuple[str, int | str], ...]


def spec_of(options: CreateOptions, image: str, argv: list[str], detach: bool) -> Spec:
    """What the options say; with_image() adds what the image says. MinirunError for the first that is wrong."""
    _check_image_options(options)
    network = _network(options)
    ipc = process.parse_namespace(options.ipc, "ipc", ("", "none", "host", "private", "shareable", "container"))
    spec = Spec(
        image=image,
        argv=tuple(argv),
        entrypoint=() if options.entrypoint is None else (options.entrypoint,),
        env=environment.parse_env(options.env, options.env_file),
        workdir=_workdir(options.workdir) if options.workdir else "",
        user=options.user,
        hostname=_hostname(options, network.mode),
        tty=options.tty,
        interactive=options.interactive,
        auto_remove=options.remove,
        init=options.init,
        detach=detach,
        attach=_streams(options.attach, detach),
        network=network,
        ports=ports.parse_ports(options.publish),
        **_mounts(options),
        restart=supervision.parse_restart(options.restart, options.remove),
        labels=parse_labels(options.label, options.label_file),
        domainname=values.check_hostname(options.domainname) if options.domainname else "",
        **_names(options, network.mode),
        groups=tuple(options.group_add),
        read_only=options.read_only,
        stop_signal=_stop_signal(options.stop_signal),
        stop_timeout=options.stop_timeout,
        pid_mode=process.parse_namespace(options.pid, "pid", ("", "host", "container")),
        ipc_mode=ipc,
        uts_mode=process.parse_namespace(options.uts, "uts", ("", "host")),
        cgroupns=process.parse_namespace(options.cgroupns, "cgroupns", ("", "host", "private")),
        userns=process.parse_userns(options.userns) if options.userns else "",
        shm_size=_shm_size(options.shm_size),
        limits=limits_of(options),
        security=process.parse_security(options.cap_add, options.cap_drop, options.security_opt, options.privileged),
        logging=_logging(options),
        ulimits=process.parse_ulimits(options.ulimit),
        sysctls=process.parse_sysctls(options.sysctl, network.mode, ipc),
        devices=process.parse_devices(options.device),
        device_rules=process.parse_device_rules(options.device_cgroup_rule),
        oom_score_adj=process.check_oom_score(options.oom_score_adj),
        unused=(("VolumeDriver", options.volume_driver),) if options.volume_driver else (),
    )
    if spec.userns:
        refuse_hosts_namespaces(spec)
    return spec


def with_image(instance: Instance, spec: Spec, options: CreateOptions) -> Spec:
    """Add what the image says: environment, command, user, health check, ..."""
    image = _image(instance, spec.image, options)
    spec = inherit(spec, image, environment.names_to_unset(options.env))
    refuse_driver(options.volume_driver, spec.mounts)
    health = _health(options, health_of(image) if "Healthcheck" in image.config else None)
    if not options.no_healthcheck:
        health = supervision.health_by_label(spec.labels, health)
    return replace(spec, health=health) if health is not None else spec


def _image(instance: Instance, name: str, options: CreateOptions) -> Image:
    """The image on this host, or pulled from its registry as --pull and --platform say."""
    platform = parse_platform(options.platform) if options.platform else None
    image = local_image(instance, name) if options.pull != "always" else None
    if image is None or (platform is not None and not runs(platform, image.platform)):
        image = _pulled(instance, name, options, platform or host_platform())
    if image.document.architecture and not runs(platform or host_platform(), image.platform):
        asked = "" if platform else " and no specific platform was requested"
        warn(
            f"WARNING: The requested image's platform ({image.platform}) does not match"
            f" {platform or f'the detected host platform ({host_platform()})'}{asked}"
        )
    return image


def _pulled(instance: Instance, name: str, options: CreateOptions, platform: Platform) -> Image:
    reference = parse_reference(name).tagged()
    if options.pull == "never":
        raise NotFoundError(f"No such image: {reference.familiar}", "--pull=never forbids to pull it", FAILED)
    if options.pull == "missing":
        warn(f"Unable to find image '{reference.familiar}' locally")
    from minirun.cli.image.pull import pull_image  # rich takes 15 ms, which each first command would pay

    pulled = pull_image(instance, reference, platform, sys.stderr, options.quiet)
    return find_image(instance, f"sha256:{pulled.id}")


def limits_of(options: LimitOptions) -> Limits:
    """Fields of kernel.limits.Limits for a new container, with the default of pids. MinirunError if they conflict."""
    given = asked_limits(options)
    default = _DEFAULT_LIMITS if options.pids_limit is None and controllers.acts("pids") else ()
    if given:
        check_limits(limits.of((*given, *default)))
    return (*given, *default)


def asked_limits(options: LimitOptions) -> Limits:
    """Only the limits that were typed, not yet checked together: update adds them to what a container has."""
    typed = {field.name: getattr(options, field.name) for field in fields(LimitOptions)}
    return parse_limits({name.replace("_", "-"): value for name, value in typed.items() if value is not None})


def check_terminal(options: CreateOptions, detach: bool) -> None:
    """MinirunError for -it without a terminal."""
    if options.tty and options.interactive and not detach and not os.isatty(0):
        session().fail_with(1)
        raise MinirunError("the input device is not a TTY", "leave out -t when input comes from a pipe or file")


def check_cidfile(path: str) -> None:
    """MinirunError if the file of --cidfile exists."""
    if path and os.path.lexists(path):
        raise option_error(
            f"container ID file found, make sure the other container isn't running or delete {path}",
        )


def write_cidfile(path: str, container_id: str) -> None:
    """Write the id where --cidfile says, if it does."""
    if path:
        with open(path, "w") as file:
            file.write(container_id)


def _check_image_options(options: CreateOptions) -> None:
    if options.pull not in ("always", "missing", "never"):
        raise option_error(f'invalid pull option: \'{options.pull}\': must be one of "always", "missing" or "never"')


def _streams(texts: list[str], detach: bool) -> tuple[str, ...]:
    """The streams of -a, of which a detached container has none."""
    if detach and texts:
        raise option_error("Conflicting options: -a and -d")
    for text in texts:
        if text.lower() not in STREAMS:
            why = "valid streams are STDIN, STDOUT and STDERR"
            raise option_error(f'invalid argument "{text}" for "-a, --attach" flag: {why}')
    return tuple(dict.fromkeys(text.lower() for text in texts))


def _network(options: CreateOptions) -> NetworkRequest:
    first = parse_first_attachment(
        options.ip, options.ip6, options.mac_address, tuple(options.network_alias), tuple(options.link)
    )
    return networks.parse_network(options.network, first)


def _hostname(options: CreateOptions, mode: Mode) -> str:
    if not options.hostname:
        return ""
    if options.uts == "host":
        raise option_error("conflicting options: hostname and the UTS mode")
    if mode is Mode.CONTAINER:
        raise option_error("conflicting options: hostname and the network mode")
    return values.check_hostname(options.hostname)


def _names(options: CreateOptions, mode: Mode) -> dict[str, Any]:
    """Names and addresses that the container knows, and the ports that it exposes."""
    if mode is Mode.CONTAINER:
        for flag, given in (("custom host-to-IP mapping", options.add_host), ("dns", options.dns)):
            if given:
                raise option_error(f"conflicting options: {flag} and the network mode container")
        if options.expose:
            raise option_error("conflicting options: port exposing and the container type network mode")
    return {
        "extra_hosts": hosts.parse_extra_hosts(options.add_host),
        "dns": hosts.parse_dns(options.dns),
        "dns_search": hosts.parse_dns_search(options.dns_search),
        "dns_options": hosts.parse_dns_options(options.dns_option),
        "expose": ports.parse_expose(options.expose),
        "publish_all": options.publish_all,
    }


def _mounts(options: CreateOptions) -> dict[str, Any]:
    parsed = mounts.parse_mounts(options.volume, options.mount, options.tmpfs)
    refuse_driver(options.volume_driver, parsed)
    return {
        "mounts": parsed,
        "volumes_from": tuple(mounts.parse_volumes_from(text) for text in options.volumes_from),
    }


def refuse_driver(driver: str, mounts: Iterable[Mount]) -> None:
    """MinirunError for a driver of --volume-driver that is not there, if there are volumes that it would make."""
    if driver and any(mount.kind == "volume" for mount in mounts):
        volumes.check_driver(driver)


def _stop_signal(text: str) -> str:
    if text:
        parse_signal(text)
    return text


def _shm_size(text: str) -> int:
    if not text:
        return 0
    size = parse_bytes(text, "--shm-size")
    if size == 0:
        raise option_error("--shm-size 0: SHM size can not be less than 0", "such as 128m")
    return size


def _health(options: HealthOptions, image: Health | None) -> Health | None:
    values = {field.name: getattr(options, field.name) for field in fields(HealthOptions)}
    disabled = values.pop("no_healthcheck")
    given = {name.replace("_", "-"): value for name, value in values.items() if value is not None}
    return parse_health(given, image, disabled) if given or disabled else image


def _logging(options: CreateOptions) -> Logging:
    if not options.log_driver and not options.log_opt:
        return Logging()
    from minirun.cli.output.format import template_of  # Go templates: 4 ms, which each first command would pay

    logging = parse_logging(options.log_driver, options.log_opt)
    template_of(dict(logging.options).get("tag", ""))  # an error of its template is the caller's
    return logging


def _workdir(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise MinirunError(f"the working directory '{path}' is invalid, it needs to be an absolute path")
    return path
