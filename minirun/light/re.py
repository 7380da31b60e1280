"""Regular expressions that are compiled, and `re` imported, when one is first used: most are for what was not typed."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from re import ASCII, DOTALL, IGNORECASE, MULTILINE, VERBOSE, Match, Pattern, compile, error
else:
    IGNORECASE, MULTILINE, DOTALL, VERBOSE, ASCII = 2, 8, 16, 64, 256  # as in sre_constants.h

    class compile:  # noqa: N801 - as it is called there
        """What re.compile returns, in the end."""

        __slots__ = ("_flags", "_made", "_text")

        def __init__(self, text: str, flags: int = 0) -> None:
            self._text, self._flags, self._made = text, flags, None

        def __getattr__(self, name: str) -> object:
            """match, sub, ...: of the pattern itself."""
            if self._made is None:
                import re

                self._made = re.compile(self._text, self._flags)
            return getattr(self._made, name)

    class Match:
        """For annotations."""

        def __class_getitem__(cls, _: object) -> type:
            return cls

    Pattern = Match

    def __getattr__(name: str) -> object:
        """`error` is what a pattern may raise when it is first used."""
        if name != "error":
            raise AttributeError(name)
        import re

        return re.error


__all__ = ["ASCII", "DOTALL", "IGNORECASE", "MULTILINE", "VERBOSE", "Match", "Pattern", "compile", "error"]
