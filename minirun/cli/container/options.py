"""The options of run and create, which update has in part: declared once, read by spec.py."""

from dataclasses import dataclass, field
from typing import Annotated

from typer import Option

from minirun.cli.completion.values import (
    FILE,
    VOLUME,
    capabilities,
    containers,
    environment,
    namespaces,
    network_modes,
    signals,
    ulimits,
    words,
)
from minirun.options.supervision import LOG_DETAILS

Many = list[str]


@dataclass(frozen=True)
class LimitOptions:
    """The limits of run, create and update. None: not given."""

    memory: Annotated[str | None, Option("--memory", "-m", help="Memory limit", metavar="bytes")] = None
    memory_swap: Annotated[
        str | None,
        Option(
            "--memory-swap", help="Swap limit equal to memory plus swap: '-1' to enable unlimited swap", metavar="bytes"
        ),
    ] = None
    memory_reservation: Annotated[
        str | None, Option("--memory-reservation", help="Memory soft limit", metavar="bytes")
    ] = None
    cpus: Annotated[str | None, Option("--cpus", help="Number of CPUs", metavar="decimal")] = None
    cpu_shares: Annotated[int | None, Option("--cpu-shares", "-c", help="CPU shares (relative weight)")] = None
    cpu_period: Annotated[
        int | None, Option("--cpu-period", help="Limit CPU CFS (Completely Fair Scheduler) period, in microseconds")
    ] = None
    cpu_quota: Annotated[
        int | None,
        Option("--cpu-quota", help="Limit CPU CFS (Completely Fair Scheduler) quota, in microseconds; -1: no limit"),
    ] = None
    cpuset_cpus: Annotated[str | None, Option("--cpuset-cpus", help="CPUs in which to allow execution (0-3, 0,1)")] = (
        None
    )
    cpuset_mems: Annotated[str | None, Option("--cpuset-mems", help="MEMs in which to allow execution (0-3, 0,1)")] = (
        None
    )
    pids_limit: Annotated[
        int | None,
        Option(
            "--pids-limit", help="Tune container pids limit (-1: unlimited; default 2048 where the kernel can limit it)"
        ),
    ] = None
    blkio_weight: Annotated[
        int | None,
        Option("--blkio-weight", help="Block IO (relative weight), between 10 and 1000, or 0 to disable"),
    ] = None


@dataclass(frozen=True)
class ProcessOptions:
    """The container's process: its words, environment, user and streams."""

    interactive: Annotated[bool, Option("--interactive", "-i", help="Keep STDIN open even if not attached")] = False
    tty: Annotated[bool, Option("--tty", "-t", help="Allocate a pseudo-TTY")] = False
    env: Annotated[Many, Option("--env", "-e", help="Set environment variables", autocompletion=environment)] = field(
        default_factory=list
    )
    env_file: Annotated[Many, Option("--env-file", help="Read in a file of environment variables", click_type=FILE)] = (
        field(default_factory=list)
    )
    entrypoint: Annotated[str | None, Option("--entrypoint", help="Overwrite the default ENTRYPOINT of the image")] = (
        None
    )
    workdir: Annotated[str, Option("--workdir", "-w", help="Working directory inside the container")] = ""
    user: Annotated[str, Option("--user", "-u", help="Username or UID (format: <name|uid>[:<group|gid>])")] = ""
    group_add: Annotated[Many, Option("--group-add", help="Add additional groups to join")] = field(
        default_factory=list
    )
    init: Annotated[
        bool, Option("--init", help="Run an init inside the container that forwards signals and reaps processes")
    ] = False
    stop_signal: Annotated[
        str, Option("--stop-signal", help="Signal to stop the container", autocompletion=signals)
    ] = ""
    stop_timeout: Annotated[int | None, Option("--stop-timeout", help="Timeout (in seconds) to stop a container")] = (
        None
    )


