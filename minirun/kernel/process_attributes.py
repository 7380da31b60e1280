"""What a process inherits from its parent, as a table: what a process copies from another, and what must be the same.

A worker of the fork server was forked from the server, not from the shell that typed the command. It becomes what the
shell's child would have been. Each attribute is copied, or it must equal the server's. (credentials(7), fork(2),
execve(2), proc_pid_status(5).)

What is not here: open files, directories, signals and the environment (forkserver/inheritance.py has them from the
request); namespaces (`namespaces.differing`); attributes that /proc does not show (csrc/launcher.c executes plain
Python when one of them is set). Terminal, session and process group cannot be taken over: the launcher stays in them.
"""

import os
import resource
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import prctl

from minirun.kernel.credentials import RESOURCES
from minirun.kernel.syscalls import check, lib

_IOPRIO_WHO_PROCESS = 1
_LARGEST = 1 << 16  # bytes of a file of /proc


class DiffersError(Exception):
    """An attribute cannot be copied and is not what the server has."""


class LowLimitError(DiffersError):
    """A hard limit is lower than that of the other process, and may not be raised."""


@dataclass(frozen=True)
class Attribute:
    """read: its value, for a pid and what /proc/PID/status says
    write: sets it for the caller; None: it has to be the same already
    """

    name: str
    read: Callable[[int, dict[str, str]], Any]
    write: Callable[[Any], None] | None = None


def own_attributes() -> dict[str, Any]:
    """The attributes of this process, by name."""
    own, status = os.getpid(), _status(os.getpid())
    return {attribute.name: attribute.read(own, status) for attribute in ATTRIBUTES}


def copy_attributes(pid: int, ours: dict[str, Any]) -> None:
    """Make this process's attributes, which were `ours`, those of `pid`; not its limits.

    DiffersError or OSError: it is not possible.
    """
    status = _status(pid)
    for attribute in ATTRIBUTES:
        wanted = attribute.read(pid, status)
        if wanted == ours[attribute.name]:
            continue
        if attribute.write is None:
            raise DiffersError(f"{attribute.name} differs")
        try:
            attribute.write(wanted)
        except OSError as error:
            raise DiffersError(f"{attribute.name} cannot be set: {error.strerror}") from error


def leave_v1_cgroups(ours: dict[str, Any]) -> None:
    """Go back to the v1 cgroups that this process was in when its attributes were `ours`. DiffersError, OSError: no."""
    groups = ours["the v1 cgroups"]
    if groups != _v1_cgroups(os.getpid(), {}):
        _enter_v1_cgroups(groups)


class ProcessName:
    """The command line and the name that ps(1) shows for this process (proc_pid_cmdline(5), proc_pid_comm(5)).

    As setproctitle does, it writes over the words with which the program was started: no longer ones fit.
    """

    def __init__(self) -> None:
        fields = _read("/proc/self/stat").rpartition(b")")[2].split()
        self._start, self._end = int(fields[45]), int(fields[46])
        self._memory = os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)

    def take(self, words: list[bytes], name: str = "") -> None:
        """Show `words`, and `name` or the last part of the third one, the script, as the name. Once."""
        size = self._end - self._start
        line = b"\0".join(words)[: size - 1].ljust(size, b"\0")
        os.pwrite(self._memory, line, self._start)
        os.close(self._memory)
        prctl.set_name(name or os.path.basename(os.fsdecode(words[2])))


def leave_cgroups() -> None:
    """Move this process to the top of all cgroup hierarchies, so that the group that it was started in can end."""
    tops = _hierarchies()
    for controllers, path in _cgroups(os.getpid(), {}).items():
        if path != "/" and not path.startswith("/..") and controllers in tops:  # /..: outside of what is seen from here
            with suppress(OSError):  # it may not: then it stays
                (tops[controllers] / ("tasks" if controllers else "cgroup.procs")).write_text("0")


def inherit_orphans() -> None:
    """Be the parent of what this process's descendants leave, in place of pid 1, which reaps nothing in some containers
    (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    prctl.set_child_subreaper(True)


def open_v2_cgroup(pid: int) -> int | None:
    """A descriptor through which processes are moved to the v2 cgroup of `pid`; None when this process is in it.

    It is not entered here: that waits 6 to 20 ms for all processors (percpu_down_write), longer than most commands.
    A process that is made in the group does not wait, but has not been prepared. DiffersError, OSError: there is none.
    """
    path = _cgroups(pid, {}).get("", "/")
    if path == _cgroups(os.getpid(), {}).get("", "/"):
        return None
    return os.open(_group(_hierarchies(), "", path) / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)


def limits(pid: int) -> dict[int, tuple[int, int]]:
    """The resource limits of a process, (soft, hard) by number (prlimit(2))."""
    return {number: resource.prlimit(pid, number) for number in RESOURCES.values()}


def raise_limits(wanted: dict[int, tuple[int, int]]) -> None:
    """Raise the hard limits of this process that are lower. LowLimitError when one may not be (CAP_SYS_RESOURCE)."""
    for number, (_, hard) in wanted.items():
        own = resource.getrlimit(number)[1]
        if own != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or hard > own):
            try:
                resource.setrlimit(number, (hard, hard))
            except (OSError, ValueError) as error:
                raise LowLimitError(f"resource limit {number} cannot be raised") from error


def set_limits(wanted: dict[int, tuple[int, int]]) -> None:
    """Set the limits of this process that differ. DiffersError when one may not be raised."""
    for number, values in wanted.items():
        if resource.getrlimit(number) != values:
            try:
                resource.setrlimit(number, values)
            except (OSError, ValueError) as error:
                raise DiffersError(f"resource limit {number} cannot be set: {error}") from error


def _status(pid: int) -> dict[str, str]:
    lines = _read(f"/proc/{pid}/status").decode(errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _read(path: str) -> bytes:
    """A file of /proc, with a third of the system calls that open() makes."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _LARGEST)
    finally:
        os.close(fd)


