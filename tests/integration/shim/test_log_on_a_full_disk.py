"""A full disk costs log lines, never the format of the log."""

import sys

from tests.harness import Host
from tests.harness.host import REPO

_FULL_DISK = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from minirun.engine.log import LogReader, LogWriter
writer = LogWriter("/mnt/log")
for _ in range(100):
    writer.write("stdout", b"x" * 1000 + b"\\n")
whole = list(LogReader(Path("/mnt/log")).entries())
assert 30 < len(whole) < 64 and all(entry.data == b"x" * 1000 + b"\\n" for entry in whole), whole
Path("/mnt/ballast").unlink()
writer.write("stdout", b"after\\n")
last = [entry.data for entry in LogReader(Path("/mnt/log")).entries()][-2:]
lost = (100 - len(whole)) * 1001
assert last == [b"minirun: %d bytes are missing here: the disk was full\\n" % lost, b"after\\n"], last
"""


def test_a_full_disk_costs_log_lines_never_the_format_and_says_so(host: Host) -> None:
    host.sh("mount -t tmpfs -o size=80k full /mnt && head -c 20000 /dev/zero > /mnt/ballast")
    host.run([sys.executable, "-c", _FULL_DISK, str(REPO)])
