"""Forking the monitor, before anything is imported: this module uses only what every Python start has loaded.

The monitor then does its imports while the command does its own, on another core, and never has the command's:
it stays at a third of the memory.
"""

import _socket
import os


def fork_monitor(keep: tuple[int, ...]) -> tuple[int, int]:
    """Fork a monitor in waiting: (pid, descriptor of the channel to it). Closing that unused sends it away. `keep`:
    descriptors that it needs besides."""
    ours, theirs = _socket.socketpair()
    pid = os.fork()  # noqa: TID251 - before kernel/ is imported
    if pid == 0:
        ours.close()
        _monitor(theirs.detach(), keep)
    theirs.close()
    return pid, ours.detach()


def _monitor(fd: int, keep: tuple[int, ...]) -> None:
    """The child's whole life; it never returns into the command's stack."""
    code = 1
    try:
        os.setsid()
        low = 3
        for kept in sorted((fd, *keep)):
            os.closerange(low, kept)
            low = kept + 1
        os.closerange(low, os.sysconf("SC_OPEN_MAX"))
        from minirun.shim.prefork import serve

        serve(fd)
        code = 0
    except BaseException:  # noqa: BLE001 - the command may be gone: the traceback goes to monitor.log, if it is open
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)
