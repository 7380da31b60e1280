"""The server's process: accepts launchers, forks a worker for each, and reports how the workers end.

    minirun-forkserver SOCKET

A launcher starts it, with the lock as descriptor 3 and the socket as 4; or systemd does, with the socket as descriptor
3 (sd_listen_fds(3), packaging/minirun-forkserver.socket). That socket stays where it is when the server ends: the next
launcher has systemd start the next server.

A launcher that connects while the server imports its code waits for it.
"""

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import resource
import select
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import minirun
from minirun.forkserver import request as messages
from minirun.forkserver.ahead import Helper
from minirun.forkserver.request import receive_start, send_reply
from minirun.forkserver.worker import Main, Worker
from minirun.kernel import processes
from minirun.kernel.memory import UsedPages, use_huge_pages
from minirun.kernel.process_attributes import ProcessName, inherit_orphans, leave_cgroups

# Rooms that commands don't need: together 10 MB. The API's service, which one command becomes, imports its own.
_OTHERS = ("minirun.__main__", "minirun.api", "minirun.testing")
_LOCK, _LISTENER, _SYSTEMDS = 3, 4, 3  # descriptors
_CREDENTIALS = struct.Struct("3i")  # struct ucred
_STAMP = struct.Struct("=5Q")
_MANY_FILES = 65536
_DELAY = 0.1  # seconds
_GRACE = 2.0  # seconds that a worker gets for its own end after its launcher's


