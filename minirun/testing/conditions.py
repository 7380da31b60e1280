"""What a container must do to be ready: `listening(80)`, `log("started")`, `http("/health")`, `healthy()`."""

from collections.abc import Callable
from dataclasses import dataclass

Check = Callable[..., bool]  # its argument is the Container


@dataclass(frozen=True)
class Condition:
    """Words of --wait, which must all be met, and functions of the test's own, which must all return True."""

    words: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()


def listening(port: int, protocol: str = "tcp") -> Condition:
    """The container listens on `port`, as the kernel knows: no connection is made."""
    return Condition((f"listening:{port}/{protocol}",))


def log(pattern: str) -> Condition:
    """The container has written a line in which the regular expression `pattern` is found."""
    return Condition((f"log:{pattern}",))


def http(path: str, port: int = 0, status: int = 0) -> Condition:
    """GET `path` is answered with `status` (0: any from 200 to 399). Port 0: the only published or exposed one."""
    return Condition((f"http:{port or ''}{path}{f'={status}' if status else ''}",))


def healthy() -> Condition:
    """The container's health check passes."""
    return Condition(("healthy",))


def all_of(*conditions: "Condition | Check") -> Condition:
    """All of these. A function gets the container and returns whether it is ready; it is called every 20 ms."""
    made = [each if isinstance(each, Condition) else Condition(checks=(each,)) for each in conditions]
    return Condition(
        tuple(word for each in made for word in each.words), tuple(check for each in made for check in each.checks)
    )
