"""Values as a template sees them: what is true, what their types are called, how they print.

They are what json reads (dict, list, str, int, float, bool, None), NO_VALUE for a key that is missing, and callables
in dicts, which stand for methods and are never printed. Structs, and what their fields hold, come from structs.py.
Source: https://pkg.go.dev/fmt
"""

from collections.abc import Iterator, Mapping

from minirun.errors import MinirunError

NO_VALUE = object()


class TemplateError(MinirunError):
    """A template that cannot be parsed, or cannot be carried out on this value."""

    def __init__(self, message: str) -> None:
        super().__init__(f"template parsing error: template: {message}")  # Docker says so of both kinds


class CallError(ValueError):
    """A function of a template does not like its arguments. Only the evaluator, which knows the place, sees it."""


class Struct(dict[str, object]):
    """A Go struct. As a dict it is what `json` prints; `fields` are what Go has, in its order, also those that JSON
    omits. A template may name both, and what `others` has: fields of embedded structs."""

    def __init__(
        self,
        json: Mapping[str, object],
        fields: Mapping[str, object] | None = None,
        others: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(json)
        self.fields = json if fields is None else fields
        self.typed = {**(others or {}), **self.fields}
        self.names = {**json, **self.typed}


class NilList(list[object]):
    """A slice that is nil: `null` in JSON, else an empty one."""


class NilMap(dict[str, object]):
    """A map that is nil: `null` in JSON, else an empty one."""


class Time(str):
    """A time.Time, as RFC 3339 in JSON, and in Go's words when it is printed."""

    __slots__ = ()

    def words(self) -> str:
        """2026-11-28 17:23:27.646323294 +0000 UTC"""
        date, _, rest = self.removesuffix("Z").partition("T")
        whole, _, fraction = rest.partition(".")
        digits = fraction.rstrip("0")
        return f"{date} {whole}{'.' if digits else ''}{digits} +0000 UTC"


class Duration(int):
    """A time.Duration: nanoseconds in JSON, and 1m30s when it is printed."""

    __slots__ = ()

    def words(self) -> str:
        """As Go's Duration.String."""
        for unit, name in ((1, "ns"), (1_000, "µs"), (1_000_000, "ms")):
            if 0 < abs(self) < unit * 1000 and abs(self) < 1_000_000_000:
                return float_text(self / unit) + name
        sign, size = "-" if self < 0 else "", abs(self)
        minutes, rest = divmod(size, 60_000_000_000)
        hours, minutes = divmod(minutes, 60)
        seconds = f"{rest // 1_000_000_000}.{rest % 1_000_000_000:09d}".rstrip("0").rstrip(".") + "s"
        return sign + (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + seconds


def truth(value: object) -> bool:
    """Whether `if` takes a value for true."""
    return isinstance(value, Struct) or (value is not NO_VALUE and bool(value))


def type_name(value: object) -> str:
    """The Go name of a value's type."""
    for kind, name in _TYPES:
        if isinstance(value, kind):
            return name
    return "<nil>" if value is None or value is NO_VALUE else "func()"


_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "bool"),  # before int, which a bool is too
    (int, "int"),
    (float, "float64"),
    (str, "string"),
    (list, "[]interface {}"),
    (tuple, "[]interface {}"),
    (Struct, "struct"),
    (dict, "map[string]interface {}"),
)


def static_type(value: object) -> str:
    """For errors: what is nil has no type but that of the place where it was found."""
    return "interface {}" if value is None or value is NO_VALUE else type_name(value)


def entries(value: dict[object, object]) -> Iterator[tuple[str, object]]:
    """Sorted by key, as Go does whenever it walks a map."""
    for key in sorted(value, key=str):
        if not callable(value[key]):
            yield str(key), value[key]


def show(value: object) -> str:
    """As %v."""
    if isinstance(value, Time | Duration):
        return value.words()
    if isinstance(value, str):
        return value
    if value is NO_VALUE:
        return "<no value>"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, list | tuple):
        return "[" + " ".join([show(item) for item in value]) + "]"
    if isinstance(value, Struct):
        return "{" + " ".join([show(item) for item in value.fields.values() if not callable(item)]) + "}"
    if isinstance(value, dict):
        return "map[" + " ".join([f"{key}:{show(item)}" for key, item in entries(value)]) + "]"
    return str(value)


def float_text(value: float, smallest: int = -4, largest: int = 6) -> str:
    """The shortest digits that read back as the same number. An exponent outside the limits is written as such."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    sign = "-" if repr(value).startswith("-") else ""
    digits, point = _shortest(value)
    if not smallest < point <= largest:
        fraction = f".{digits[1:]}" if digits[1:] else ""
        return f"{sign}{digits[0]}{fraction}e{point - 1:+03d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    whole, fraction = digits[:point].ljust(point, "0"), digits[point:]
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def _shortest(value: float) -> tuple[str, int]:
    """The digits, and how many of them stand before the point."""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    return (digits.rstrip("0"), point) if digits else ("0", 1)
