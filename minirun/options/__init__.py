"""The text of Docker's options, parsed into the model: one module for each subject.

The command line calls it, and whatever else takes Docker's options. It checks what can be checked without a container
or network, and calls only the model, the kernel's tables of names, and security. Every error is a MinirunError of one
line with exit code 125, in Docker's words where it has any.
"""

from minirun.errors import FAILED, MinirunError


def option_error(message: str, hint: str = "") -> MinirunError:
    """Return the error of a wrong option, with Docker's exit code."""
    return MinirunError(message, hint, FAILED)


def invalid_argument(text: str, flag: str, why: str, hint: str = "") -> MinirunError:
    """Return the error of an option's wrong argument, worded as by pflag, which Docker uses."""
    return option_error(f'invalid argument "{text}" for "--{flag}" flag: {why}', hint)
