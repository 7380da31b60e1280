"""Making, naming, signalling and replacing processes (clone(2), pidfd_open(2), execveat(2), fcntl_locking(2))."""

import fcntl
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from minirun.kernel import netlink_sockets
from minirun.kernel._sys import ffi, lib
from minirun.kernel.errno import check
from minirun.kernel.seam import kept_open, shell

STUB = Path(__file__).with_name("payload-stub")
SLEEPER = Path(__file__).with_name("sleeper")
_SLEEPER = "MINIRUN_SLEEPER_"
NEW_PID, NEW_UTS, NEW_IPC, NEW_MOUNTS = lib.CLONE_NEWPID, lib.CLONE_NEWUTS, lib.CLONE_NEWIPC, lib.CLONE_NEWNS
_ALL_BUT_MOUNTS = lib.CLONE_NEWUTS | lib.CLONE_NEWIPC | lib.CLONE_NEWNET | lib.CLONE_NEWCGROUP
_F_ADD_SEALS, _ALL_SEALS = 1033, 0x1 | 0x2 | 0x4 | 0x8


@shell("unshare --mount --pid --uts --ipc --fork  # in cgroup {cgroup}")
def clone_container(cgroup: Path | None, namespaces: int = NEW_PID | NEW_UTS | NEW_IPC) -> tuple[int, int]:
    """Fork into a new mount namespace and those of `namespaces`, born in `cgroup`: (pid, pidfd), and (0, -1) in the
    child.

    The caller must be single-threaded (see csrc/sys.c).
    """
    netlink_sockets.close_all()
    pidfd = ffi.new("int *")
    cgroup_fd = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if cgroup else -1
    try:
        pid = check(lib.sys_clone3(lib.CLONE_NEWNS | namespaces, pidfd, cgroup_fd))
    finally:
        if cgroup_fd >= 0:
            os.close(cgroup_fd)
    return (pid, pidfd[0]) if pid else (0, -1)


@shell("nsenter --target {pid} --pid --fork")
def clone_into(pid: int, pidfd: int) -> int:
    """Fork a sibling into the pid namespace of `pid`: see `clone_sibling`. The caller stays in its own."""
    check(lib.sys_setns(pidfd, lib.CLONE_NEWPID))
    return _sibling(0)


@shell("unshare --mount --pid --uts --ipc --fork  # as a child of the caller's parent")
def clone_sibling(namespaces: int) -> int:
    """Fork a process that has the caller's parent (CLONE_PARENT): its pid as the caller sees it, 0 in the sibling. The
    caller must be single-threaded (see csrc/sys.c)."""
    return _sibling(namespaces)


def _sibling(namespaces: int) -> int:
    netlink_sockets.close_all()
    pidfd = ffi.new("int *")
    made = check(lib.sys_clone3(lib.CLONE_PARENT | namespaces, pidfd, -1))
    if made:
        os.close(pidfd[0])
    return made


@shell("unshare --cgroup")
def unshare_cgroup() -> None:
    """From here on the own cgroup is the root of what /proc/self/cgroup shows (cgroup_namespaces(7))."""
    check(lib.sys_unshare(lib.CLONE_NEWCGROUP))


@shell("nsenter --net=/run/netns/{name}")
def join_netns(name: str) -> None:
    netlink_sockets.close_all()
    fd = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        check(lib.sys_setns(fd, lib.CLONE_NEWNET), name)
    finally:
        os.close(fd)


@shell("# setns(2): into the IPC namespace of another container")
def join_ipc_namespace(pidfd: int) -> None:
    check(lib.sys_setns(pidfd, lib.CLONE_NEWIPC))


@shell("choom -n {score} -p $$")
def oom_score_set(score: int) -> None:
    """Inherited by children (proc_pid_oom_score_adj(5)). To lower it takes CAP_SYS_RESOURCE."""
    Path("/proc/self/oom_score_adj").write_text(str(score))


@shell("nsenter --target {pid} --pid")
def join_pid_namespace(pid: int, pidfd: int) -> None:
    """Children made from now on are in the pid namespace of `pid`; the caller itself stays."""
    check(lib.sys_setns(pidfd, lib.CLONE_NEWPID))


def leave_pid_namespace() -> None:
    """Back to one's own, for children made later: else they would land in the container's."""
    fd = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        check(lib.sys_setns(fd, lib.CLONE_NEWPID))
    finally:
        os.close(fd)


@shell("nsenter --target {pid} --mount --uts --ipc --net --cgroup")
def join_namespaces(pid: int, pidfd: int) -> None:
    netlink_sockets.close_all()
    check(lib.sys_setns(pidfd, _ALL_BUT_MOUNTS | lib.CLONE_NEWNS))


@shell("nsenter --target {pid} --uts --ipc --net --cgroup")
def join_all_but_mounts(pid: int, pidfd: int) -> None:
    netlink_sockets.close_all()
    check(lib.sys_setns(pidfd, _ALL_BUT_MOUNTS))


def fork(child: Callable[[], int], rescue: Callable[[BaseException], None], group: Path | None = None) -> int:
    """Fork, into a v2 group or into the caller's; the child runs `child` and leaves with its result, never returning
    into the caller's stack."""
    netlink_sockets.close_all()
    return (fork_into(group) if group else os.fork()) or live(child, rescue)


