"""The flags that run and create share, and the spec that they make."""

import os
from dataclasses import replace
from typing import Any

from minirun.cli.app import session
from minirun.cli.limit_flags import LimitFlags
from minirun.cli.verb import many, number, switch, value
from minirun.errors import FAILED, MinirunError
from minirun.image.defaults import health_of, inherit
from minirun.image.resolve import image_to_run
from minirun.instance import Instance
from minirun.model import Health, Logging, Mode, NetworkRequest, Security, Spec
from minirun.options import environment, networks, ports, supervision, values


class ContainerFlags(LimitFlags):
    usage = "IMAGE [COMMAND] [ARG...]"
    least = 1
    interspersed = False
    completes = "images -"

    interactive = switch("interactive", "i", "Keep STDIN open even if not attached")
    tty = switch("tty", "t", "Allocate a pseudo-TTY")
    remove = switch("rm", "", "Automatically remove the container when it exits")
    name = value("name", "", "Assign a name to the container")
    cidfile = value("cidfile", "", "Write the container ID to the file")
    env = many("env", "e", "Set environment variables")
    env_file = many("env-file", "", "Read in a file of environment variables")
    label = many("label", "l", "Set meta data on a container")
    label_file = many("label-file", "", "Read in a line delimited file of labels")
    entrypoint = value("entrypoint", "", "Overwrite the default ENTRYPOINT of the image")
    workdir = value("workdir", "w", "Working directory inside the container")
    user = value("user", "u", "Username or UID (format: <name|uid>[:<group|gid>])")
    groups = many("group-add", "", "Add additional groups to join")
    init = switch("init", "", "Run an init inside the container that forwards signals and reaps processes")
    restart = value("restart", "", "Restart policy to apply when a container exits", "no")
    stop_signal = value("stop-signal", "", "Signal to stop the container")
    stop_timeout = number("stop-timeout", "", "Timeout (in seconds) to stop a container")
    pull = value("pull", "", 'Pull image before running ("always", "missing", "never")', "missing")
    platform = value("platform", "", "Set platform if server is multi-platform capable")

    # Files
    volume = many("volume", "v", "Bind mount a volume")
    mount = many("mount", "", "Attach a filesystem mount to the container", "mount")
    tmpfs = many("tmpfs", "", "Mount a tmpfs directory")
    volumes_from = many("volumes-from", "", "Mount volumes from the specified container(s)")
    volume_driver = value("volume-driver", "", "Optional volume driver for the container")
    read_only = switch("read-only", "", "Mount the container's root filesystem as read only")
    device = many("device", "", "Add a host device to the container")
    device_cgroup_rule = many("device-cgroup-rule", "", "Add a rule to the cgroup allowed devices list", "list")
    shm_size = value("shm-size", "", "Size of /dev/shm", kind="bytes")

    # Network
    network = many("network", "", "Connect a container to a network", "network", also="net")
    publish = many("publish", "p", "Publish a container's port(s) to the host")
    publish_all = switch("publish-all", "P", "Publish all exposed ports to random ports")
    expose = many("expose", "", "Expose a port or a range of ports")
    ip = value("ip", "", "IPv4 address (e.g., 172.30.100.104)", kind="ip")
    ip6 = value("ip6", "", "IPv6 address (e.g., 2001:db8::33)", kind="ip")
    mac = value("mac-address", "", "Container MAC address (e.g., 92:d0:c6:0a:29:33)")
    alias = many("network-alias", "", "Add network-scoped alias for the container", also="net-alias")
    link = many("link", "", "Add link to another container")
    hostname = value("hostname", "h", "Container host name")
    domainname = value("domainname", "", "Container NIS domain name")
    add_host = many("add-host", "", "Add a custom host-to-IP mapping (host:ip)")
    dns = many("dns", "", "Set custom DNS servers")
    dns_search = many("dns-search", "", "Set custom DNS search domains")
    dns_option = many("dns-option", "", "Set DNS options", also="dns-opt")

    # Namespaces and what the kernel keeps
    pid = value("pid", "", "PID namespace to use")
    ipc = value("ipc", "", "IPC mode to use")
    uts = value("uts", "", "UTS namespace to use")
    cgroupns = value("cgroupns", "", "Cgroup namespace to use (host|private)")
    userns = value("userns", "", "User namespace to use (host|auto|FIRST[:COUNT]|container:NAME)")
    ulimit = many("ulimit", "", "Ulimit options", "ulimit")
    sysctl = many("sysctl", "", "Sysctl options", "map")
    oom_score_adj = number("oom-score-adj", "", "Tune host's OOM preferences (-1000 to 1000)")

    # Rights
    cap_add = many("cap-add", "", "Add Linux capabilities")
    cap_drop = many("cap-drop", "", "Drop Linux capabilities")
    privileged = switch("privileged", "", "Give extended privileges to this container")
    security_opt = many("security-opt", "", "Security Options")

    # Health and log
    health_cmd = value("health-cmd", "", "Command to run to check health")
    health_interval = value("health-interval", "", "Time between running the check (default 30s)", kind="duration")
    health_retries = number("health-retries", "", "Consecutive failures needed to report unhealthy")
    health_timeout = value(
        "health-timeout", "", "Maximum time to allow one check to run (default 30s)", kind="duration"
    )
    health_start_period = value(
        "health-start-period", "", "Time for the container to initialize before failures count", kind="duration"
    )
    health_start_interval = value(
        "health-start-interval", "", "Time between running the check during the start period", kind="duration"
    )
    no_healthcheck = switch("no-healthcheck", "", "Disable any container-specified HEALTHCHECK")
    log_driver = value("log-driver", "", "Logging driver for the container")
    log_opt = many("log-opt", "", "Log driver options")

    def spec(self, detach: bool) -> Spec:
        """What the flags say; `with_image` adds the rest. MinirunError for the first thing that is wrong, or that
        cannot be had."""
        self._refuse()
        image, *words = self.words
        network = self._network()
        ipc = self._namespace("ipc", ("", "none", "host", "private", "shareable", "container"))
        spec = Spec(
            image=image,
            argv=tuple(words),
            entrypoint=(self.entrypoint,) if "entrypoint" in self.given else (),
            env=environment.parse_env(self.env, self.env_file),
            workdir=_workdir(self.workdir) if self.workdir else "",
            user=self.user,
            hostname=self._hostname(network.mode),
            tty=self.tty,
            interactive=self.interactive,
            auto_remove=self.remove,
            init=self.init,
            detach=detach,
            network=network,
            ports=ports.parse_ports(self.publish),
            **self._mounts(),
            restart=supervision.parse_restart(self.restart, self.remove),
            labels=self._labels(),
            domainname=values.check_hostname(self.domainname) if self.domainname else "",
            **self._names(network),
            groups=self.groups,
            read_only=self.read_only,
            stop_signal=self._stop_signal(),
            stop_timeout=self.stop_timeout if "stop-timeout" in self.given else None,
            pid_mode=self._namespace("pid", ("", "host", "container")),
            ipc_mode=ipc,
            uts_mode=self._namespace("uts", ("", "host")),
            cgroupns=self._namespace("cgroupns", ("", "host", "private")),
            userns=self._userns(),
            shm_size=self._shm_size(),
            limits=self.read_limits(),
            security=self._security(),
            logging=self._logging(),
            **self._process(network.mode, ipc),
        )
        if spec.userns:
            from minirun.engine.id_ranges import refuse_hosts_namespaces

            refuse_hosts_namespaces(spec)
        return spec

    def with_image(self, instance: Instance, spec: Spec) -> Spec:
        image = image_to_run(instance, spec.image)
        spec = inherit(
            spec, image, environment.names_to_unset(self.env, self.env_file) if "Env" in image.config else ()
        )
        health = self._health(health_of(image) if "Healthcheck" in image.config else None)
        return replace(spec, health=health) if health is not None else spec

    def _refuse(self) -> None:
        if self.pull not in ("always", "missing", "never"):
            raise _bad(f'invalid pull option: \'{self.pull}\': must be one of "always", "missing" or "never"')
        if self.pull == "always":
            raise _bad("--pull=always: minirun has no registry to pull from", "minirun images shows what there is")
        if self.platform:
            _check_platform(self.platform)

    def _labels(self) -> tuple[tuple[str, str], ...]:
        if not self.label and not self.label_file:
            return ()
        from minirun.options.environment import parse_labels

        return parse_labels(self.label, self.label_file)

    def _network(self) -> NetworkRequest:
        if not self.given & {"ip", "ip6", "mac-address", "network-alias", "link"}:
            return networks.parse_network(self.network)
        from minirun.options.networks import parse_first_attachment

        return networks.parse_network(
            self.network, parse_first_attachment(self.ip, self.ip6, self.mac, self.alias, self.link)
        )

    def _hostname(self, mode: Mode) -> str:
        if not self.hostname:
            return ""
        if self.uts == "host":
            raise _bad("conflicting options: hostname and the UTS mode")
        if mode is Mode.CONTAINER:
            raise _bad("conflicting options: hostname and the network mode")
        return values.check_hostname(self.hostname)

    def _names(self, network: NetworkRequest) -> dict[str, Any]:
        """What the container knows of names and addresses."""
        given = {"add-host", "dns", "dns-search", "dns-option", "dns-opt", "expose"}
        if not self.given & given:
            return {"publish_all": self.publish_all}
        from minirun.options import hosts, ports

        if network.mode is Mode.CONTAINER:
            for flag, said in (
                ("custom host-to-IP mapping", self.add_host),
                ("dns", self.dns),
            ):
                if said:
                    raise _bad(f"conflicting options: {flag} and the network mode container")
            if self.expose:
                raise _bad("conflicting options: port exposing and the container type network mode")
        return {
            "extra_hosts": hosts.parse_extra_hosts(self.add_host),
            "dns": hosts.parse_dns(self.dns),
            "dns_search": hosts.parse_dns_search(self.dns_search),
            "dns_options": hosts.parse_dns_options(self.dns_option),
            "expose": ports.parse_expose(self.expose),
            "publish_all": self.publish_all,
        }

    def _process(self, network: Mode, ipc: str) -> dict[str, Any]:
        if not self.given & {"ulimit", "sysctl", "device", "device-cgroup-rule", "oom-score-adj"}:
            return {}
        from minirun.options import process

        return {
            "ulimits": process.parse_ulimits(self.ulimit),
            "sysctls": process.parse_sysctls(self.sysctl, network, ipc),
            "devices": process.parse_devices(self.device),
            "device_rules": process.parse_device_rules(self.device_cgroup_rule),
            "oom_score_adj": process.check_oom_score(self.oom_score_adj),
        }

    def _mounts(self) -> dict[str, Any]:
        if not self.given & {"volume", "mount", "tmpfs", "volumes-from", "volume-driver"}:
            return {}
        from minirun.options import mounts, volumes

        volumes.check_driver(self.volume_driver)
        return {
            "mounts": mounts.parse_mounts(self.volume, self.mount, self.tmpfs),
            "volumes_from": tuple(mounts.parse_volumes_from(text) for text in self.volumes_from),
        }

    def _namespace(self, flag: str, allowed: tuple[str, ...]) -> str:
        text = str(getattr(self, flag))
        if not text:
            return ""
        from minirun.options.process import parse_namespace

        return parse_namespace(text, flag, allowed)

    def _userns(self) -> str:
        if not self.userns:
            return ""
        from minirun.options.process import parse_userns

        return parse_userns(self.userns)

    def _stop_signal(self) -> str:
        if self.stop_signal:
            from minirun.options.values import parse_signal

            parse_signal(self.stop_signal)
        return self.stop_signal

    def _shm_size(self) -> int:
        if not self.shm_size:
            return 0
        from minirun.options.values import parse_bytes

        size = parse_bytes(self.shm_size, "--shm-size")
        if size == 0:
            raise _bad("--shm-size 0: SHM size can not be less than 0", "such as 128m")
        return size

    def _security(self) -> Security:
        if not self.given & {"cap-add", "cap-drop", "privileged", "security-opt"}:
            return Security()
        from minirun.options.process import parse_security

        return parse_security(self.cap_add, self.cap_drop, self.security_opt, self.privileged)

    def _health(self, image: Health | None) -> Health | None:
        given = {name: getattr(self, name.replace("-", "_")) for name in self.given if name.startswith("health-")}
        if not given and not self.no_healthcheck:
            return image
        from minirun.options.supervision import parse_health

        return parse_health(given, image, self.no_healthcheck)

    def _logging(self) -> Logging:
        if not self.log_driver and not self.log_opt:
            return Logging()
        from minirun.options.supervision import parse_logging

        return parse_logging(self.log_driver, self.log_opt)


def check_terminal(flags: ContainerFlags, detach: bool) -> None:
    if flags.tty and flags.interactive and not detach and not os.isatty(0):
        session().fail_with(1)
        raise MinirunError("the input device is not a TTY", "leave out -t when input comes from a pipe or file")


def write_cidfile(path: str, container_id: str) -> None:
    with open(path, "w") as file:
        file.write(container_id)


def check_cidfile(path: str) -> None:
    if path and os.path.lexists(path):
        raise _bad(
            f"container ID file found, make sure the other container isn't running or delete {path}",
        )


def _workdir(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise MinirunError(f"the working directory '{path}' is invalid, it needs to be an absolute path")
    return path


def _check_platform(platform: str) -> None:
    from minirun.image.create import architecture, architecture_of

    if architecture_of(platform) != architecture():
        raise _bad(f"image with platform {platform} was not found: this machine is linux/{architecture()}")


def _bad(message: str, hint: str = "") -> MinirunError:
    return MinirunError(message, hint, FAILED)
