"""Enumerations of texts and of numbers, made without the machinery that lets `enum` have all the other kinds."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from enum import IntEnum, StrEnum
else:
    from collections.abc import Iterator

    class _Enumeration(type):
        """A class whose public attributes, in their order, are its only instances."""

        def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, object]) -> "_Enumeration":
            values = {key: value for key, value in space.items() if not key.startswith("_") and not callable(value)}
            made = super().__new__(cls, name, bases, {key: one for key, one in space.items() if key not in values})
            made.__members__ = {}
            made._by_value = {}
            for key, value in values.items():
                member = made._by_value.get(value)
                if member is None:
                    made._by_value[value] = member = made.__new__(made, value)
                    member.name, member.value = key, value
                made.__members__[key] = member
                type.__setattr__(made, key, member)
            return made

        def __call__(cls, value: object) -> object:
            try:
                return cls._by_value[value]
            except (KeyError, TypeError):
                raise ValueError(f"{value!r} is not a valid {cls.__qualname__}") from None

        def __iter__(cls) -> Iterator[object]:
            return iter(cls._by_value.values())

        def __len__(cls) -> int:
            return len(cls._by_value)

        def __getitem__(cls, name: str) -> object:
            return cls.__members__[name]

        def __setattr__(cls, name: str, value: object) -> None:
            if name in cls.__dict__.get("__members__", ()):
                raise AttributeError(f"cannot reassign member {name!r}")
            super().__setattr__(name, value)

    class _Member:
        def __repr__(self) -> str:
            return f"<{type(self).__name__}.{self.name}: {self.value!r}>"

        def __copy__(self) -> "_Member":
            return self

        def __deepcopy__(self, _: object) -> "_Member":
            return self

        def __reduce__(self) -> tuple[object, ...]:
            return type(self), (self.value,)

    class StrEnum(_Member, str, metaclass=_Enumeration):
        """Its members are texts."""

        __str__ = str.__str__
        __format__ = str.__format__

    class IntEnum(_Member, int, metaclass=_Enumeration):
        """Its members are numbers."""

        __str__ = int.__repr__
        __format__ = int.__format__


__all__ = ["IntEnum", "StrEnum"]