@dataclass(frozen=True)
class FileOptions:
    """Mounts and devices."""

    volume: Annotated[Many, Option("--volume", "-v", help="Bind mount a volume", click_type=VOLUME)] = field(
        default_factory=list
    )
    mount: Annotated[
        Many,
        Option(
            "--mount",
            help="Attach a filesystem mount to the container",
            metavar="mount",
            autocompletion=words("type=bind,", "type=volume,", "type=tmpfs,", "type=image,"),
        ),
    ] = field(default_factory=list)
    tmpfs: Annotated[Many, Option("--tmpfs", help="Mount a tmpfs directory")] = field(default_factory=list)
    volumes_from: Annotated[
        Many,
        Option("--volumes-from", help="Mount volumes from the specified container(s)", autocompletion=containers()),
    ] = field(default_factory=list)
    volume_driver: Annotated[str, Option("--volume-driver", help="Optional volume driver for the container")] = ""
    read_only: Annotated[bool, Option("--read-only", help="Mount the container's root filesystem as read only")] = False
    device: Annotated[Many, Option("--device", help="Add a host device to the container", click_type=FILE)] = field(
        default_factory=list
    )
    device_cgroup_rule: Annotated[
        Many, Option("--device-cgroup-rule", help="Add a rule to the cgroup allowed devices list")
    ] = field(default_factory=list)
    shm_size: Annotated[str, Option("--shm-size", help="Size of /dev/shm", metavar="bytes")] = ""


@dataclass(frozen=True)
class NetworkOptions:
    """Networks, ports and names."""

    network: Annotated[
        Many,
        Option(
            "--network",
            "--net",
            help="Connect a container to a network",
            metavar="network",
            autocompletion=network_modes,
        ),
    ] = field(default_factory=list)
    publish: Annotated[Many, Option("--publish", "-p", help="Publish a container's port(s) to the host")] = field(
        default_factory=list
    )
    publish_all: Annotated[bool, Option("--publish-all", "-P", help="Publish all exposed ports to random ports")] = (
        False
    )
    expose: Annotated[Many, Option("--expose", help="Expose a port or a range of ports")] = field(default_factory=list)
    ip: Annotated[str, Option("--ip", help="IPv4 address (e.g., 172.30.100.104)", metavar="ip")] = ""
    ip6: Annotated[str, Option("--ip6", help="IPv6 address (e.g., 2001:db8::33)", metavar="ip")] = ""
    mac_address: Annotated[str, Option("--mac-address", help="Container MAC address (e.g., 92:d0:c6:0a:29:33)")] = ""
    network_alias: Annotated[
        Many, Option("--network-alias", "--net-alias", help="Add network-scoped alias for the container")
    ] = field(default_factory=list)
    link: Annotated[
        Many,
        Option("--link", help="Add link to another container", autocompletion=containers("running", ending=":")),
    ] = field(default_factory=list)
    hostname: Annotated[str, Option("--hostname", "-h", help="Container host name")] = ""
    domainname: Annotated[str, Option("--domainname", help="Container NIS domain name")] = ""
    add_host: Annotated[Many, Option("--add-host", help="Add a custom host-to-IP mapping (host:ip)")] = field(
        default_factory=list
    )
    dns: Annotated[Many, Option("--dns", help="Set custom DNS servers")] = field(default_factory=list)
    dns_search: Annotated[Many, Option("--dns-search", help="Set custom DNS search domains")] = field(
        default_factory=list
    )
    dns_option: Annotated[Many, Option("--dns-option", "--dns-opt", help="Set DNS options")] = field(
        default_factory=list
    )


@dataclass(frozen=True)
class NamespaceOptions:
    """Namespaces, kernel parameters and privileges."""

    pid: Annotated[str, Option("--pid", help="PID namespace to use", autocompletion=namespaces("host"))] = ""
    ipc: Annotated[
        str,
        Option("--ipc", help="IPC mode to use", autocompletion=namespaces("host", "none", "private", "shareable")),
    ] = ""
    uts: Annotated[str, Option("--uts", help="UTS namespace to use", autocompletion=words("host"))] = ""
    cgroupns: Annotated[
        str,
        Option("--cgroupns", help="Cgroup namespace to use (host|private)", autocompletion=words("host", "private")),
    ] = ""
    userns: Annotated[
        str, Option("--userns", help="User namespace to use (host|auto|FIRST[:COUNT]|container:NAME)")
    ] = ""
    ulimit: Annotated[Many, Option("--ulimit", help="Ulimit options", metavar="ulimit", autocompletion=ulimits)] = (
        field(default_factory=list)
    )
    sysctl: Annotated[Many, Option("--sysctl", help="Sysctl options", metavar="map")] = field(default_factory=list)
    oom_score_adj: Annotated[int, Option("--oom-score-adj", help="Tune host's OOM preferences (-1000 to 1000)")] = 0
    cap_add: Annotated[Many, Option("--cap-add", help="Add Linux capabilities", autocompletion=capabilities)] = field(
        default_factory=list
    )
    cap_drop: Annotated[Many, Option("--cap-drop", help="Drop Linux capabilities", autocompletion=capabilities)] = (
        field(default_factory=list)
    )
    privileged: Annotated[bool, Option("--privileged", help="Give extended privileges to this container")] = False
    security_opt: Annotated[
        Many,
        Option(
            "--security-opt",
            help="Security Options",
            autocompletion=words(
                "no-new-privileges", "seccomp=", "seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"
            ),
        ),
    ] = field(default_factory=list)


