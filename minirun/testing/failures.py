"""What can go wrong in a test, one exception class a kind. Each says what was seen and what to do."""

from collections.abc import Sequence


class HostError(Exception):
    """Something that a test asked minirun for went wrong.

    `command` is the command line that failed, to be run again by hand; `text` what it printed to standard error, with
    the end of the container's log where there is one.
    """

    def __init__(self, text: str, command: Sequence[str] = (), code: int = 1) -> None:
        super().__init__(text)
        self.text = text
        self.command = tuple(command)
        self.code = code


class ProgramNotFoundError(HostError):
    """There is no program `minirun`."""


class NoPermissionError(HostError):
    """The test process may not run containers: it is not root."""


class ImageNotFoundError(HostError):
    """There is no such image, and it could not be pulled."""


class StartError(HostError):
    """A container could not be started."""


class NotReadyError(HostError):
    """A container did not become ready in time, or ended before."""


class CommandError(HostError):
    """A command of minirun, or a command that a container executed, ended with another exit code than 0."""


class UnreachableError(HostError, AssertionError):
    """Packets do not get where a test expects them."""


class ReachedError(HostError, AssertionError):
    """Packets get where a test expects them to be blocked."""


def failure_of(text: str, command: Sequence[str], code: int, kind: type[HostError]) -> HostError:
    """Return the failure of a command line: of class `kind`, unless its text names another reason."""
    if "must be run as root" in text:
        return NoPermissionError(
            f"{text}\nHost.rootless() needs no root; or run the tests as root (sudo)", command, code
        )
    if "No such image" in text or "Unable to find image" in text:
        text += "\nhost.images.load(ARCHIVE) or host.images.pull(NAME) brings it"
        return ImageNotFoundError(text, command, code)
    return kind(text, command, code)