class Server:
    """It forks a worker before the next launcher comes, and knows the connection of each worker's launcher."""

    def __init__(
        self,
        listener: socket.socket,
        main: Main,
        helper: Helper,
        rehearse: Callable[[], bool],
        idle_time: float,
        is_systemds: bool = False,
    ) -> None:
        """main: runs a command line
        helper: what is forked ahead for it
        rehearse: makes the commands that follow faster, a little at each call; returns whether there is more to do
        idle_time: seconds without a command after which it ends
        is_systemds: systemd listens at the socket, too"""
        self._listener = listener
        self._main = main
        self._helper = helper
        self._rehearse = rehearse
        self._is_rehearsing = True
        self._is_systemds = is_systemds
        self._idle_time = idle_time
        self._waiting = 0  # pid of the worker that waits for the next launcher
        self._launchers: dict[int, socket.socket] = {}  # by the worker's pid
        self._orphans: dict[int, float] = {}  # workers whose launcher has ended, and when they are killed
        self._poll = select.poll()
        self._reports, self._report_here = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._wakeup, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._end_of_server, self._held_by_server = os.pipe2(os.O_CLOEXEC)
        self._quiet, self._tell_quiet = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._has_told_quiet = False
        self._quiet_from = 0.0  # when a worker is prepared also while commands run, on the monotonic clock
        self._started = time.time()
        self._used = time.monotonic()
        self._is_ending = False
        self._commands = 0
        self._pages = UsedPages()
        self._helper_pages = UsedPages()

    def serve(self) -> None:
        """Serve until it is idle or told to end; then until the last worker has ended."""
        self._reports.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self.end())
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._poll.register(self._wakeup, select.POLLIN)
        self._poll.register(self._reports, select.POLLIN)
        self._poll.register(self._listener, 0)
        while not (self._is_ending and not self._launchers):
            if self._is_rehearsing and not self._is_busy():
                self._is_rehearsing = self._rehearse()
                _settle_memory(is_final=not self._is_rehearsing)
            if not self._waiting and not self._is_ending and self._wants_worker():
                self._waiting = processes.fork(self._wait_for_launcher, traceback.print_exception)
            if self._waiting and not self._has_told_quiet and self._is_quiet():
                self._has_told_quiet = True
                with contextlib.suppress(BlockingIOError):  # full of what launchers came before
                    os.write(self._tell_quiet, b"q")
            if not self._is_ending:  # launchers are for the worker that waits
                self._poll.modify(self._listener, 0 if self._waiting else select.POLLIN)
            ready = self._poll.poll(self._patience())
            _drain(self._wakeup)
            self._find_orphans({fd for fd, _ in ready})
            self._read_reports()
            self._reap()
            self._kill_orphans()
            if not ready and not self._launchers and time.monotonic() - self._used >= self._idle_time:
                self.end()

    def _is_quiet(self) -> bool:
        """Whether there is time for the next command: one that has just begun needs the processors first."""
        return not self._launchers or time.monotonic() >= self._quiet_from

    def _wants_worker(self) -> bool:
        """Whether it is time to fork one; while it rehearses, only for a launcher that waits."""
        return self._has_launcher() or (self._is_quiet() and not self._is_rehearsing)

    def _is_busy(self) -> bool:
        """Whether there is something else to do than to rehearse."""
        is_wanted = self._is_ending or self._waiting or self._has_launcher() or self._poll.poll(0)
        return bool(is_wanted) or not self._is_quiet()

    def _has_launcher(self) -> bool:
        """Whether one waits already."""
        return bool(select.select([self._listener], [], [], 0)[0])

    def end(self) -> None:
        """Take no more commands: the next launcher finds no socket and may start a new server at once."""
        if self._is_ending:
            return
        self._is_ending = True
        for path, inode in self.files_to_remove.items():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == inode:  # else it is another server's
                    path.unlink()
        self._poll.unregister(self._listener)
        self._listener.close()
        os.close(self._held_by_server)
        if self._is_systemds:
            # Launchers that come now wait until systemd starts the next server, and it does when this one has ended.
            # The workers go on; their launchers notice by themselves when one ends.
            os._exit(0)
        os.close(_LOCK)

    files_to_remove: Mapping[Path, int] = MappingProxyType({})  # with their inodes

    def _patience(self) -> float | None:
        """Milliseconds until it may be idle, has to prepare a worker, or has an orphan to kill."""
        if self._is_rehearsing and not self._is_busy():
            return 0.0
        times = list(self._orphans.values())
        if not self._is_ending:
            times += [] if self._has_told_quiet else [self._quiet_from]
            times += [] if self._launchers else [self._used + self._idle_time]
        return max(0.0, (min(times) - time.monotonic()) * 1000) + 1 if times else None

    def _wait_for_launcher(self) -> int:
        """In the worker."""
        os.close(self._held_by_server)
        self._reports.close()
        for launcher in self._launchers.values():  # of other commands, which wait for their end
            launcher.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        worker = Worker(self._main, self._pages, self._report_here)
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._end_of_server, select.POLLIN)
        poll.register(self._quiet, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._end_of_server in ready:
                return 0
            if self._listener.fileno() not in ready:  # now there is time to prepare
                _drain(self._quiet)
                poll.unregister(self._quiet)
                worker.fork_ahead(self._helper, self._helper_pages)
                self._pages.copy(stops=lambda: bool(poll.poll(0)))
                continue
            try:
                channel, _ = self._listener.accept()
            except OSError:
                continue
            pid, user, _ = _CREDENTIALS.unpack(
                channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            )
            if user == 0 and pid != 0:  # pid 0: a process that cannot be seen from here
                break
            channel.close()
        socket.send_fds(self._report_here, [messages.TAKEN % os.getpid()], [channel.fileno()])
        self._listener.close()
        channel.settimeout(messages.TIMEOUT)
        try:
            start, fds = receive_start(channel)
        except (messages.RequestError, OSError):
            return 0
        if start in (messages.STOP, messages.STATUS):
            self._report_here.send(messages.ASKED % (os.getpid(), start))
        else:
            worker.serve(channel, start, fds, pid)
        return 0

    def _read_reports(self) -> None:
        while True:
            try:
                report, fds, _, _ = socket.recv_fds(self._reports, 64, 1)
            except BlockingIOError:
                return
            kind, pid, other = report.split()
            worker = int(pid)
            if kind == b"taken":
                self._commands += 1
                self._launchers[worker] = socket.socket(fileno=fds[0])
                self._poll.register(fds[0], 0)  # its hangup alone
                if worker == self._waiting:
                    self._waiting, self._has_told_quiet = 0, False
                    self._quiet_from = time.monotonic() + _DELAY
            elif kind == b"asked":
                self._answer(self._forget(worker), other)
            else:
                self._launchers[int(other)] = self._launchers.pop(worker)
                if worker in self._orphans:
                    self._orphans[int(other)] = self._orphans.pop(worker)

    def _answer(self, asker: socket.socket, question: bytes) -> None:
        """Do what was asked for in place of a command (control.py)."""
        self._commands -= 1
        with asker, contextlib.suppress(OSError):
            if question == messages.STOP:
                self.end()
            else:
                asker.send(self._status())
            asker.shutdown(socket.SHUT_RDWR)  # the worker that waits may have a copy of it

    def _status(self) -> bytes:
        """The fields of control.ServerStatus."""
        status = {
            "pid": os.getpid(),
            "commands": self._commands,
            "running": len(self._launchers),
            "started": self._started,
            "idle": 0.0 if self._launchers else time.monotonic() - self._used,
        }
        return json.dumps(status).encode()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._read_reports()  # what it told before its end
            self._ended(pid, status)

    def _find_orphans(self, ready: set[int]) -> None:
        """A launcher has ended before its worker, to which the kernel has sent SIGHUP (worker.py, _end_with)."""
        for pid, launcher in self._launchers.items():
            if launcher.fileno() in ready:
                self._poll.unregister(launcher)
                self._orphans[pid] = time.monotonic() + _GRACE

    def _kill_orphans(self) -> None:
        """Some pass a SIGHUP on to their container, which ignores it; or ignore it themselves, as under nohup."""
        for pid, until in self._orphans.items():
            if until <= time.monotonic():
                os.kill(pid, signal.SIGKILL)  # which is waited for here, so nobody else has this pid

    def _forget(self, worker: int) -> socket.socket:
        """The connection of a worker's launcher, which is nobody's from now on."""
        launcher = self._launchers.pop(worker)
        if self._orphans.pop(worker, None) is None:
            self._poll.unregister(launcher)
        return launcher

    def _ended(self, pid: int, status: int) -> None:
        """A worker; or one that has no launcher any more, or what a worker has left (`inherit_orphans`)."""
        launcher = self._launchers.get(pid)
        if os.WIFSTOPPED(status):
            if launcher:
                send_reply(launcher, messages.STOPPED, os.WSTOPSIG(status))
            elif pid == self._waiting:
                os.kill(pid, signal.SIGKILL)  # launchers would wait for it
        elif launcher:
            send_reply(launcher, messages.ENDED, status)
            self._forget(pid).close()
            self._used = time.monotonic()
        elif pid == self._waiting:
            self._waiting = 0


def serve_commands(
    path: Path,
    main: Main,
    prepare: Callable[[], None],
    helper: Helper,
    rehearse: Callable[[], bool],
    idle_time: float,
) -> None:
    """Be the server that listens at `path`, in the descriptor from systemd if there is one.

    prepare: makes once what each command needs; for the others see `Server`
    """
    ProcessName().take([os.fsencode(word) for word in (sys.executable, "-IS", f"{sys.argv[0]}-forkserver", str(path))])
    is_systemds = _has_socket_of_systemd(path)
    if not is_systemds:
        leave_cgroups()
    gc.disable()
    _import_everything()
    prepare()
    gc.enable()
    os.chdir("/")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _MANY_FILES), hard))
    code = path.with_suffix(".code")
    _write_whole(code, code_stamps(_age()))
    inherit_orphans()
    listener = socket.socket(fileno=_SYSTEMDS if is_systemds else _LISTENER)
    listener.set_inheritable(False)
    server = Server(listener, main, helper, rehearse, idle_time, is_systemds)
    server.files_to_remove = {name: name.stat().st_ino for name in ([code] if is_systemds else [path, code])}
    gc.freeze()  # launchers may wait already: the rest is done when it has rehearsed
    server.serve()


