"""minirun system throwaway-host: a host for tests (minirun.testing), which ends with whoever asked for it."""

import os
from pathlib import Path

from minirun.cli.session import commands, require_root
from minirun.kernel import throwaway

_ROOT = "/run/minirun-testing"  # the state root in it
app = commands()


@app.command("throwaway-host")
def throwaway_host() -> int:
    """Hold a throwaway host until standard input ends.

    Prints the pid of a process in it, whose namespaces commands can enter: nsenter -t PID -m -u -i -n -p -C minirun
    --root /run/minirun-testing ps. It sees the files of this host, read-only, and has nothing of its network.
    """
    require_root()

    def live() -> int:
        Path(_ROOT).mkdir(mode=0o700, parents=True)
        os.write(1, b"ready\n")
        while os.read(0, 4096):
            pass
        return 0

    return throwaway.host_live(f"minirun-testing-{os.getpid()}", live, lambda pid: print(pid, flush=True))
