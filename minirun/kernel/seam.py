"""The seam: each kernel primitive says, on the line above it, the shell command that does the same.

From this one place come the note on an exception ("while doing: ip link add ..."), `--explain`, timings, and the
points where tests make things fail. Callers carry no trace code; without a watcher a call costs one `if`.
"""

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Operation:
    """One call of one primitive. `command` is rendered only when somebody asks: most starts never do."""

    def __init__(self, name: str, template: str, values: dict[str, object], prefix: str) -> None:
        self.name = name
        self._template = template
        self._values = values
        self._prefix = prefix

    @property
    def command(self) -> str:
        return self._prefix + self._template.format_map(_Quoted(self._values))


class Watcher:
    """Told of each operation. Raising from `before` makes the operation fail: this is how tests inject faults."""

    def before(self, operation: Operation) -> None: ...

    def after(self, operation: Operation, seconds: float, error: BaseException | None) -> None: ...


class _Quoted(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return f"<{key}>"

    def __getitem__(self, key: str) -> object:
        value = super().__getitem__(key)
        if isinstance(value, (list, tuple)):
            return shlex.join(str(item) for item in value)
        return value if isinstance(value, Raw) else shlex.quote(str(value))


class Raw(str):
    """A piece of shell that stands as it is, such as the body of a here-document."""


_watchers: list[Watcher] = []
_prefixes: list[str] = []


def watch(watcher: Watcher) -> None:
    _watchers.append(watcher)


@contextmanager
def prefixed(prefix: str) -> Iterator[None]:
    """Within: commands are shown as run through `prefix`, such as `ip netns exec web`."""
    _prefixes.append(prefix + " ")
    try:
        yield
    finally:
        _prefixes.pop()


def shell(template: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declare the command for a primitive; `{name}` is the argument of that name, quoted for a shell."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        code = function.__code__
        names = code.co_varnames[: code.co_argcount]
        defaults = dict(zip(reversed(names), reversed(function.__defaults__ or ()), strict=False))

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            values = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
            operation = Operation(function.__name__, template, values, "".join(_prefixes))
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
    started = time.perf_counter()
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
        for watcher in _watchers:
            watcher.after(operation, time.perf_counter() - started, failure)
