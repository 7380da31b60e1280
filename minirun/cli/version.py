"""minirun version."""

import os
import platform

from minirun import __version__
from minirun.cli.verb import Verb


class Version(Verb):
    most = 0

    def run(self) -> None:
        print(f"minirun version {__version__}")
        print(f" Python:  {platform.python_version()}")
        print(f" Kernel:  {os.uname().release}")
        print(f" OS/Arch: {os.uname().sysname.lower()}/{os.uname().machine}")
