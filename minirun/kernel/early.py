"""Forking the monitor, before anything is imported: this module uses only what every Python start has loaded.

The monitor then does its imports while the command does its own, on another core, and never has the command's:
it stays at a third of the memory.
"""

import _socket
import os


def fork_monitor() -> tuple[int, int]:
    """Fork a monitor in waiting: (pid, descriptor of the channel to it). Closing that unused sends it away."""
    ours, theirs = _socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _monitor(theirs.detach())
    theirs.close()
    return pid, ours.detach()


def _monitor(fd: int) -> None:
    """The child's whole life; it never returns into the command's stack."""
    code = 1
    try:
        os.setsid()
        os.closerange(3, fd)
        os.closerange(fd + 1, os.sysconf("SC_OPEN_MAX"))
        from minirun.monitor.waiting import serve

        serve(fd)
        code = 0
    except BaseException:  # noqa: BLE001 - the command may be gone: the traceback goes to monitor.log, if it is open
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)
