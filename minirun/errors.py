"""The one error that users see, and the exit codes, which are Docker's."""

import errno

FAILED = 125  # minirun itself failed
CANNOT_INVOKE = 126  # the command was found but cannot be run
NOT_FOUND = 127  # the command was not found


def printable(text: str) -> str:
    """For terminals: control characters are shown, never sent."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


_MISSING = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENODEV, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT)


class MinirunError(Exception):
    """What is wrong, whose fault it is, and (as a hint) what to do. One line each, whatever words they quote."""

    def __init__(self, message: str, hint: str = "", code: int = 1) -> None:
        super().__init__(message)
        self.message = printable(message)
        self.hint = hint
        self.code = code


class NotFoundError(MinirunError):
    """No such container, network or image."""


class ConflictError(MinirunError):
    """A name, address or port that somebody has."""


def describe(error: BaseException) -> str:
    """One line for an unforeseen error: its text, the path it carries, the command it came from, what that means."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    lines = [text.splitlines()[0] if text else text, *getattr(error, "__notes__", [])[:1]]
    return "; ".join([*lines, *_meaning(error)])


def _meaning(error: BaseException) -> list[str]:
    if isinstance(error, OSError) and error.errno in _MISSING:
        return ["this kernel, or the sandbox minirun runs in, lacks what that step needs"]
    if isinstance(error, OSError) and error.errno == errno.EPERM:
        return ["the caller lacks a capability that this step needs (CAP_SYS_ADMIN or CAP_NET_ADMIN)"]
    return []
