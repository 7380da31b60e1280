"""BuildKit's own parser, in a wheel (PyPI's `dockerfile`), and ours, in one form that can be compared."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import singledispatch

import pytest

from minirun.errors import MinirunError
from minirun.image.dockerfile import syntax
from minirun.image.dockerfile.arguments import plain_words
from minirun.image.dockerfile.parser import parse_statement
from minirun.image.dockerfile.source import Source
from minirun.image.dockerfile.statements import Statement, exec_form, read, statement
from minirun.image.dockerfile.words import SPACES

dockerfile = pytest.importorskip("dockerfile", reason="this machine has no wheel of BuildKit's parser")


@dataclass(frozen=True)
class Read:
    """An instruction, as a parser reads it."""

    name: str
    trigger: str
    is_json: bool
    flags: tuple[str, ...]
    value: tuple[str, ...]
    heredocs: tuple[tuple[str, int, str], ...]
    lines: tuple[int, int]


def buildkit(text: str) -> list[Read] | None:
    """What BuildKit reads; None for an error."""
    try:
        commands = dockerfile.parse_string(text)
    except dockerfile.GoParseError:
        return None
    return [
        Read(
            (command.cmd or "").upper(),
            (command.sub_cmd or "").upper(),
            command.json,
            tuple(command.flags),
            _comparable(command.sub_cmd or command.cmd or "", command.value),
            # the wheel shows no here-documents of ONBUILD: its lines tell that they were read
            () if command.sub_cmd else tuple((doc.name, doc.file_descriptor, doc.content) for doc in command.heredocs),
            (command.start_line, command.end_line),
        )
        for command in commands
    ]


def minirun(text: str) -> list[Read] | None:
    """What minirun reads; None for an error."""
    try:
        script = read(Source("Dockerfile", text))
        return [_read(written, script.escape) for written in script.statements]
    except MinirunError:
        return None


def _read(written: Statement, escape: str) -> Read:
    inner = written
    if written.name.upper() == "ONBUILD":
        inner = statement(written.arguments, escape, written.lines)
    is_trigger = inner is not written
    return Read(
        written.name.upper(),
        inner.name.upper() if is_trigger else "",
        _is_json(inner),
        written.flags,
        _comparable(inner.name, value(parse_statement(inner, escape))),
        () if is_trigger else tuple((doc.name, doc.fd, doc.content) for doc in written.heredocs),
        (written.lines.first, written.lines.last),
    )


def _comparable(name: str, words: Iterable[str | None]) -> tuple[str, ...]:
    """Our instructions keep ports sorted, and here-documents apart from the other sources, without their quotes."""
    values = [word or "" for word in words]
    if name.upper() not in ("ADD", "COPY", "EXPOSE"):
        return tuple(values)
    return tuple(sorted(re.sub("[-'\"\\\\0-9]", "", word) if "<<" in word else word for word in values))


def _is_json(inner: Statement) -> bool:
    words = SPACES.split(inner.arguments, maxsplit=1)
    text = words[1] if inner.name.upper() == "HEALTHCHECK" and len(words) == 2 else inner.arguments
    takes = ("ADD", "CMD", "COPY", "ENTRYPOINT", "HEALTHCHECK", "RUN", "SHELL", "VOLUME")
    return inner.name.upper() in takes and exec_form(text) is not None


@singledispatch
def value(instruction: syntax.Instruction) -> tuple[str, ...]:
    """The arguments of an instruction, as BuildKit's parser lists them."""
    raise TypeError(instruction)


@value.register
def _(instruction: syntax.Command) -> tuple[str, ...]:
    return tuple(word for word in instruction.words if word or instruction.is_exec_form)


@value.register
def _(instruction: syntax.Shell) -> tuple[str, ...]:
    return instruction.words


@value.register
def _(instruction: syntax.Text) -> tuple[str, ...]:
    return (instruction.argument,)


@value.register(syntax.Env)
@value.register(syntax.Label)
def _(instruction: syntax.Env | syntax.Label) -> tuple[str, ...]:
    return tuple(text for pair in instruction.pairs for text in (pair.name, pair.value))


@value.register
def _(instruction: syntax.Arg) -> tuple[str, ...]:
    return tuple(name if default is None else f"{name}={default}" for name, default in instruction.declarations)


@value.register
def _(instruction: syntax.From) -> tuple[str, ...]:
    written = statement(instruction.text, "\\", instruction.lines)
    return plain_words(written.arguments)


@value.register
def _(instruction: syntax.Transfer) -> tuple[str, ...]:
    return (*instruction.sources, *(f"<<{doc.name}" for doc in instruction.contents), instruction.destination)


@value.register
def _(instruction: syntax.Healthcheck) -> tuple[str, ...]:
    kind, *command = instruction.test
    return ("NONE",) if kind == "NONE" else ("CMD", *command)


@value.register
def _(instruction: syntax.Expose) -> tuple[str, ...]:
    return instruction.ports


@value.register
def _(instruction: syntax.Volume) -> tuple[str, ...]:
    return instruction.paths
