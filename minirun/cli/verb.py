"""What a verb is: a class whose flags are its attributes, and the reading of its words as pflag reads Docker's.

    class Stop(Verb):
        usage = "CONTAINER [CONTAINER...]"
        least = 1
        patience = number("timeout", "t", "Seconds to wait", 10)

        def run(self) -> int: ...

Not typer or argparse: importing typer cost half of `run --rm busybox true`, and neither knows `--sig-proxy=false`,
`-itp8080:80` or flags that end where the container's command begins. Source: https://pkg.go.dev/github.com/spf13/pflag
"""

from typing import Any, ClassVar

from minirun.cli.verbs import canonical
from minirun.errors import FAILED, MinirunError

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


class UsageError(MinirunError):
    """What was typed is not how the verb is used."""


class Flag:
    """One flag. `kind` is what its value is called in the help; "" for a switch, which needs none."""

    def __init__(
        self, name: str, short: str, text: str, default: Any, kind: str, hidden: bool = False, also: str = ""
    ) -> None:
        self.name = name
        self.short = short
        self.text = text
        self.default = default
        self.kind = kind
        self.hidden = hidden
        self.also = also  # another name of it
        self.attribute = ""

    @property
    def shown(self) -> str:
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"

    def read(self, word: str) -> Any:
        if isinstance(self.default, bool):
            if word not in _TRUE + _FALSE:
                self.refuse(word, f'strconv.ParseBool: parsing "{word}": invalid syntax')
            return word in _TRUE
        if isinstance(self.default, int):
            try:
                return int(word) if word.isascii() and len(word) < 20 and "_" not in word else int("")
            except ValueError:
                self.refuse(word, f'strconv.ParseInt: parsing "{word}": invalid syntax')
        return word

    def refuse(self, word: str, why: str) -> None:
        raise UsageError(f'invalid argument "{word}" for "{self.shown}" flag: {why}', code=FAILED)


# Typed by what a verb reads from them, not by what they are: a class attribute until the words are read.


def switch(name: str, short: str, text: str, default: bool = False, hidden: bool = False) -> bool:
    return Flag(name, short, text, default, "", hidden)  # type: ignore[return-value]


def value(name: str, short: str, text: str, default: str = "", kind: str = "string", also: str = "") -> str:
    return Flag(name, short, text, default, kind, also=also)  # type: ignore[return-value]


def number(name: str, short: str, text: str, default: int = 0, also: str = "") -> int:
    return Flag(name, short, text, default, "int", also=also)  # type: ignore[return-value]


def many(name: str, short: str, text: str, kind: str = "list", also: str = "") -> tuple[str, ...]:
    """May be given several times."""
    return Flag(name, short, text, (), kind, also=also)  # type: ignore[return-value]


