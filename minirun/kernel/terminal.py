"""Pseudo-terminals: a container's own from its own devpts, and the caller's in raw mode (pty(7), termios(3))."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from minirun.kernel import netlink_sockets
from minirun.kernel.processes import clear_signals, close_from

_TIOCGPTPEER, _TIOCSPTLCK = 0x5441, 0x40045431


def open_pty() -> tuple[int, int]:
    """(master, slave) from the devpts at /dev/pts of the current root.

    The slave comes by TIOCGPTPEER, from the master itself: a path could be anything by now (CVE-2025-52565).
    """
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    return master, fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def take_terminal(slave: int) -> None:
    """Start a session, and make `slave` its controlling terminal."""
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def window_size(fd: int) -> tuple[int, int]:
    """(rows, columns) of a terminal."""
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    return rows, columns


def set_window_size(fd: int, rows: int, columns: int) -> None:
    """Set the size of a terminal (ioctl_tty(2), TIOCSWINSZ); the kernel sends SIGWINCH."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def shell_run(env: Mapping[str, str]) -> None:
    """Run an interactive shell until it ends, on a pseudo-terminal of its own that the caller's is connected to.

    So it has job control, whatever session and process group the caller is in.
    """
    netlink_sockets.close_all()
    bash = ["/bin/bash", "--norc", "--noprofile", "-i"]
    argv = bash if os.path.exists(bash[0]) else ["/bin/sh", "-i"]
    pid, master = pty.fork()
    if pid == 0:
        try:
            clear_signals()
            os.execve(argv[0], argv, dict(env))
        finally:
            os._exit(127)
    try:
        with raw_mode(0):
            _relay(master)
    finally:
        os.close(master)
        os.waitpid(pid, 0)


def _relay(master: int) -> None:
    """Copy between standard streams and the master until the slave's last process has ended."""
    while True:
        set_window_size(master, *window_size(0))
        for fd in select.select([0, master], [], [])[0]:
            try:
                data = os.read(fd, 65536)
            except OSError:  # EIO: the slave is closed
                return
            if not data:
                return
            os.write(1 if fd == master else master, data)


@contextmanager
def raw_mode(fd: int) -> Iterator[None]:
    """Put a terminal into raw mode within the block: every key goes to the container, Ctrl-C included.

    The terminal is restored however this process ends.
    """
    before = termios.tcgetattr(fd)
    done = _guard(fd, before)
    try:
        tty.setraw(fd, termios.TCSADRAIN)  # the default would throw away what was typed ahead
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
        try:
            os.write(done, b".")
        except BrokenPipeError:
            pass  # the guard was killed
        os.close(done)


def _guard(fd: int, before: list[Any]) -> int:
    """Fork a process that restores the terminal when this one is killed, and exits when this one has done so.

    It shares nothing with this process but the terminal, and one end of a pipe whose other end this process has.
    """
    watched, done = os.pipe()
    if os.fork():
        os.close(watched)
        return done
    try:
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)  # also SIGTTOU: we may be in the background by then
        close_from(0, (fd, watched))
        if not os.read(watched, 1):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
    finally:
        os._exit(0)


def size_of_caller() -> tuple[int, int]:
    """(rows, columns) of the first standard stream that is a terminal; (0, 0) without one."""
    for fd in (0, 1, 2):
        try:
            return window_size(fd)
        except OSError:
            continue
    return 0, 0
