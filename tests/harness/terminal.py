"""A terminal with a person at it: a pseudo-terminal as the standard streams of a command on a throwaway host."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from pathlib import Path
from typing import Any

from tests.harness.host import MINIRUN, Host


class Terminal:
    """`with Terminal(host, "run", "-it", "busybox", "sh") as terminal: terminal.until(b"# ")`."""

    def __init__(
        self, host: Host, *words: str, rows: int = 24, columns: int = 80, program: tuple[str, ...] = (MINIRUN,)
    ) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.before = self.settings()
        streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), self.slave)
        # Its controlling terminal, as a shell would have it: the kernel then tells of a new size.
        # And signals as it would: who runs the tests in the background may ignore some.
        argv = ["env", "--default-signal", "setsid", "--ctty", "--wait", *program, *words]
        self.process: subprocess.Popen[bytes] = host.popen(argv, **streams, start_new_session=True)
        self._seen = b""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def settings(self) -> list[Any]:
        return termios.tcgetattr(self.slave)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def until(self, text: bytes, seconds: float = 15) -> bytes:
        """What is shown, up to and with `text`; from there the next one reads on."""
        deadline = time.monotonic() + seconds
        while text not in self._seen:
            assert time.monotonic() < deadline, self._seen
            if select.select([self.master], [], [], 0.1)[0]:
                self._seen += os.read(self.master, 65536)
        shown, found, self._seen = self._seen.partition(text)
        return shown + found

    def rest(self) -> bytes:
        """What was shown and not asked for yet."""
        while select.select([self.master], [], [], 0)[0]:
            self._seen += os.read(self.master, 65536)
        shown, self._seen = self._seen, b""
        return shown

    def wait(self, seconds: float = 15) -> int:
        return self.process.wait(seconds)

    def command(self) -> int:
        """The pid of minirun itself: the child of nsenter, which had to fork."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
