"""What annotations are made of, for those who only read them: checkers see `typing`, a running minirun these.

`typing` brings regular expressions and context managers along, and makes a hundred classes, of which none is needed to
run.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import (
        IO,
        Any,
        BinaryIO,
        ClassVar,
        Generic,
        NamedTuple,
        NoReturn,
        ParamSpec,
        Protocol,
        TypeAlias,
        TypedDict,
        TypeVar,
        cast,
    )

__all__ = [
    "IO",
    "TYPE_CHECKING",
    "Any",
    "BinaryIO",
    "ClassVar",
    "Generic",
    "NamedTuple",
    "NoReturn",
    "ParamSpec",
    "Protocol",
    "TypeAlias",
    "TypeVar",
    "TypedDict",
    "cast",
]

if not TYPE_CHECKING:
    from _collections import _tuplegetter

    class _Hint:
        """It may stand wherever an annotation is evaluated: `dict[str, Any]`, `Any | None`, `ClassVar[int]`."""

        def __getitem__(self, _: object) -> "_Hint":
            return self

        def __or__(self, _: object) -> "_Hint":
            return self

        __ror__ = __or__

    IO = Any = BinaryIO = NoReturn = TypeAlias = _Hint()
    ClassVar = _Hint()  # one of its own: dataclasses.py asks for it

    class Generic:
        """As a base class it says nothing about an instance."""

        def __class_getitem__(cls, _: object) -> type:
            return cls

    Protocol = Generic

    class TypedDict(dict):
        """A dict: what is in it is for checkers."""

        def __init_subclass__(cls, total: bool = True) -> None: ...

    class NamedTuple(tuple):
        """A tuple whose fields have names, in the order of their annotations, and defaults."""

        __slots__ = ()
        _fields = ()

        def __init_subclass__(cls) -> None:
            cls._fields = cls.__match_args__ = tuple(vars(cls).get("__annotations__", cls._fields))
            cls._defaults = {name: vars(cls)[name] for name in cls._fields if name in vars(cls)}
            for place, name in enumerate(cls._fields):
                setattr(cls, name, _tuplegetter(place, ""))

        def __new__(cls, *args: object, **kwargs: object) -> "NamedTuple":
            if kwargs or len(args) != len(cls._fields):
                given = dict(zip(cls._fields, args))  # noqa: B905 - too many are found below
                values = {**cls._defaults, **given, **kwargs}
                if len(args) > len(cls._fields) or values.keys() != set(cls._fields) or given.keys() & kwargs.keys():
                    raise TypeError(f"{cls.__name__} has the fields {', '.join(cls._fields)}")
                args = tuple([values[name] for name in cls._fields])
            return tuple.__new__(cls, args)

        @classmethod
        def _make(cls, values: object) -> "NamedTuple":
            return cls(*values)

        def _replace(self, **changes: object) -> "NamedTuple":
            return type(self)(**{**self._asdict(), **changes})

        def _asdict(self) -> dict[str, object]:
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self) -> tuple[object, ...]:
            return tuple(self)

        def __repr__(self) -> str:
            shown = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
            return f"{type(self).__name__}({shown})"

    def TypeVar(*_: object, **__: object) -> _Hint:  # noqa: N802 - as it is called in typing
        return Any

    ParamSpec = TypeVar

    def cast(_: object, value: object) -> object:
        return value
