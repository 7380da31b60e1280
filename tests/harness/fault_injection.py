"""minirun with a fault: `python fault_injection.py fail|lack|kill|count STEP REPORT WORDS...` runs `minirun WORDS...`.

The STEP-th kernel operation of all its processes together fails (ENOSPC; lack: ENOSYS), or kills the process that does
it. A STEP that is no number means the first operation whose shell command contains that text. The file REPORT has one
byte for each operation: it says afterwards which ones were begun, and in byte 0 whether the fault fired.

The operations are those of the seam (minirun/kernel/seam.py): nothing in the program knows of this.
"""

import ctypes
import errno
import mmap
import os
import sys
import time

from minirun.kernel import seam

MOST = 4096  # operations of one command
_SEMAPHORE = 64  # bytes behind them: room for a sem_t


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
        number = str(self._next())
        is_meant = number == self.step if self.step.isdigit() else self.step in operation.command
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


def main() -> None:
    how, step, report = sys.argv[1:4]
    sys.argv[1:] = sys.argv[4:]
    with open(report, "w+b") as file:
        file.truncate(MOST + _SEMAPHORE)
        seam.watch(FaultWatcher(how, step, mmap.mmap(file.fileno(), MOST + _SEMAPHORE)))
    from minirun.__main__ import main as minirun

    minirun()


if __name__ == "__main__":
    main()
