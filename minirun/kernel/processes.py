"""Processes: fork, namespaces, signals, execution (clone(2), setns(2), pidfd_open(2), execveat(2))."""

import fcntl
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import NoReturn

from minirun.kernel import netlink_sockets
from minirun.kernel.seam import kept_open, shell, succeed
from minirun.kernel.syscalls import check, ffi, lib

NEW_PID, NEW_UTS, NEW_IPC, NEW_MOUNTS = lib.CLONE_NEWPID, lib.CLONE_NEWUTS, lib.CLONE_NEWIPC, lib.CLONE_NEWNS
_NICE_END = 10  # as in csrc/sys.c
_OOM_SCORE = "/proc/self/oom_score_adj"


@shell("unshare --mount --pid --uts --ipc --fork  # in cgroup {cgroup}")
def clone_container(cgroup: Path | None, namespaces: int, tell: int) -> None:
    """Go on as a container's first process, in a new mount namespace and those of `namespaces` (CLONE_NEW*).

    It is born in `cgroup`. For the rest see `go_on_in`.
    """
    netlink_sockets.close_all()
    with _opened(cgroup) as group:
        _go_on(lib.CLONE_NEWNS | namespaces, group, tell)


@shell("unshare --mount --fork  # in cgroup {cgroup}")
def clone_with_mounts(cgroup: Path | None) -> tuple[int, int]:
    """Fork into a new mount namespace, in `cgroup` from the start.

    Returns (pid, pidfd), and (0, -1) in the child. The caller must be single-threaded (see csrc/sys.c).
    """
    netlink_sockets.close_all()
    pidfd = ffi.new("int *")
    with _opened(cgroup) as group:
        pid = check(lib.sys_clone3(lib.CLONE_NEWNS, pidfd, group))
    return (pid, pidfd[0]) if pid else (0, -1)


@shell("sh -c 'echo $$ > \"$0\"/cgroup.procs; exec ...' {cgroup} &")
def go_on_in_group(cgroup: Path, tell: int) -> None:
    """Go on as a new process, which is born in the v2 group `cgroup` (clone(2), CLONE_INTO_CGROUP).

    A process that moves itself waits until no thread of the host is in fork or exit, 6 ms and more. For the rest see
    `go_on_in`. The new process is born with a descriptor of the group open: nobody in a container may look into it.
    """
    netlink_sockets.close_all()
    with _opened(cgroup) as group:
        _go_on(0, group, tell)


@shell("nsenter --target {pid} --pid --fork")
def go_on_in(pid: int, pidfd: int, tell: int) -> None:
    """Go on as a new process, which is born in the pid namespace of `pid`, and is a child of this one's parent.

    Its pid, as this process's namespace shows it, is written to the descriptor `tell` (`read_pid`). This process waits
    in the kernel until the new one, which uses its memory, has executed a program or ended, and ends with code 0
    (vfork(2)). A fork of Python would take 10 ms to copy page tables and pages, and to be taken apart by execve(2).
    The caller must be single-threaded.
    """
    netlink_sockets.close_all()
    check(lib.sys_setns(pidfd, lib.CLONE_NEWPID))
    _go_on(0, -1, tell)


def _go_on(namespaces: int, group: int, tell: int) -> None:
    """The pid is told twice, by the new process, and by this one when that one has ended or executed a program: the new
    one may be killed before it tells, and then has to be reaped all the same."""
    new, predecessor = ffi.new("int *"), os.getpid()
    check(lib.sys_clone_and_leave(namespaces, group, tell, new))
    succeed(predecessor)
    os.write(tell, ffi.buffer(new)[:])


def read_pid(fd: int) -> int:
    """The pid of a process that a helper went on as; 0 at the end of the stream: there is none."""
    try:
        data = os.read(fd, ffi.sizeof("int"))
    except ConnectionError:
        data = b""
    return int.from_bytes(data, sys.byteorder)


@contextmanager
def _opened(cgroup: Path | None) -> Iterator[int]:
    """A descriptor of the group; -1 for none."""
    fd = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if cgroup else -1
    try:
        yield fd
    finally:
        if fd >= 0:
            os.close(fd)


@shell("unshare --mount --pid --uts --ipc --fork  # as a child of the caller's parent")
def clone_sibling(namespaces: int) -> int:
    """Fork a process that has the caller's parent (CLONE_PARENT).

    Returns its pid as the caller sees it, and 0 in the sibling. The caller must be single-threaded (see csrc/sys.c).
    """
    return _sibling(namespaces)


def _sibling(namespaces: int) -> int:
    netlink_sockets.close_all()
    pidfd = ffi.new("int *")
    made = check(lib.sys_clone3(lib.CLONE_PARENT | namespaces, pidfd, -1))
    if made:
        os.close(pidfd[0])
    return made


def oom_score_ensure(score: int) -> None:
    """Set this process's oom_score_adj if it has another one, which it has inherited from its caller.

    0, which nobody has to ask for, is left out where the process may not lower it (CAP_SYS_RESOURCE).
    """
    if int(Path(_OOM_SCORE).read_text()) != score:
        with suppress(PermissionError) if not score else nullcontext():
            oom_score_set(score)


