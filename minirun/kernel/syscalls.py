"""The compiled module (csrc/), and its results of -1 as OSError with errno and the path."""

import os

from minirun.kernel._sys import ffi, lib

NULL = ffi.NULL

__all__ = ["NULL", "check", "ffi", "lib"]


def check(result: int, path: object = None) -> int:
    """Return `result`, or raise OSError with errno and `path` when it is negative."""
    if result < 0:
        number = ffi.errno
        raise OSError(number, os.strerror(number), None if path is None else str(path))
    return result
