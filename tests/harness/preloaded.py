"""Command lines on throwaway hosts, each by a process that is forked from one which has imported minirun already.

Importing typer and pyroute2 takes 0.3 s, and a test types a dozen commands. So `Host.run([MINIRUN, ...])` sends the
words, standard streams and the host to a server; that forks a process, which joins the host's namespaces as nsenter(1)
does, takes the name and the command line that it would have had, and calls `minirun.cli.main.run`. Everything else
(`popen`, shell scripts, strace) starts the installed program.

    test -- request, descriptors --> server -- fork --> joins the host -- fork --> the command, in its pid namespace
"""

import array
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

_CONTROL = 3  # descriptor of the server's socket
_PADDING = 4096  # bytes of command line that the server is started with, for those of its children
_SUPPORTED = {"stdin", "stdout", "stderr", "input", "text"}


class Server:
    """The client's side: one server for each process that runs tests, started at the first command."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        python = str(Path(program).with_name("python"))
        start = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"
        server = [python, "-I", __file__, program, " " * _PADDING]
        self._process = subprocess.Popen(
            [python, "-I", "-c", start, str(theirs.fileno()), *server], pass_fds=[theirs.fileno()], env=_environment()
        )
        theirs.close()
        self._lock = threading.Lock()

    @staticmethod
    def takes(keywords: dict[str, Any]) -> bool:
        """Whether a command with these keywords of subprocess.run can be run by the server."""
        return set(keywords) <= _SUPPORTED

    def run(self, host: int, words: list[str], timeout: float, **keywords: Any) -> "subprocess.CompletedProcess[Any]":
        """As subprocess.run does; `host` is the process whose namespaces are meant."""
        text, data = keywords.get("text", False), keywords.get("input")
        streams = [keywords.get("stdin"), keywords.get("stdout"), keywords.get("stderr")]
        if data is not None:
            streams[0] = subprocess.PIPE
        ours, theirs = _open(streams)
        report, reported = socket.socketpair()
        request = json.dumps({"host": host, "words": words, "environment": dict(os.environ)}).encode()
        with self._lock:
            descriptors = array.array("i", [reported.fileno(), *theirs])
            self._socket.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        reported.close()
        for fd in theirs:
            os.close(fd)
        argv = [self._program, *words]
        outputs: dict[int, bytes] = {}
        threads = [
            threading.Thread(target=_write if number == 0 else _read, args=(file, number, data, outputs), daemon=True)
            for number, file in ours.items()
        ]
        for thread in threads:
            thread.start()
        with report, report.makefile("r") as lines:
            report.settimeout(timeout)
            pid = 0
            try:
                pid = int(lines.readline())
                code = int(lines.readline())
                for thread in threads:
                    thread.join(timeout)
                    if thread.is_alive():
                        raise TimeoutError
            except TimeoutError:
                if pid:
                    os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(argv, timeout) from None
        done = {number: output.decode() if text else output for number, output in outputs.items()}
        return subprocess.CompletedProcess(argv, code, done.get(1), done.get(2))


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "MINIRUN_ROOT"}


def _open(streams: list[Any]) -> tuple[dict[int, IO[bytes]], list[int]]:
    """(our ends of the pipes, by number; the descriptors for the command)."""
    ours: dict[int, IO[bytes]] = {}
    theirs: list[int] = []
    for number, stream in enumerate(streams):
        if stream == subprocess.PIPE:
            reader, writer = os.pipe()
            ours[number] = os.fdopen(writer, "wb") if number == 0 else os.fdopen(reader, "rb")
            theirs.append(reader if number == 0 else writer)
        elif stream == subprocess.DEVNULL:
            theirs.append(os.open(os.devnull, os.O_RDWR))
        elif stream == subprocess.STDOUT:
            theirs.append(os.dup(theirs[1]))
        elif stream is None:
            theirs.append(os.dup(number))
        else:
            theirs.append(os.dup(stream if isinstance(stream, int) else stream.fileno()))
    return ours, theirs


def _write(file: IO[bytes], number: int, data: Any, outputs: dict[int, bytes]) -> None:
    try:
        with file:
            file.write(data.encode() if isinstance(data, str) else data)
    except BrokenPipeError:
        pass  # the command did not read all of it


def _read(file: IO[bytes], number: int, data: Any, outputs: dict[int, bytes]) -> None:
    with file:
        outputs[number] = file.read()


# --- the server


def serve(program: str) -> None:
    """Fork a process for each request, until the tests' process closes the control socket."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    _import_everything()
    gc.freeze()  # a collection in a child would copy every page
    control = socket.socket(fileno=_CONTROL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who join
    while True:
        data, ancillary, _, _ = control.recvmsg(1 << 20, socket.CMSG_SPACE(4 * 4))
        if not data:
            return
        descriptors = array.array("i")
        for _, _, block in ancillary:
            descriptors.frombytes(block)
        if os.fork() == 0:
            control.close()
            _join(program, json.loads(data), list(descriptors))
        for fd in descriptors:
            os.close(fd)


def _import_everything() -> None:
    import importlib
    import pkgutil

    import minirun

    for module in pkgutil.walk_packages(minirun.__path__, "minirun."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)


def _join(program: str, request: dict[str, Any], descriptors: list[int]) -> None:
    """Join the host, fork the command, and report its pid and its exit code. Never returns."""
    report, *streams = descriptors
    code = 255
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _enter(request["host"])
        pid = os.fork()
        if pid == 0:
            _become(program, request, streams)
        for fd in streams:
            os.close(fd)
        os.write(report, b"%d\n" % pid)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.write(report, b"%d\n" % code)
        os._exit(0)


def _enter(host: int) -> None:
    from minirun.kernel.syscalls import check, lib

    flags = lib.CLONE_NEWNS | lib.CLONE_NEWUTS | lib.CLONE_NEWIPC | lib.CLONE_NEWNET | lib.CLONE_NEWPID
    root = os.open(f"/proc/{host}/root", os.O_RDONLY | os.O_DIRECTORY)
    process = os.pidfd_open(host)
    check(lib.sys_setns(process, flags | lib.CLONE_NEWCGROUP))
    os.fchdir(root)
    os.chroot(".")
    os.close(root)
    os.close(process)


def _become(program: str, request: dict[str, Any], streams: list[int]) -> None:
    """The command: its streams, environment and name, then the command line. Never returns."""
    code = 255
    try:
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        os.closerange(3, 1 << 16)
        os.environ.clear()
        os.environ.update(request["environment"])
        _take_name(program, request["words"])
        sys.argv = [program, *request["words"]]
        from minirun.cli.main import run

        code = run(request["words"])
        sys.stdout.flush()
    except SystemExit as error:
        code = int(error.code or 0)
    finally:
        os._exit(code)


def _take_name(program: str, words: list[str]) -> None:
    """Write the command line that ps(1) shows over the server's own, as setproctitle does (proc_pid_cmdline(5))."""
    start, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:47])
    line = b"\0".join(os.fsencode(word) for word in [sys.executable, "-IS", program, *words])
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(start)
        memory.write(line[: end - start - 1].ljust(end - start, b"\0"))
    Path("/proc/self/comm").write_text(Path(program).name)


if __name__ == "__main__":
    serve(sys.argv[1])