@shell("choom -n {score} -p $$")
def oom_score_set(score: int) -> None:
    """Set this process's oom_score_adj, which children inherit (proc_pid_oom_score_adj(5)).

    Lowering it takes CAP_SYS_RESOURCE.
    """
    Path(_OOM_SCORE).write_text(str(score))


def fork(child: Callable[[], int], rescue: Callable[[BaseException], None]) -> int:
    """Fork. The child runs `child` and exits with its result; it never returns into the caller's stack. `rescue`
    reports an exception of `child`."""
    netlink_sockets.close_all()
    return os.fork() or live(child, rescue)


def live(child: Callable[[], int], rescue: Callable[[BaseException], None]) -> NoReturn:
    """Run `child` in a process that was just forked, and exit with its result."""
    code = 125
    try:
        code = child()
    except BaseException as error:  # noqa: BLE001 - a child that unwinds into its parent's code does the work twice
        rescue(error)
    finally:
        os._exit(code)


def fork_away() -> bool:
    """Fork twice, so that the new process is not the caller's child: pid 1 or a subreaper reaps it.

    Returns True in the caller, False in the new process.
    """
    netlink_sockets.close_all()
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return True
    if os.fork():
        os._exit(0)
    os.setsid()
    return False


@shell("setsid {argv} 2>>{log} &")
def spawn_away(
    argv: list[str], fds: list[int], log: str, program: str = "", environment: Mapping[str, str] | None = None
) -> int:
    """Start a program by `fork_away`, with `fds` as its descriptors from 3 up, and PATH and `environment` alone.

    `program`: its path, where argv[0] is a title. Returns its pid.
    """
    told, tells = os.pipe()
    if fork_away():
        os.close(tells)
        with open(told, "rb") as file:
            return int(file.read())
    try:
        os.write(tells, b"%d" % os.getpid())
        clear_signals()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in fds]
        null = os.open("/dev/null", os.O_RDWR)
        errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number, fd in enumerate([null, null, errors, *high]):
            os.dup2(fd, number)
        close_from(3 + len(fds))
        os.execve(program or argv[0], argv, {"PATH": os.defpath, **(environment or {})})
    finally:
        os._exit(127)


@shell("kill -{number} {pid}")
def signal_send(pidfd: int, number: int, pid: int) -> None:
    """Send a signal by pidfd: the pid may belong to another process by now. A process that is gone is fine."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass


@shell("kill -9 {pid}")
def process_kill(pid: int, seconds: float = 5.0) -> bool:
    """Kill the process that has this pid now, and wait for its end. Return whether it has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return wait_gone(pidfd, seconds)
    finally:
        os.close(pidfd)


def exists(pid: int) -> bool:
    """Return whether any process has this pid; 20 times quicker than `start_time`, which tells which one."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot, or None; with the pid it identifies it (proc_pid_stat(5))."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def open_process(pid: int, started: int) -> int | None:
    """A pidfd for the process that has this pid *and* this start time, or None when it is gone."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if start_time(pid) == started:
        return pidfd
    os.close(pidfd)
    return None


def wait_gone(pidfd: int, seconds: float | None) -> bool:
    """Wait until the process of a pidfd has ended; False when it still lives after `seconds`."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(None if seconds is None else max(0, int(seconds * 1000))))


def boot_id() -> str:
    """An id that changes with each boot (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def end_nicely() -> None:
    """Let others run first from now on: for a process that only has to end, which takes the kernel 2 ms.

    It would keep whom it has just woken from the processor, even while another one is idle.
    """
    os.setpriority(os.PRIO_PROCESS, 0, max(_NICE_END, os.getpriority(os.PRIO_PROCESS, 0)))


def wake_elsewhere(pid: int) -> None:
    """Have a process that waits for this one be woken on another processor. It has to set its affinity again then.

    The kernel prefers the waker's processor (sched(7)), where the two take turns while another one is idle.
    """
    allowed = os.sched_getaffinity(0)
    others = allowed - {_processor()}
    if others:
        os.sched_setaffinity(pid, others)


def _processor() -> int:
    """The one that this process runs on (getcpu(2))."""
    return int(lib.sys_processor())


def close_from(first: int, keep: tuple[int, ...] = ()) -> None:
    """Close every descriptor from `first` up except those in `keep` (close_range(2))."""
    low = first
    for fd in sorted({fd for fd in (*keep, *kept_open()) if fd >= first}):
        if fd > low:
            lib.sys_close_range(low, fd - 1, 0)
        low = fd + 1
    check(lib.sys_close_range(low, 0xFFFFFFFF, 0))


def cloexec_from(first: int) -> None:
    """Set close-on-exec on every descriptor from `first` up (close_range(2))."""
    check(lib.sys_close_range(first, 0xFFFFFFFF, lib.CLOSE_RANGE_CLOEXEC))


def clear_signals() -> None:
    """Unblock all signals and restore their default actions."""
    check(lib.sys_clear_signals())


def join_session_keyring() -> None:
    """Give this process a session keyring of its own.

    Failure is fine: a kernel without keys (ENOSYS), or a sandbox that forbids them (EPERM), has none to share.
    """
    lib.sys_join_session_keyring()
