"""The process and what it may do: --ulimit, --sysctl, --device, --cap-*, --security-opt, --pid, --userns ..."""

import os
import re
import stat
from collections.abc import Iterable
from typing import Any

from minirun.errors import MinirunError, describe
from minirun.kernel.credentials import NAMES, RESOURCES
from minirun.model import UNCONFINED, Device, Mode, Security
from minirun.options import invalid_argument, option_error
from minirun.security.seccomp_cache import check
from minirun.security.seccomp_profile import LARGEST

_ULIMIT = re.compile(r"([a-z]+)=(-1|[0-9]{1,19})(?::(-1|[0-9]{1,19}))?\Z")
_SYSCTL = re.compile(r"[a-z0-9_][a-z0-9_.:/-]*\Z", re.IGNORECASE)
# Those that belong to a namespace (ipc_namespaces(7), network_namespaces(7)).
_IPC_SYSCTLS = (
    *("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax"),
    *("kernel.shmmni", "kernel.shm_rmid_forced"),
)
_DEVICE_RULE = re.compile(r"[abc] (?:[0-9]{1,9}|\*):(?:[0-9]{1,9}|\*) ([rwm]{1,3})\Z")
_PROFILE = re.compile(r"[^\s\0]{1,255}\Z")  # as the kernel lists them, one a line
_RANGE = re.compile(r"([0-9]{1,10})(?::([0-9]{1,10}))?\Z")
_IDS = 0xFFFFFFFF  # the last one means "no change" (setreuid(2))
_SHARED = re.compile(r"container:(.+)\Z")


def parse_ulimits(texts: Iterable[str]) -> tuple[tuple[str, int, int], ...]:
    """Parse every `NAME=SOFT[:HARD]` of --ulimit. Return (name, soft, hard); -1 is no limit (setrlimit(2))."""
    ulimits: dict[str, tuple[str, int, int]] = {}
    for text in texts:
        match = _ULIMIT.match(text)
        if not match:
            raise invalid_argument(text, "ulimit", f"invalid ulimit argument: {text}", "NAME=SOFT or NAME=SOFT:HARD")
        name, soft = match[1], int(match[2])
        hard = int(match[3]) if match[3] is not None else soft
        if name not in RESOURCES:
            raise invalid_argument(
                text, "ulimit", f"invalid ulimit type: {name}", "one of " + ", ".join(sorted(RESOURCES))
            )
        if hard != -1 and (soft == -1 or soft > hard):
            raise invalid_argument(
                text, "ulimit", f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
            )
        ulimits[name] = (name, soft, hard)
    return tuple(ulimits.values())


def parse_sysctls(texts: Iterable[str], network: Mode, ipc: str) -> tuple[tuple[str, str], ...]:
    """Parse every `KEY=VALUE` of --sysctl. Only those of a namespace that the container does not share are allowed."""
    sysctls = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip().replace("/", ".")
        if not equals or not _SYSCTL.match(key) or ".." in key:
            raise invalid_argument(text, "sysctl", f"sysctl '{text}' is not allowed", "NAME=VALUE")
        in_network = key.startswith("net.")
        in_ipc = key in _IPC_SYSCTLS or key.startswith("fs.mqueue.")
        if not in_network and not in_ipc:
            raise invalid_argument(
                text, "sysctl", f"sysctl '{text}' is not allowed", "only net.*, fs.mqueue.* and those of SysV IPC"
            )
        if in_network and network in (Mode.HOST, Mode.CONTAINER):
            raise option_error(
                f"sysctl '{key}' is not allowed in {network} network mode: the container does not own the namespace"
            )
        if in_ipc and (ipc == "host" or ipc.startswith("container:")):
            raise option_error(
                f"sysctl '{key}' is not allowed with --ipc={ipc}: the container does not own the namespace"
            )
        sysctls[key] = value
    return tuple(sysctls.items())


def parse_devices(texts: Iterable[str]) -> tuple[Device, ...]:
    """Parse every `HOST[:CONTAINER[:ACCESS]]` of --device; ACCESS is letters of rwm (read, write, mknod)."""
    return tuple(_device(text) for text in texts)


def _device(text: str) -> Device:
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise invalid_argument(text, "device", f"invalid device specification: {text}")
    if len(parts) == 2 and _is_access(parts[1]):
        parts.insert(1, parts[0])
    source = parts[0]
    target = parts[1] if len(parts) > 1 and parts[1] else source
    access = parts[2] if len(parts) > 2 else "rwm"
    if not _is_access(access):
        raise invalid_argument(text, "device", f"bad mode specified: {access}", "letters of rwm")
    for path in (source, target):
        if not path.startswith("/"):
            raise invalid_argument(text, "device", f"{path} is not an absolute path")
    try:
        mode = os.stat(source).st_mode
    except OSError as error:
        raise option_error(
            f'error gathering device information while adding custom device "{source}": {error.strerror}'
        ) from None
    if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISDIR(mode)):
        raise option_error(
            f'error gathering device information while adding custom device "{source}": not a device node'
        )
    target = os.path.normpath(target)
    if target == "/":
        raise invalid_argument(text, "device", "the path of a device in the container cannot be /")
    return Device(source, target, access)


