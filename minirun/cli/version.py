"""minirun version."""

import os
import platform


def command() -> None:
    from importlib.metadata import version

    print(f"minirun version {version('minirun')}")
    print(f" Python:  {platform.python_version()}")
    print(f" Kernel:  {os.uname().release}")
    print(f" OS/Arch: {os.uname().sysname.lower()}/{os.uname().machine}")
