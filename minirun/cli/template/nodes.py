"""What the parser makes and the evaluator walks. Named tuples, as a class of those is made ten times faster than a
dataclass, and this package is loaded by commands that should start fast."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """Where in the template: `at` is what an error points to, start to end is what it quotes."""

    at: int
    start: int
    end: int


class Literal(NamedTuple):
    """A constant."""

    value: str | int | float | bool | None
    place: Place


class Path(NamedTuple):
    """`.A.B`, `$x.A` or `(pipeline).A`: a root, which is None for the dot, and the fields from there."""

    root: str | Pipe | Name | None  # str: a variable, with its $
    names: tuple[str, ...]
    place: Place


class Name(NamedTuple):
    """The name of a function."""

    name: str
    place: Place


class Command(NamedTuple):
    """A function or field with its arguments."""

    words: tuple[Operand, ...]
    place: Place


class Pipe(NamedTuple):
    """`$a, $b := command | command`. `assigns` tells = from :=."""

    variables: tuple[str, ...]
    assigns: bool
    commands: tuple[Command, ...]
    place: Place


class Text(NamedTuple):
    """Text between actions."""

    text: str


class Action(NamedTuple):
    """A pipeline whose value is printed."""

    pipe: Pipe


class Branch(NamedTuple):
    """if or with: the first arm whose pipeline is true, or else `other`."""

    kind: str
    arms: tuple[tuple[Pipe, tuple[Node, ...]], ...]
    other: tuple[Node, ...]


class Range(NamedTuple):
    """A loop."""

    pipe: Pipe
    body: tuple[Node, ...]
    other: tuple[Node, ...]


class Jump(NamedTuple):
    """break or continue."""

    kind: str


class Include(NamedTuple):
    """`{{template "name" pipeline}}`."""

    name: str
    pipe: Pipe | None
    place: Place


Operand = Literal | Path | Name | Pipe
Node = Text | Action | Branch | Range | Jump | Include
