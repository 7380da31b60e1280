"""Values as a template sees them: what is true, what their types are called, how they print.

They are what json reads (dict, list, str, int, float, bool, None), NO_VALUE for a key that is missing, and callables
in dicts, which stand for methods and are never printed. Source: https://pkg.go.dev/fmt
"""

from collections.abc import Iterator

from minirun.errors import MinirunError

NO_VALUE = object()


class TemplateError(MinirunError):
    """A template that cannot be parsed, or cannot be carried out on this value."""

    def __init__(self, message: str) -> None:
        super().__init__(f"template parsing error: template: {message}")  # Docker says so of both kinds


class CallError(ValueError):
    """A function of a template does not like its arguments. Only the evaluator, which knows the place, sees it."""


class Struct(dict[str, object]):
    """A dict whose keys are fixed, as a Go struct's: one that is missing is a mistake of whoever wrote the template."""


def truth(value: object) -> bool:
    """Whether `if` takes a value for true."""
    return value is not NO_VALUE and bool(value)


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