@shell("sh -c 'echo $$ > {group}/cgroup.procs; exec ...' &")
def fork_into(group: Path) -> int:
    """Fork a process that is born in a v2 group: its pid, and 0 in the child, which goes on with `live`. One that moves
    itself waits until all threads of the host are out of fork and exit, 6 ms and more (clone(2), CLONE_INTO_CGROUP).
    The caller must be single-threaded (see csrc/sys.c)."""
    netlink_sockets.close_all()
    pidfd = ffi.new("int *")
    fd = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        pid = check(lib.sys_clone3(0, pidfd, fd))
    finally:
        os.close(fd)
    if pid:
        os.close(pidfd[0])
    return pid


def live(child: Callable[[], int], rescue: Callable[[BaseException], None]) -> NoReturn:
    """The life of a process that was just made."""
    code = 125
    try:
        code = child()
    except BaseException as error:  # noqa: BLE001 - a child that unwinds into its parent's code does the work twice
        rescue(error)
    finally:
        os._exit(code)


def fork_away() -> bool:
    """Fork a process that is nobody's child: True in the caller, False in the new one.

    By way of a child that ends at once. Whoever reaps orphans (pid 1, or a subreaper) will reap it.
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
def spawn_away(argv: list[str], fds: list[int], log: str) -> None:
    """Start a program as nobody's child, in an empty environment: it has `fds` as 3, 4 and so on, and no others."""
    if fork_away():
        return
    try:
        clear_signals()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in fds]
        null = os.open("/dev/null", os.O_RDWR)
        errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number, fd in enumerate([null, null, errors, *high]):
            os.dup2(fd, number)
        close_from(3 + len(fds))
        os.execve(argv[0], argv, {"PATH": os.defpath})
    finally:
        os._exit(127)


@shell("kill -{number} {pid}")
def signal_send(pidfd: int, number: int, pid: int) -> None:
    """By descriptor: the number cannot have been given to another process meanwhile. Gone already is fine."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass


def exists(pid: int) -> bool:
    """Whether any process has this number. Twenty times quicker than to ask which (`start_time`)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with the pid it names the process (proc_pid_stat(5))."""
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
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def sealed_stub() -> int:
    """The payload stub in a memfd that can no longer be written (memfd_create(2), F_SEAL_WRITE)."""
    memfd = os.memfd_create("minirun-stub", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(STUB, "rb") as source:
        size = os.fstat(source.fileno()).st_size
        while size > 0:
            size -= os.sendfile(memfd, source.fileno(), None, size)
    fcntl.fcntl(memfd, _F_ADD_SEALS, _ALL_SEALS)
    return memfd


def import_no_more() -> None:
    """Said by who goes into a container's root: paths lead into the image then, and nothing there is to be run."""
    for finders in (sys.meta_path, sys.path_hooks, sys.path):
        finders.clear()


def memory_file(name: str, data: bytes) -> int:
    """A file without a place (memfd_create(2)), to be read from its start."""
    memory = os.memfd_create(name)
    os.write(memory, data)
    os.lseek(memory, 0, os.SEEK_SET)
    return memory


def exec_sleeper(title: list[str], watched: Sequence[int], kept: Sequence[int], script: str) -> NoReturn:
    """Become csrc/sleeper.c: with these files open it waits until there is something to read in one that is watched,
    and then becomes a Python that runs `script`. `title` is what ps(1) shows. OSError when there is no such program."""
    for fd in kept:
        os.set_inheritable(fd, True)
    told = {"FILES": ",".join(map(str, watched)), "PYTHON": sys.executable, "SCRIPT": script}
    os.execve(SLEEPER, title, {**os.environ, **{_SLEEPER + name: text for name, text in told.items()}})


def left_sleeper() -> None:
    """In that Python: the environment as it was before."""
    for name in [name for name in os.environ if name.startswith(_SLEEPER)]:
        del os.environ[name]


@shell("exec {argv}")
def exec_payload(
    stub: int, program: str, argv: list[str], env: dict[str, str], error_fd: int, init: bool, profile: str
) -> NoReturn:
    """Become the payload by way of the stub, confined by that profile of AppArmor ("": by none). Bytes on `error_fd`
    are the errno of a failed execve."""
    os.set_inheritable(error_fd, True)
    words = ["minirun-init", str(error_fd), "1" if init else "0", profile, program, *argv]
    # The buffers must outlive the call; execveat keeps nothing of ours afterwards.
    argv_buffers = [ffi.new("char[]", os.fsencode(word)) for word in words]
    env_buffers = [ffi.new("char[]", os.fsencode(f"{key}={value}")) for key, value in env.items()]
    argv_array = ffi.new("char *[]", [*argv_buffers, ffi.NULL])
    env_array = ffi.new("char *[]", [*env_buffers, ffi.NULL])
    check(lib.sys_execveat(stub, b"", argv_array, env_array, lib.AT_EMPTY_PATH))
    raise AssertionError("execveat returned")


def close_from(first: int, keep: tuple[int, ...] = ()) -> None:
    """Close every descriptor from `first` up, but for those in `keep` (close_range(2))."""
    low = first
    for fd in sorted({fd for fd in (*keep, *kept_open()) if fd >= first}):
        if fd > low:
            lib.sys_close_range(low, fd - 1, 0)
        low = fd + 1
    check(lib.sys_close_range(low, 0xFFFFFFFF, 0))


def cloexec_from(first: int) -> None:
    check(lib.sys_close_range(first, 0xFFFFFFFF, lib.CLOSE_RANGE_CLOEXEC))


def clear_signals() -> None:
    check(lib.sys_clear_signals())


def join_session_keyring() -> None:
    """A keyring of its own; a kernel without keys (ENOSYS) or a sandbox that forbids them (EPERM) has none to share."""
    lib.sys_join_session_keyring()