class Verb:
    """Base of all verbs. After `read`, each flag's attribute is its value, and `words` the rest."""

    usage: ClassVar[str] = ""  # what follows [OPTIONS]
    least: ClassVar[int] = 0  # words that are no flags
    most: ClassVar[int | None] = None
    interspersed: ClassVar[bool] = True  # False: flags end at the first word, the rest is the container's command
    # What its words name, in their order, for completion; the last goes for all that follow. containers, running,
    # paused, stopped, removable, images, networks, volumes, objects, files, copied, one|of|several, or - for nothing.
    completes: ClassVar[str] = ""
    filterable: ClassVar[tuple[str, ...]] = ()  # keys of its --filter

    def __init__(self, called: str) -> None:
        self.called = called  # as it was typed: "container ls"
        self.words: list[str] = []
        self.given: set[str] = set()  # names of the flags that were typed

    def run(self) -> int | None:
        """The exit code; None is 0."""
        raise NotImplementedError

    def check(self) -> None:
        """What depends on several flags, before anything else is done."""

    @classmethod
    def flags(cls) -> dict[str, Flag]:
        """By name. A class and what it inherits from."""
        found: dict[str, Flag] = {}
        for base in reversed(cls.__mro__):
            for attribute, flag in vars(base).items():
                if isinstance(flag, Flag):
                    flag.attribute = attribute
                    found[flag.name] = flag
        return found

    @classmethod
    def flag_called(cls, name: str) -> Flag | None:
        """By either of its long names."""
        return next((flag for flag in cls.flags().values() if name in (flag.name, flag.also)), None)

    @classmethod
    def slot(cls, words: list[str]) -> tuple[Flag | None, list[str], set[str]]:
        """Where one more word would go: (the flag whose value it is, the words before it, the flags given so far)."""
        *before, (flag, _) = _Reader(cls.flags(), [*words, "next"], "").typed(cls.interspersed)
        return flag, [word for one, word in before if one is None], {one.name for one, _ in before if one}

    def read(self, words: list[str]) -> bool:
        """Set the attributes. False when help is asked for."""
        flags = self.flags()
        values = {flag.attribute: flag.default for flag in flags.values()}
        reader = _Reader(flags, words, canonical(self.called))
        for flag, word in reader.typed(self.interspersed):
            if flag is None:
                self.words.append(word)
                continue
            if flag is _HELP:
                return False
            self.given.add(flag.name)
            read = flag.read(word)
            values[flag.attribute] = (*values[flag.attribute], read) if flag.default == () else read
        vars(self).update(values)
        self._count()
        return True

    def _count(self) -> None:
        """In Docker's words."""
        count, least, most = len(self.words), self.least, self.most
        if least <= count and (most is None or count <= most):
            return
        if most == 0:
            raise UsageError(f"'minirun {self.called}' accepts no arguments")
        bound = least if count < least or most is None else most
        kind = "" if least == most else "at least " if count < least else "at most "
        raise UsageError(f"'minirun {self.called}' requires {kind}{bound} argument{'' if bound == 1 else 's'}")


_HELP = Flag("help", "", "", False, "")


class _Reader:
    """The words, one after the other, as (flag, its value) or (None, a word)."""

    def __init__(self, flags: dict[str, Flag], words: list[str], verb: str) -> None:
        self._by_name = {"help": _HELP, **flags, **{flag.also: flag for flag in flags.values() if flag.also}}
        self._by_letter = {"h": _HELP, **{flag.short: flag for flag in flags.values() if flag.short}}
        self._words = words
        self._verb = verb
        self._at = 0

    def typed(self, interspersed: bool) -> "list[tuple[Flag | None, str]]":
        found: list[tuple[Flag | None, str]] = []
        while self._at < len(self._words):
            word = self._words[self._at]
            self._at += 1
            if word == "--":
                break
            if word.startswith("--"):
                found.append(self._long(word[2:]))
            elif word.startswith("-") and word != "-":
                found += self._short(word)
            else:
                found.append((None, word))
                if not interspersed:
                    break
        return [*found, *((None, word) for word in self._words[self._at :])]

    def _long(self, text: str) -> tuple[Flag, str]:
        name, equals, given = text.partition("=")
        flag = self._by_name.get(name)
        if flag is None:
            raise self._unknown(name)
        if equals:
            return flag, given
        return flag, "true" if not flag.kind else self._next(f"flag needs an argument: --{name}")

    def _unknown(self, name: str) -> UsageError:
        from minirun.cli.refused import reason

        why = reason(self._verb, name)
        return UsageError(f"--{name} cannot be had: {why}" if why else f"unknown flag: --{name}", code=FAILED)

    def _short(self, word: str) -> list[tuple[Flag, str]]:
        """`-it`, `-p80`, `-p=80`, `-itp 80`."""
        found: list[tuple[Flag, str]] = []
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            flag = self._by_letter.get(letter)
            if flag is None:
                raise UsageError(f"unknown shorthand flag: '{letter}' in {word}", code=FAILED)
            if letters.startswith("="):
                return [*found, (flag, letters[1:])]
            if flag.kind:
                missing = f"flag needs an argument: '{letter}' in {word}"
                return [*found, (flag, letters or self._next(missing))]
            found.append((flag, "true"))
        return found

    def _next(self, missing: str) -> str:
        if self._at >= len(self._words):
            raise UsageError(missing, code=FAILED)
        self._at += 1
        return self._words[self._at - 1]