@dataclass(frozen=True)
class HealthOptions:
    """The health check. None: not given."""

    health_cmd: Annotated[str | None, Option("--health-cmd", help="Command to run to check health")] = None
    health_interval: Annotated[
        str | None,
        Option("--health-interval", help="Time between running the check (default 30s)", metavar="duration"),
    ] = None
    health_retries: Annotated[
        int | None, Option("--health-retries", help="Consecutive failures needed to report unhealthy")
    ] = None
    health_timeout: Annotated[
        str | None,
        Option("--health-timeout", help="Maximum time to allow one check to run (default 30s)", metavar="duration"),
    ] = None
    health_start_period: Annotated[
        str | None,
        Option(
            "--health-start-period",
            help="Time for the container to initialize before failures count",
            metavar="duration",
        ),
    ] = None
    health_start_interval: Annotated[
        str | None,
        Option(
            "--health-start-interval",
            help="Time between running the check during the start period",
            metavar="duration",
        ),
    ] = None
    no_healthcheck: Annotated[bool, Option("--no-healthcheck", help="Disable any container-specified HEALTHCHECK")] = (
        False
    )


@dataclass(frozen=True)
class CreateOptions(  # the order of the bases is the order of the fields, reversed
    HealthOptions, NamespaceOptions, NetworkOptions, FileOptions, ProcessOptions, LimitOptions
):
    """All options that run and create have in common."""

    attach: Annotated[Many, Option("--attach", "-a", help="Attach to STDIN, STDOUT or STDERR")] = field(
        default_factory=list
    )
    remove: Annotated[bool, Option("--rm", help="Automatically remove the container when it exits")] = False
    name: Annotated[str, Option("--name", help="Assign a name to the container")] = ""
    owner_pid: Annotated[
        int, Option("--owner-pid", help="Remove the container when this process ends, however it does ($$: the shell)")
    ] = 0
    cidfile: Annotated[str, Option("--cidfile", help="Write the container ID to the file", click_type=FILE)] = ""
    label: Annotated[Many, Option("--label", "-l", help="Set meta data on a container")] = field(default_factory=list)
    label_file: Annotated[
        Many, Option("--label-file", help="Read in a line delimited file of labels", click_type=FILE)
    ] = field(default_factory=list)
    restart: Annotated[
        str,
        Option(
            "--restart",
            help="Restart policy to apply when a container exits",
            autocompletion=words("no", "on-failure", "on-failure:", "always", "unless-stopped"),
        ),
    ] = "no"
    pull: Annotated[
        str,
        Option(
            "--pull",
            help='Pull image before running ("always", "missing", "never")',
            autocompletion=words("always", "missing", "never"),
        ),
    ] = "missing"
    quiet: Annotated[bool, Option("--quiet", "-q", help="Suppress the pull output")] = False
    platform: Annotated[str, Option("--platform", help="Set platform if server is multi-platform capable")] = ""
    log_driver: Annotated[
        str,
        Option(
            "--log-driver",
            help="Logging driver for the container",
            autocompletion=words("json-file", "local", "none"),
        ),
    ] = ""
    log_opt: Annotated[
        Many,
        Option(
            "--log-opt",
            help="Log driver options",
            autocompletion=words("max-size=", "max-file=", *(f"{name}=" for name in LOG_DETAILS)),
        ),
    ] = field(default_factory=list)