def _line(name: str, pid: int, status: dict[str, str]) -> str:
    return status.get(name, "")


def _has_children_beside(pid: int, status: dict[str, str]) -> bool:
    """Whether children are born into the pid namespace of their parent: after unshare(CLONE_NEWPID) they are not."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{pid}/ns/pid_for_children")
    except FileNotFoundError:  # that namespace has no process yet
        return False


def _no_filters(pid: int, status: dict[str, str]) -> object:
    """Two filters of seccomp cannot be compared, so a process that has any equals no other."""
    return True if status.get("Seccomp", "0") == "0" else object()


def _file(name: str, pid: int, status: dict[str, str]) -> bytes:
    """A file of /proc/PID; empty where the kernel has no such attribute."""
    try:
        return _read(f"/proc/{pid}/{name}")
    except OSError:
        return b""


def _write_file(name: str, value: bytes) -> None:
    Path(f"/proc/self/{name}").write_bytes(value.strip(b"\0"))


def _cgroups(pid: int, status: dict[str, str]) -> dict[str, str]:
    """The path in each hierarchy, by its controllers or name; "" is the v2 hierarchy (cgroups(7))."""
    lines = os.fsdecode(_read(f"/proc/{pid}/cgroup")).splitlines()
    return {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}


def _v1_cgroups(pid: int, status: dict[str, str]) -> dict[str, str]:
    return {controllers: path for controllers, path in _cgroups(pid, status).items() if controllers}


def _enter_v1_cgroups(wanted: dict[str, str]) -> None:
    ours, tops = _cgroups(os.getpid(), {}), _hierarchies()
    for controllers, path in wanted.items():
        if path != ours.get(controllers):
            # A thread that moves itself so does not take the lock that makes cgroup.procs slow.
            (_group(tops, controllers, path) / "tasks").write_text("0")


def _group(tops: dict[str, Path], controllers: str, path: str) -> Path:
    if controllers not in tops or path.startswith("/.."):
        raise DiffersError(f"the cgroup hierarchy {controllers or 'v2'} is not mounted")
    return tops[controllers] / path.lstrip("/")


def _hierarchies() -> dict[str, Path]:
    """Where each hierarchy is mounted, by its controllers or name as in /proc/PID/cgroup."""
    tops: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        root, place = words[3:5]
        kind, _, options = words[words.index("-") + 1 :][:3]
        if root != "/":
            continue
        if kind == "cgroup2":
            tops.setdefault("", Path(place))
        elif kind == "cgroup":
            names = [option for option in options.split(",") if option not in ("rw", "ro", "xattr", "clone_children")]
            tops.setdefault(",".join(names), Path(place))
    return tops


def _scheduling(pid: int, status: dict[str, str]) -> tuple[int, int]:
    return os.sched_getscheduler(pid), os.sched_getparam(pid).sched_priority


def _set_scheduling(value: tuple[int, int]) -> None:
    policy, priority = value
    os.sched_setscheduler(0, policy, os.sched_param(priority))


def _set_umask(value: int) -> None:
    os.umask(value)


def _ioprio(pid: int, status: dict[str, str]) -> int:
    return check(lib.sys_ioprio_get(_IOPRIO_WHO_PROCESS, pid))


def _set_ioprio(value: int) -> None:
    check(lib.sys_ioprio_set(_IOPRIO_WHO_PROCESS, 0, value))


ATTRIBUTES = (
    Attribute("the user namespace", lambda pid, _: os.readlink(f"/proc/{pid}/ns/user")),
    Attribute("the pid namespace of its children", _has_children_beside),
    *(
        Attribute(f"{name} of /proc/PID/status", partial(_line, name))
        for name in ("Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
    ),
    Attribute("seccomp", _no_filters),
    Attribute("Speculation_Store_Bypass", partial(_line, "Speculation_Store_Bypass")),
    Attribute("SpeculationIndirectBranch", partial(_line, "SpeculationIndirectBranch")),
    Attribute("the label of the security module", partial(_file, "attr/current")),
    Attribute("the personality", partial(_file, "personality")),
    Attribute(
        "the supplementary groups",
        lambda _, status: sorted(map(int, status["Groups"].split())),
        os.setgroups,
    ),
    Attribute("the audit user", partial(_file, "loginuid"), partial(_write_file, "loginuid")),
    Attribute("the umask", lambda _, status: int(status["Umask"], 8), _set_umask),
    Attribute("the v1 cgroups", _v1_cgroups, _enter_v1_cgroups),
    Attribute(
        "the CPU affinity", lambda pid, _: os.sched_getaffinity(pid), lambda value: os.sched_setaffinity(0, value)
    ),
    Attribute("the scheduling policy", _scheduling, _set_scheduling),
    Attribute(
        "the nice value",
        lambda pid, _: os.getpriority(os.PRIO_PROCESS, pid),
        lambda value: os.setpriority(os.PRIO_PROCESS, 0, value),
    ),
    Attribute("the I/O priority", _ioprio, _set_ioprio),
    Attribute("the timer slack", partial(_file, "timerslack_ns"), lambda value: prctl.set_timerslack(int(value))),
    Attribute("the OOM score adjustment", partial(_file, "oom_score_adj"), partial(_write_file, "oom_score_adj")),
    Attribute(
        "the core dump filter",
        partial(_file, "coredump_filter"),
        lambda value: _write_file("coredump_filter", b"0x" + value),
    ),
)
