"""Dataclasses without the code that dataclasses(3) writes and compiles for each class.

A class's fields are read when it is made; its methods are these, for all classes. Making one takes 10 us instead of
300, and `dataclasses` itself, with the `inspect` behind it, is not imported. An instance is made as fast: one update of
its `__dict__`, where the original sets field by field. The functions of `dataclasses` take such an instance for one of
theirs.
"""

from collections.abc import Callable

from minirun.light.typing import ClassVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, is_dataclass, replace

__all__ = ["FrozenInstanceError", "asdict", "dataclass", "field", "fields", "is_dataclass", "replace"]

if not TYPE_CHECKING:
    _FIELDS = "__dataclass_fields__"
    _REQUIRED = object()

    class FrozenInstanceError(AttributeError):
        """An attempt to change what does not change."""

    class Field:
        """`name` as in the class; `default`, or what `default_factory` makes anew for each instance."""

        __slots__ = ("default", "default_factory", "name")
        init = True

        def __init__(self, default: object, factory: Callable[[], object] | None) -> None:
            self.name = ""
            self.default = default
            self.default_factory = factory

        @property
        def _field_type(self) -> object:
            """What the original asks for."""
            from dataclasses import _FIELD

            return _FIELD

    def field(*, default: object = _REQUIRED, default_factory: Callable[[], object] | None = None) -> Field:
        return Field(default, default_factory)

    def dataclass(cls: type | None = None, /, *, frozen: bool = False, eq: bool = True, repr: bool = True) -> object:
        """With the meaning that dataclasses gives these words."""

        def decorate(cls: type) -> type:
            _take_fields(cls)
            cls.__init__ = _init
            if frozen:
                cls.__setattr__, cls.__delattr__ = _refuse_set, _refuse_delete
            if eq:
                cls.__eq__ = _eq
                cls.__hash__ = _hash if frozen else None
            if repr and "__repr__" not in vars(cls):
                cls.__repr__ = _repr
            return cls

        return decorate(cls) if cls is not None else decorate

    def _take_fields(cls: type) -> None:
        found = {}
        for base in reversed(cls.__mro__[1:]):
            found |= vars(base).get(_FIELDS, {})
        for name, hint in vars(cls).get("__annotations__", {}).items():
            if hint is ClassVar:
                continue
            given = vars(cls).get(name, _REQUIRED)
            one = given if isinstance(given, Field) else Field(given, None)
            if isinstance(given, Field):
                delattr(cls, name)
                if one.default is not _REQUIRED:
                    setattr(cls, name, one.default)
            if type(one.default).__hash__ is None:
                raise ValueError(f"mutable default {type(one.default)} for field {name} is not allowed")
            one.name = name
            found[name] = one
        setattr(cls, _FIELDS, found)
        cls._names = cls.__match_args__ = tuple(found)
        cls._defaults = {name: one.default for name, one in found.items() if one.default is not _REQUIRED}
        cls._factories = {name: one.default_factory for name, one in found.items() if one.default_factory is not None}

    def _init(self: object, /, *args: object, **kwargs: object) -> None:
        values = self.__dict__
        names = self._names
        if self._defaults:
            values.update(self._defaults)
        values.update(zip(names, args))  # noqa: B905 - strict would cost each instance; too many are found below
        values.update(kwargs)
        for name, make in self._factories.items():
            if name not in values:
                values[name] = make()
        if (
            len(values) != len(names)
            or len(args) > len(names)
            or (args and not kwargs.keys().isdisjoint(names[: len(args)]))
        ):
            raise _mistake(type(self), args, kwargs)

    def _mistake(cls: type, args: tuple[object, ...], kwargs: dict[str, object]) -> TypeError:
        """In Python's words."""
        names = cls._names
        if unknown := [name for name in kwargs if name not in names]:
            return TypeError(f"{cls.__name__}.__init__() got an unexpected keyword argument {unknown[0]!r}")
        if len(args) > len(names):
            return TypeError(
                f"{cls.__name__}.__init__() takes {len(names) + 1} positional arguments but {len(args) + 1} were given"
            )
        if twice := [name for name in names[: len(args)] if name in kwargs]:
            return TypeError(f"{cls.__name__}.__init__() got multiple values for argument {twice[0]!r}")
        given = {*names[: len(args)], *kwargs, *cls._defaults, *cls._factories}
        missing = [repr(name) for name in names if name not in given]
        return TypeError(f"{cls.__name__}.__init__() missing required arguments: {', '.join(missing)}")

    def replace(one: object, /, **changes: object) -> object:
        """A new one of the same class, with other values for some fields."""
        cls = type(one)
        new = cls.__new__(cls)
        values = new.__dict__
        values.update(one.__dict__)
        values.update(changes)
        if len(values) != len(cls._names):
            raise _mistake(cls, (), changes)
        return new

    def fields(one: object) -> tuple[Field, ...]:
        """Of a class or an instance, in their order."""
        try:
            return tuple(getattr(one, _FIELDS).values())
        except AttributeError:
            raise TypeError("must be called with a dataclass type or instance") from None

    def is_dataclass(one: object) -> bool:
        return hasattr(one if isinstance(one, type) else type(one), _FIELDS)

    def asdict(one: object) -> dict[str, object]:
        """As plain dicts, all the way down."""
        if not is_dataclass(one) or isinstance(one, type):
            raise TypeError("asdict() should be called on dataclass instances")
        return {name: _plain(getattr(one, name)) for name in one._names}

    def _plain(value: object) -> object:
        if hasattr(type(value), _FIELDS):
            return asdict(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(_plain, value))
        if isinstance(value, (list, tuple)):
            return type(value)(map(_plain, value))
        if isinstance(value, dict):
            return type(value)((_plain(key), _plain(of_key)) for key, of_key in value.items())
        return value

    def _values(one: object) -> tuple[object, ...]:
        return tuple([getattr(one, name) for name in one._names])

    def _eq(self: object, other: object) -> bool:
        return _values(self) == _values(other) if type(self) is type(other) else NotImplemented

    def _hash(self: object) -> int:
        return hash(_values(self))

    def _repr(self: object) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._names)
        return f"{type(self).__qualname__}({shown})"

    def _refuse_set(self: object, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def _refuse_delete(self: object, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")
