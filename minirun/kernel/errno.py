"""From the -1 of a system call to an OSError that carries errno and the path."""

import os

from minirun.kernel._sys import ffi

NULL = ffi.NULL


def check(result: int, path: object = None) -> int:
    """Return `result`, or raise OSError with errno and `path` when it is negative."""
    if result < 0:
        number = ffi.errno
        raise OSError(number, os.strerror(number), None if path is None else str(path))
    return result
