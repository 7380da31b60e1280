"""The seam: each kernel primitive says, on the line above it, the shell command that does the same.

From this one place come the note on an exception ("while doing: ip link add ..."), `--explain`, timings, and the
points where tests make things fail. Callers carry no trace code; without a watcher a call costs one `if`.
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
    """One call of one primitive. `command` is rendered only when somebody asks: most starts never do."""

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
    """Told of each operation. Raising from `before` makes the operation fail: this is how tests inject faults."""

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
    """As shlex.quote has it, which cannot be imported where a container's first process fails: inside its root."""
    if text and _PLAIN.issuperset(text):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"


class Raw(str):
    """A piece of shell that stands as it is, such as the body of a here-document."""


_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")
_watchers: list[Watcher] = []
_prefixes: list[str] = []
_role = ["command"]
_open: list[int] = []


def watch(watcher: Watcher) -> None:
    """Tell a watcher of each operation from now on."""
    _watchers.append(watcher)


def role() -> str:
    """What this process is in the story of a container."""
    return _role[0]


def be(role: str) -> None:
    """Said by each process when it begins its part."""
    _role[0] = role


def keep_open(fd: int) -> None:
    """A watcher needs it: whoever closes what it has inherited leaves this one."""
    _open.append(fd)


def kept_open() -> tuple[int, ...]:
    """The descriptors that `keep_open` was told of."""
    return tuple(_open)


@contextmanager
def prefixed(prefix: str) -> Iterator[None]:
    """Within: commands are shown as run through `prefix`, such as `ip netns exec web`."""
    _prefixes.append(prefix + " ")
    try:
        yield
    finally:
        _prefixes.pop()


# In quotes: what a parameter specification is, only the real typing knows.
def shell(template: str, **made: Callable[[dict[str, Any]], object]) -> "Callable[[Callable[P, R]], Callable[P, R]]":
    """Declare the command for a primitive; `{name}` is the argument of that name, quoted for a shell, or what `made`
    makes of the arguments."""

    def decorate(function: "Callable[P, R]") -> "Callable[P, R]":
        code = function.__code__
        names = code.co_varnames[: code.co_argcount]
        defaults = dict(zip(reversed(names), reversed(function.__defaults__ or ()), strict=False))

        @wraps(function)
        def call(*args: "P.args", **kwargs: "P.kwargs") -> R:
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
    started, process = time.perf_counter(), os.getpid()
    failure: BaseException | None = None
    try:
        for watcher in _watchers:
            watcher.before(operation)
        return function(*args, **kwargs)
    except BaseException as error:
        failure = error
        if isinstance(error, OSError):
            error.add_note(f"while doing: {operation.command}")
        raise
    finally:
        if os.getpid() == process:  # who is made by the operation comes back from it, too
            for watcher in _watchers:
                watcher.after(operation, time.perf_counter() - started, failure)
