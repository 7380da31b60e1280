"""The seam: `@shell` annotates each kernel operation with the equivalent shell command.

(A seam is a place where behaviour can be observed or changed without editing it there: Feathers, "Working Effectively
with Legacy Code".) It gives the note on an exception ("while doing: ip link add ..."), `--explain`, timings, and the
points where tests inject faults. Callers carry no trace code; without a watcher a call costs one `if`.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Operation:
    """One call of an annotated function. `command` is rendered only when it is read: most starts never do that."""

    def __init__(
        self,
        name: str,
        template: str,
        values: dict[str, object],
        made: dict[str, Callable[[dict[str, Any]], object]],
        prefix: str,
    ) -> None:
        self.name = name
        self._template = template
        self._values = values
        self._made = made
        self._prefix = prefix

    @property
    def command(self) -> str:
        """The shell command that does the same."""
        values = self._values | {name: make(self._values) for name, make in self._made.items()}
        return self._prefix + self._template.format_map(_Quoted(values))


class Watcher:
    """Observes each operation. Raising from `before` makes the operation fail: tests inject faults so."""

    def before(self, operation: Operation) -> None:
        """Called before the operation. Raise to make it fail."""

    def after(self, operation: Operation, seconds: float, error: BaseException | None) -> None:
        """Called after the operation, with the exception that it raised."""


class _Quoted(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return f"<{key}>"

    def __getitem__(self, key: str) -> object:
        value = super().__getitem__(key)
        if isinstance(value, (list, tuple)):
            return " ".join(_quoted(str(item)) for item in value)
        return value if isinstance(value, Raw) else _quoted(str(value))


def _quoted(text: str) -> str:
    """Quote as shlex.quote does, which cannot be imported where a container's first process fails: in its root."""
    if text and _PLAIN.issuperset(text):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"


class Raw(str):
    """A piece of shell that is not quoted, such as the body of a here-document."""


_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")
_watchers: list[Watcher] = []
_prefixes: list[str] = []
_role = ["command"]
_open: list[int] = []
_predecessor = [0]  # pid of the process that this one goes on as


def watch(watcher: Watcher) -> None:
    """Tell a watcher of each operation from now on."""
    _watchers.append(watcher)


def unwatch(watcher: Watcher, fd: int) -> None:
    """Tell a watcher no more, and forget the descriptor that it needed."""
    _watchers.remove(watcher)
    _open.remove(fd)


def is_watched() -> bool:
    """Whether a watcher is told of operations."""
    return bool(_watchers)


def role() -> str:
    """The role of this process in a container's life, such as "command" or "first process"."""
    return _role[0]


def be(role: str) -> None:
    """Set the role of this process."""
    _role[0] = role


def succeed(pid: int) -> None:
    """This process goes on in place of another one, which will not return from the operation that made it."""
    _predecessor[0] = pid


def keep_open(fd: int) -> None:
    """Exempt a descriptor from `processes.close_from`, because a watcher needs it."""
    _open.append(fd)


def kept_open() -> tuple[int, ...]:
    """The descriptors that `keep_open` was told of."""
    return tuple(_open)


@contextmanager
def prefixed(prefix: str) -> Iterator[None]:
    """Show commands as run through `prefix`, such as `ip netns exec web`, within the block."""
    _prefixes.append(prefix + " ")
    try:
        yield
    finally:
        _prefixes.pop()


def shell(template: str, **made: Callable[[dict[str, Any]], object]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declare the equivalent command of a function.

    `{name}` in `template` is the argument of that name, quoted for a shell, or what `made[name]` returns for the
    arguments. An OSError that the function raises gets the command as a note.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        code = function.__code__
        names = code.co_varnames[: code.co_argcount]
        defaults = dict(zip(reversed(names), reversed(function.__defaults__ or ()), strict=False))

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            values = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
            operation = Operation(function.__name__, template, values, made, "".join(_prefixes))
            if _watchers:
                return _watched(operation, function, args, kwargs)
            try:
                return function(*args, **kwargs)
            except OSError as error:
                error.add_note(f"while doing: {operation.command}")
                raise

        return call

    return decorate


def _watched(
    operation: Operation, function: Callable[..., R], args: tuple[object, ...], kwargs: dict[str, object]
) -> R:
    process = os.getpid()
    failure: BaseException | None = None
    started = time.perf_counter()
    try:
        for watcher in _watchers:
            watcher.before(operation)
        started = time.perf_counter()
        return function(*args, **kwargs)
    except BaseException as error:
        failure = error
        if isinstance(error, OSError):
            error.add_note(f"while doing: {operation.command}")
        raise
    finally:
        seconds = time.perf_counter() - started
        # A process that the operation forked returns from it, too.
        if process in (os.getpid(), _predecessor[0]):
            for watcher in _watchers:
                watcher.after(operation, seconds, failure)
