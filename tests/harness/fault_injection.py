"""minirun with a fault. `python fault_injection.py SOCKET` runs command lines, one after the other.

A request is JSON, with the descriptors of standard output and error: how ("fail", "lack", "kill" or "count"), step, the
report's path, the words of the command line, and the pid of a process whose namespaces the command runs in. The reply
is the exit code, negative for a signal. Each command runs in a process of its own; this one has imported everything,
for a sweep needs hundreds of commands.

The `step`-th kernel operation of all processes of a command together fails (ENOSPC; lack: ENOSYS), or kills the process
that does it. A step that is no number means the first operation whose shell command contains that text, or with `=`
before it the first with that identity. The report has one byte for each operation: it says afterwards which ones were
begun, and in byte 0 whether the fault fired. With "count" the identities follow: what the shell command is without the
numbers and names that differ from run to run.

The operations are those of the seam (minirun/kernel/seam.py): nothing in the program knows of this.
"""

import ctypes
import errno
import gc
import hashlib
import importlib
import json
import mmap
import os
import pkgutil
import re
import signal
import socket
import sys
import time
from typing import Any, NoReturn

import minirun
from minirun.__main__ import main as minirun_main
from minirun.cli.main import prepare
from minirun.forkserver.worker import run_to_end
from minirun.kernel import processes, seam
from minirun.kernel.memory import use_huge_pages
from minirun.kernel.namespaces import become_neighbour, differing
from minirun.kernel.process_attributes import ProcessName

MOST = 4096  # operations of one command
_SEMAPHORE = 64  # bytes behind them: room for a sem_t
IDENTITIES = MOST + _SEMAPHORE  # where they begin
IDENTITY = 8  # bytes of each
_SIZE = IDENTITIES + MOST * IDENTITY
_PASSING = re.compile(r"[0-9a-f]{6,}|[0-9]+|[a-z]+_[a-z]+")  # ids, numbers, random names of containers


class FaultWatcher(seam.Watcher):
    """Numbers the operations of all processes, and makes one of them fail.

    The report and the counter are a shared mapping. It is there in every process that is forked from here, also inside
    a container's root, and needs no open file. The processes act at the same time, so a semaphore guards the counter.
    """

    def __init__(self, how: str, step: str, report: mmap.mmap) -> None:
        self.how = how
        self.step = step
        self.report = report
        self.libc = ctypes.CDLL(None)
        self.semaphore = ctypes.addressof(ctypes.c_char.from_buffer(report, MOST))
        self.libc.sem_init(ctypes.c_void_p(self.semaphore), 1, 1)  # shared by processes, free

    def before(self, operation: seam.Operation) -> None:
        number = self._next()
        if self.how == "count":
            at = IDENTITIES + number * IDENTITY
            self.report[at : at + IDENTITY] = _identity(operation)
        if self.step.isdigit():
            is_meant = number == int(self.step)
        elif self.step.startswith("="):
            is_meant = _identity(operation).hex() == self.step[1:]
        else:
            is_meant = self.step in operation.command
        if self.how == "count" or not is_meant or self.report[0]:
            return
        self.report[0] = 1
        if self.how == "lack":
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if self.how == "fail":
            raise OSError(errno.ENOSPC, f"sabotaged at {operation.name}")
        if os.getpid() == 1:
            os._exit(137)  # pid 1 of a namespace cannot SIGKILL itself
        os.kill(os.getpid(), 9)

    def _next(self) -> int:
        for _ in range(1000):  # its holder may have been killed
            if self.libc.sem_trywait(ctypes.c_void_p(self.semaphore)) == 0:
                break
            time.sleep(0.001)
        number = self.report[:MOST].index(0, 1)
        self.report[number] = 1
        self.libc.sem_post(ctypes.c_void_p(self.semaphore))
        return number


def _identity(operation: seam.Operation) -> bytes:
    command = f"{operation.name} {_PASSING.sub('N', operation.command)}"
    return hashlib.blake2b(command.encode(), digest_size=IDENTITY).digest()


def serve(requests: socket.socket) -> None:
    """Run commands until the other end is closed."""
    for module in pkgutil.walk_packages(minirun.__path__, "minirun."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
    prepare()
    gc.collect()
    gc.freeze()  # as in the fork server: what is forked shares this process's memory
    use_huge_pages()
    while True:
        message, streams, _, _ = socket.recv_fds(requests, 65536, 2)
        if not message:
            return
        pid = os.fork()
        if not pid:
            _run(json.loads(message), streams)
        for fd in streams:
            os.close(fd)
        requests.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _run(request: dict[str, Any], streams: list[int]) -> NoReturn:
    """In the child: join the namespaces, and wait for one more child, which is in the pid namespace, too."""
    host = request["host"]
    null = os.open("/dev/null", os.O_RDONLY)
    for number, fd in enumerate((null, *streams)):
        os.dup2(fd, number)
    processes.close_from(3)
    root = os.open(f"/proc/{host}/root", os.O_PATH)
    become_neighbour(host, os.pidfd_open(host), differing(host), root, root)
    pid = os.fork()
    if pid:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code == -signal.SIGKILL:
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(code)
    processes.close_from(3)
    try:
        _become(request)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(run_to_end(minirun_main))


def _become(request: dict[str, Any]) -> None:
    """Be the command, with its fault."""
    words = ["minirun", *request["words"]]
    ProcessName().take([sys.executable.encode(), b"-IS", b"/faults/minirun", *(word.encode() for word in words[1:])])
    sys.argv = words
    report = os.open(request["report"], os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(report, _SIZE)
    seam.watch(FaultWatcher(request["how"], request["step"], mmap.mmap(report, _SIZE)))
    os.close(report)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        serve(requests)