def parse_device_rules(texts: Iterable[str]) -> tuple[str, ...]:
    """Check every `TYPE MAJOR:MINOR ACCESS` of --device-cgroup-rule; TYPE is a, b or c, and * is any number."""
    for text in texts:
        match = _DEVICE_RULE.match(text)
        if not match or not _is_access(match[1]):
            raise option_error(f"invalid device cgroup format '{text}'", "such as 'c 188:* rwm'")
    return tuple(texts)


def _is_access(text: str) -> bool:
    return 0 < len(text) <= 3 and len(set(text)) == len(text) and set(text) <= set("rwm")


def parse_security(add: Iterable[str], drop: Iterable[str], options: Iterable[str], privileged: bool) -> Security:
    """Parse --cap-add, --cap-drop, --security-opt and --privileged."""
    settings: dict[str, Any] = {"no_new_privileges": False, "unmasked": privileged, "seccomp": "", "apparmor": ""}
    given = []
    for text in options:
        _security_option(text, settings)
        if text.startswith("seccomp"):
            given.append("seccomp" if settings["seccomp"] else text)
        elif not text.startswith("systempaths"):  # Docker's client turns it into MaskedPaths and ReadonlyPaths
            given.append(text)
    return Security(
        tuple(dict.fromkeys(_capability(text, "cap-add") for text in add)),
        tuple(dict.fromkeys(_capability(text, "cap-drop") for text in drop)),
        privileged,
        settings["no_new_privileges"],
        settings["unmasked"],
        settings["seccomp"],
        settings["apparmor"],
        tuple(given),
    )


def _security_option(text: str, settings: dict[str, Any]) -> None:
    name, separator, value = text.partition("=")
    if not separator:
        name, separator, value = text.partition(":")
    if name == "no-new-privileges" and value in ("", "true", "false"):
        settings["no_new_privileges"] = value != "false"
    elif (name, value) == ("systempaths", UNCONFINED):
        settings["unmasked"] = True
    elif name == "seccomp":
        settings["seccomp"] = _seccomp(value)
    elif name == "apparmor" and _PROFILE.match(value):
        settings["apparmor"] = value
    elif (name, value) == ("label", "disable"):
        pass  # always so: minirun does not use SELinux
    elif name in ("label", "writable-cgroups"):
        raise option_error(f"--security-opt {text}: {name} is not supported")
    else:
        raise option_error(
            f"invalid --security-opt {text!r}",
            "no-new-privileges, seccomp=FILE, seccomp=unconfined, apparmor=NAME, systempaths=unconfined",
        )


def _seccomp(value: str) -> str:
    """Return the profile's text: its file may change or disappear before the container starts again."""
    if value in (UNCONFINED, "builtin", "default"):
        return UNCONFINED if value == UNCONFINED else ""
    try:
        with open(os.open(value, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), encoding="utf-8") as file:
            text = file.read(LARGEST + 1)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise option_error(f"opening seccomp profile ({value}) failed: {describe(error)}") from None
    try:
        check(text)
    except MinirunError as error:
        raise option_error(f"--security-opt seccomp={value}: {error.message}", error.hint) from None
    return text


def _capability(text: str, flag: str) -> str:
    name = text.lower().removeprefix("cap_")
    if name != "all" and name not in NAMES:
        what = "CapAdd" if flag == "cap-add" else "CapDrop"
        raise option_error(f'invalid {what}: unknown capability: "CAP_{name.upper()}"', "capabilities(7) lists them")
    return name


def parse_namespace(text: str, flag: str, allowed: tuple[str, ...]) -> str:
    """Check the argument of --`flag`: one of `allowed`, or container:NAME if that contains `container`."""
    shared = _SHARED.match(text)
    if text in allowed or (shared and "container" in allowed):
        return text
    what = {"pid": "PID", "ipc": "IPC", "uts": "UTS", "cgroupns": "CGROUP"}[flag]
    raise option_error(f"--{flag}: invalid {what} mode", "one of " + ", ".join(word for word in allowed if word))


def parse_userns(text: str) -> str:
    """Parse --userns: host, auto, container:NAME, or FIRST[:COUNT], a range of host ids. Return "" for host."""
    if text in ("host", "auto") or _SHARED.match(text):
        return "" if text == "host" else text
    match = _RANGE.match(text)
    if not match:
        raise option_error(
            f"--userns: invalid USER mode: {text}", "host, auto, FIRST:COUNT (100000:65536), container:NAME"
        )
    first, count = int(match[1]), int(match[2] or "65536")
    if first == 0:
        raise option_error(
            f"--userns={text}: root in the container would be root on the host",
            "a range of ids that starts at 1 or higher",
        )
    if count == 0 or first + count > _IDS:
        raise option_error(f"--userns={text}: ids must be between 1 and {_IDS - 1}")
    return f"{first}:{count}"


def check_oom_score(number: int) -> int:
    """Check --oom-score-adj and return it (proc_pid_oom_score_adj(5))."""
    if not -1000 <= number <= 1000:
        raise option_error(f"Invalid value {number}, range for oom score adj is [-1000, 1000]")
    return number
