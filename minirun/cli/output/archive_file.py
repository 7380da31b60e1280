"""A file for --output: checked before the work begins, and there only when it is whole."""

import os
import stat
from collections.abc import Callable
from typing import BinaryIO

from minirun.errors import MinirunError


def check_output(output: str, work: str) -> None:
    """MinirunError unless `output` can be a file. `work` is what fails, as Docker says it: "export container"."""
    parent = os.path.dirname(os.path.abspath(output))
    if not os.path.isdir(parent):
        raise MinirunError(f'failed to {work}: invalid output path: directory "{parent}" does not exist')
    if os.path.exists(output) and not stat.S_ISREG(os.stat(output).st_mode):
        raise MinirunError(f'failed to {work}: invalid output path: "{output}" must be a regular file')


def write_archive(output: str, write: Callable[[BinaryIO], object]) -> None:
    """Write beside the file, then rename: half an archive is never taken for a whole one."""
    beside = f"{os.path.realpath(output)}.{os.getpid()}.part"
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            write(file)
        os.rename(beside, os.path.realpath(output))
    except BaseException:
        os.unlink(beside)
        raise
