"""A throwaway host of minirun's own, as the plugin, the tour and `--explain` have one."""

import sys

from tests.harness import Host

_SLOW_TO_TELL = """
import os, time
from minirun.kernel.throwaway import host_live

def tell(pid):
    time.sleep(0.2)
    os.write(1, b"told\\n")

host_live("minirun-test", lambda: os.write(1, b"lives\\n") * 0, tell)
"""


def test_what_lives_there_waits_until_its_pid_was_told(host: Host) -> None:
    """Whoever reads both from one pipe takes the first line for the pid."""
    done = host.run([sys.executable, "-I", "-c", _SLOW_TO_TELL], cwd="/")
    assert done.stdout == "told\nlives\n"
