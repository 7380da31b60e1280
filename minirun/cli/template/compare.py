"""eq, ne, lt, le, gt, ge. Source: https://pkg.go.dev/text/template, "Functions"."""

from collections.abc import Callable

from minirun.cli.template.values import CallError, show, type_name

_BASIC = ("bool", "int", "float64", "string")


def equal(first: object, *others: object) -> bool:
    """True if the first is equal to any of the others."""
    if not others:
        raise CallError("missing argument for comparison")
    return any(_same(first, other) for other in others)


def _same(left: object, right: object) -> bool:
    if left is None or right is None:
        return left is right
    kinds = type_name(left), type_name(right)
    if kinds[0] != kinds[1] and (kinds[0] in _BASIC or kinds[1] in _BASIC):
        raise CallError("incompatible types for comparison")
    if kinds[0] not in _BASIC:
        raise CallError(f"non-comparable type {show(left)}: {kinds[0]}")
    return left == right


def _less(left: object, right: object) -> bool:
    kinds = type_name(left), type_name(right)
    if any(kind not in _BASIC or kind == "bool" for kind in kinds):
        raise CallError("invalid type for comparison")
    if kinds[0] != kinds[1]:
        raise CallError("incompatible types for comparison")
    return left < right  # type: ignore[operator, no-any-return]


COMPARISONS: dict[str, Callable[[object, object], bool]] = {
    "ne": lambda left, right: not _same(left, right),
    "lt": _less,
    "le": lambda left, right: _less(left, right) or _same(left, right),
    "gt": lambda left, right: not (_less(left, right) or _same(left, right)),
    "ge": lambda left, right: not _less(left, right),
}
