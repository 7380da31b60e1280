"""The one error that users see, and the exit codes, which are Docker's."""

FAILED = 125  # minirun itself failed
CANNOT_INVOKE = 126  # the command was found but cannot be run
NOT_FOUND = 127  # the command was not found


def printable(text: str) -> str:
    """For terminals: control characters are shown, never sent."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


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
    """One line for an unforeseen error: its text, the path it carries, and the command that it came from."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    return "; ".join([text.splitlines()[0] if text else text, *getattr(error, "__notes__", [])[:1]])
