"""The error that users see, and the exit codes, which are Docker's."""

import errno

FAILED = 125  # minirun itself failed
CANNOT_INVOKE = 126  # the command was found but cannot be run
NOT_FOUND = 127  # the command was not found


def printable(text: str) -> str:
    """Return the text with control characters escaped, so that it cannot control a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


_MISSING = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENODEV, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT)


class MinirunError(Exception):
    """An error for the user: what is wrong and, as a hint, what to do; each is one line.

    `code` is the exit code of the command.
    """

    def __init__(self, message: str, hint: str = "", code: int = 1) -> None:
        super().__init__(message)
        self.message = printable(message)
        self.hint = hint
        self.code = code


class NotFoundError(MinirunError):
    """There is no such container, network, image or volume."""


class ConflictError(MinirunError):
    """A name, address, port or object is in use."""


def describe(error: BaseException) -> str:
    """Describe an unexpected error in one line: its text, path, equivalent command, and what it usually means."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    lines = [text.splitlines()[0] if text else text, *getattr(error, "__notes__", [])[:1]]
    return "; ".join([*lines, *_meaning(error)])


def _meaning(error: BaseException) -> list[str]:
    if isinstance(error, OSError) and error.errno in _MISSING:
        return ["the kernel, or the sandbox that minirun runs in, does not support this step"]
    if isinstance(error, OSError) and error.errno == errno.EPERM:
        return ["the caller lacks a capability for this step (CAP_SYS_ADMIN or CAP_NET_ADMIN)"]
    return []
