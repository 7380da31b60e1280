"""Docker's flags that minirun does not have: each is refused with the reason, instead of as unknown."""

_NO_DAEMON = "there is no daemon to connect to; minirun itself works on this host"
_NO_ENGINE = "there is no engine to ask for it"
_NO_CLUSTER = "cluster volumes belong to a swarm, and there is none"
_UNSIGNED = "minirun does not check signatures"
_PLATFORM = "an image has one platform, which `minirun image inspect` shows"
_WINDOWS = "it is for Windows containers"
_CGROUP_V1 = "it belongs to cgroup v1 alone and is going away with it"
_THROTTLE = "minirun does not throttle single block devices; --blkio-weight shares them"

RUN = {
    "annotation": "it is for an OCI runtime, and minirun starts the process itself; --label keeps a note",
    "blkio-weight-device": _THROTTLE,
    "cgroup-parent": "each container has its own cgroup below minirun's",
    "cpu-count": _WINDOWS,
    "cpu-percent": _WINDOWS,
    "cpu-rt-period": "minirun does not assign real-time scheduling",
    "cpu-rt-runtime": "minirun does not assign real-time scheduling",
    "device-read-bps": _THROTTLE,
    "device-read-iops": _THROTTLE,
    "device-write-bps": _THROTTLE,
    "device-write-iops": _THROTTLE,
    "disable-content-trust": _UNSIGNED,
    "gpus": "pass device nodes with --device",
    "io-maxbandwidth": _WINDOWS,
    "io-maxiops": _WINDOWS,
    "isolation": _WINDOWS,
    "kernel-memory": _CGROUP_V1,
    "link-local-ip": "networks have no link-local addresses",
    "memory-swappiness": _CGROUP_V1,
    "oom-kill-disable": _CGROUP_V1,
    "runtime": "minirun is the runtime",
    "storage-opt": "the writable layer has no quota",
    "use-api-socket": _NO_ENGINE,
}
_LIMITED = "RUN has the limits that every container has by default"
_CLASSIC = "it belongs to Docker's builder of before 2023"
BUILD = {
    "annotation": "an image that is built here has no manifest yet; --label is part of the image",
    "attest": "minirun makes no attestations",
    "build-context": "a build has one context; COPY --from=IMAGE takes files from elsewhere",
    "builder": "there is one builder, minirun itself",
    **dict.fromkeys(("cache-from", "cache-to"), "the build cache is that of this host"),
    "call": "--check prints what is suspicious in a Dockerfile",
    "cgroup-parent": "each container has its own cgroup below minirun's",
    "compress": "there is no daemon that the context is sent to",
    **dict.fromkeys(("cpu-period", "cpu-quota", "c", "cpu-shares", "cpuset-cpus", "cpuset-mems"), _LIMITED),
    **dict.fromkeys(("m", "memory", "memory-swap"), _LIMITED),
    "disable-content-trust": _UNSIGNED,
    "isolation": _WINDOWS,
    **dict.fromkeys(("o", "output"), "the image is recorded on this host; `minirun save` writes it to a file"),
    "security-opt": "RUN is confined as every container is by default",
    "squash": _CLASSIC,
}
REFUSED: dict[str, dict[str, str]] = {
    "": {  # in front of the command
        "config": "minirun has no configuration of its callers; the administrator's is /etc/minirun/config.json",
        **dict.fromkeys(("H", "host"), _NO_DAEMON),
        **dict.fromkeys(
            ("l", "log-level"), "minirun has no log levels; --debug shows where an unexpected error happened"
        ),
        **dict.fromkeys(("tls", "tlscacert", "tlscert", "tlskey", "tlsverify"), _NO_DAEMON),
    },
    "run": RUN,
    "create": RUN,
    "build": BUILD,
    "builder prune": dict.fromkeys(
        ("keep-storage", "max-used-space", "min-free-space", "reserved-space"),
        "it removes what --filter says; what no build has used for 60 days is removed by the next build",
    ),
    "update": RUN,
    "exec": {"detach-keys": "the command itself carries the streams and ends with them; -d leaves a process behind"},
    "start": dict.fromkeys(("checkpoint", "checkpoint-dir"), "containers are not checkpointed"),
    "volume create": dict.fromkeys(
        (
            *("availability", "group", "limit-bytes", "required-bytes", "scope", "secret", "sharing"),
            *("topology-preferred", "topology-required", "type"),
        ),
        _NO_CLUSTER,
    ),
    "volume ls": {"cluster": _NO_CLUSTER},
    "history": {"platform": _PLATFORM},
    "pull": {"disable-content-trust": _UNSIGNED},
    "push": {"disable-content-trust": _UNSIGNED, "platform": _PLATFORM},
    "save": {"platform": _PLATFORM},
    "rmi": {"platform": _PLATFORM},
    "inspect": {"platform": _PLATFORM},
    "images": {"tree": "an image has one platform, so there is nothing below it"},
    "network create": {
        "ingress": "there is no swarm",
        "ipam-opt": "minirun or the network driver allocates addresses",
    },
    "network connect": {"link-local-ip": "networks have no link-local addresses"},
}
