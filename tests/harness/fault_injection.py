"""minirun with a fault: `python faulty.py fail|lack|kill|count K WORDS...` runs `minirun WORDS...`, and the K-th kernel
operation of all its processes together fails (ENOSPC; lack: ENOSYS), or ends the process that does it on the spot.

The operations are those of the seam (minirun/kernel/seam.py): nothing in the program knows of this.
"""

import errno
import mmap
import os
import sys

from minirun.kernel import seam

_COUNT = mmap.mmap(-1, 8)  # shared with every process that is forked from here


class Saboteur(seam.Watcher):
    def __init__(self, how: str, when: int) -> None:
        self.how = how
        self.when = when

    def before(self, operation: seam.Operation) -> None:
        count = int.from_bytes(_COUNT[:8], "little") + 1
        _COUNT[:8] = count.to_bytes(8, "little")
        if self.how == "count" or count != self.when:
            return
        if self.how == "lack":
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if self.how == "fail":
            raise OSError(errno.ENOSPC, f"sabotaged at {operation.name}")
        if os.getpid() == 1:
            os._exit(137)  # pid 1 of a namespace cannot SIGKILL itself
        os.kill(os.getpid(), 9)


def main() -> None:
    how, when = sys.argv[1], int(sys.argv[2])
    sys.argv[1:] = sys.argv[3:]
    seam.watch(Saboteur(how, when))
    from minirun.__main__ import main as minirun

    leave, command = os._exit, os.getpid()

    def leave_with_count(code: int) -> None:
        if how == "count" and os.getpid() == command:
            print(int.from_bytes(_COUNT[:8], "little"), file=sys.stderr, flush=True)
        leave(code)

    os._exit = leave_with_count  # type: ignore[assignment]
    minirun()


if __name__ == "__main__":
    main()