def _settle_memory(is_final: bool) -> None:
    """Have as little as possible be written to in the workers. is_final: take the time that it needs."""
    if is_final:
        gc.unfreeze()
    gc.collect()
    gc.freeze()  # a collection in a worker would write to, and so copy, every page
    if is_final:
        use_huge_pages()


def _has_socket_of_systemd(path: Path) -> bool:
    """Whether descriptor 3 is the socket of a unit (sd_listen_fds(3)). Exits with a message when it is another one."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return False
    with socket.socket(fileno=os.dup(_SYSTEMDS)) as given:
        is_fit = given.type == socket.SOCK_STREAM and given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        if os.environ.get("LISTEN_FDS") != "1" or not is_fit or given.getsockname() != str(path):
            sys.exit(f"minirun-forkserver: the socket unit has to say ListenStream={path} alone, and Accept=no")
    os.set_inheritable(_SYSTEMDS, False)
    return True


def _write_whole(path: Path, data: bytes) -> None:
    """A launcher finds the old content or the new one."""
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.rename(path)


def code_stamps(age: float) -> bytes:
    """The files that this process has its code from, as they are now; the launcher looks whether they still are.

    A record for each: device, inode, size, and time of the last change in seconds and nanoseconds, 8 bytes each, and
    the path with a 0 behind it. The time is ctime, for an update may set mtime; but mtime outside of the package: a
    hard link, such as some backups make, changes ctime.

    age: seconds since this process started. A file that has changed since then may have been read before: SystemExit.
    """
    loaded = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    names = {name for name in loaded if name}
    package = os.path.dirname(minirun.__file__) + os.sep
    # Of libraries, the directory: an update replaces their .dist-info in it.
    libraries = {os.path.dirname(os.path.dirname(name)) for name in names if not name.startswith(package)}
    others = {name for name in libraries if name.endswith("-packages")} | {sys.argv[0], sys.executable}
    now = time.time_ns()
    started = now - int(age * 10**9)
    stamps = []
    for name in sorted({name for name in names if name.startswith(package)} | others):
        status = os.stat(name)
        changed = status.st_mtime_ns if name in others else status.st_ctime_ns
        if started <= changed <= now:
            raise SystemExit(f"{name} has changed while it was imported")
        numbers = _STAMP.pack(status.st_dev, status.st_ino, status.st_size, *divmod(changed, 10**9))
        stamps.append(numbers + os.fsencode(name) + b"\0")
    return b"".join(stamps)


def _age() -> float:
    """Seconds since this process started (proc_pid_stat(5))."""
    started = int(Path("/proc/self/stat").read_bytes().rpartition(b") ")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def _import_everything() -> None:
    for room in pkgutil.iter_modules(minirun.__path__, "minirun."):
        if room.name not in _OTHERS:
            importlib.import_module(room.name)
            paths = getattr(sys.modules[room.name], "__path__", [])
            for module in pkgutil.walk_packages(paths, f"{room.name}."):
                importlib.import_module(module.name)


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        pass
