"""Docker's flags that minirun knows and cannot honour: each is refused with its reason, instead of as unknown.

Looked at only after a flag was not found.
"""

_NO_ENGINE = "there is no engine to ask for it"
_WINDOWS = "it is for Windows containers"
_CGROUP_V1 = "it belongs to cgroup v1 alone and is going away with it"
_THROTTLE = "block devices are not throttled one by one; --blkio-weight shares them out"
_QUOTA = "--cpus says the same in one number"

RUN = {
    "annotation": "it is passed to an OCI runtime, and minirun starts the process itself; --label keeps a note",
    "blkio-weight-device": _THROTTLE,
    "cgroup-parent": "each container has a group of its own below minirun's",
    "cpu-count": _WINDOWS,
    "cpu-percent": _WINDOWS,
    "cpu-period": _QUOTA,
    "cpu-quota": _QUOTA,
    "cpu-rt-period": "real-time scheduling is not handed out",
    "cpu-rt-runtime": "real-time scheduling is not handed out",
    "cpuset-mems": "memory nodes are not handed out; --cpuset-cpus is for processors",
    "device-read-bps": _THROTTLE,
    "device-read-iops": _THROTTLE,
    "device-write-bps": _THROTTLE,
    "device-write-iops": _THROTTLE,
    "disable-content-trust": "there is no registry, so nothing is signed",
    "gpus": "name the device nodes with --device",
    "io-maxbandwidth": _WINDOWS,
    "io-maxiops": _WINDOWS,
    "isolation": _WINDOWS,
    "kernel-memory": _CGROUP_V1,
    "link-local-ip": "networks have no link-local addresses yet",
    "memory-swappiness": _CGROUP_V1,
    "oom-kill-disable": _CGROUP_V1,
    "runtime": "minirun is the runtime",
    "storage-opt": "the writable layer has no quota",
    "use-api-socket": _NO_ENGINE,
}
REFUSED: dict[str, dict[str, str]] = {
    "run": RUN,
    "create": RUN,
    "update": RUN,
    "exec": {"detach-keys": "the command itself carries the streams and ends with them; -d leaves a process behind"},
    "rm": {"link": "links are lines in the hosts file of who has them, and go with that container"},
    "start": dict.fromkeys(("checkpoint", "checkpoint-dir"), "containers are not checkpointed"),
    "logs": {"details": "the log driver keeps no attributes"},
    "network create": {
        **dict.fromkeys(("config-from", "config-only", "ingress", "scope"), "there is no swarm"),
        **dict.fromkeys(("ipam-driver", "ipam-opt"), "addresses are handed out by minirun itself, or by the driver"),
        "ipv4": "a network has IPv4 always; --ipv6 adds IPv6",
    },
    "network connect": {
        **dict.fromkeys(("driver-opt", "link-local-ip"), "endpoints have no options of their own"),
    },
    "network inspect": {"verbose": "there is no swarm"},
}


def reason(verb: str, flag: str) -> str:
    """Why `--flag` of that verb is refused; "" when nobody has heard of it."""
    if flag == "explain":
        return f"it stands before the verb: minirun --explain {verb}"
    return REFUSED.get(verb, {}).get(flag, "")
