"""Standard output that takes no more: a full disk, a closed descriptor."""

import io
import os
import sys
from typing import Any

CODE = 1  # of every command, as Docker has it


class OutputError(Exception):
    """Standard output or error cannot be written to. No MinirunError: a command that goes on after those ends here."""

    def __init__(self, error: OSError, name: str = "standard output") -> None:
        super().__init__(f"cannot write to {name}: {error.strerror}")


class _Output(io.FileIO):
    """Descriptor 1. A reader that has left is a BrokenPipeError, as ever; any other failure is an OutputError."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error) from error


def tell_lost_output() -> None:
    """From now on whatever is printed tells when it cannot be written, and is no error of something else."""
    text = sys.stdout
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Output(1, "w", closefd=False)), text.encoding, text.errors, line_buffering=text.isatty()
    )


def discard_output() -> None:
    """Let what waits for standard output, and all that follows, go nowhere, so that no later flush fails."""
    null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, 1)
    os.close(null)
    sys.stdout.flush()
