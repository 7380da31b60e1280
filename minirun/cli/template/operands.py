"""What a pipeline is worth: variables, fields, methods and function calls."""

from __future__ import annotations

from typing import NoReturn

from minirun.cli.template.functions import FUNCTIONS, Function
from minirun.cli.template.lexer import quoted
from minirun.cli.template.literals import utf8
from minirun.cli.template.nodes import Command, Literal, Name, Node, Operand, Path, Pipe, Place
from minirun.cli.template.printf import LARGEST
from minirun.cli.template.values import NO_VALUE, Struct, TemplateError, static_type, truth
from minirun.errors import MinirunError

_STEPS = 1_000_000  # about two seconds
_ABSENT = object()  # no value comes down the pipeline
_TYPES: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "string": ("string", str),
    "int": ("int", int),
    "strings": ("[]string", (list, tuple)),
}


class Operands:
    """Evaluates pipelines."""

    def __init__(self, text: str, templates: dict[str, tuple[Node, ...]], missing_key_is_error: bool) -> None:
        self.text = text
        self.templates = templates
        self.name = ""  # of the template that is carried out, for errors
        self.depth = 0
        self.pieces: list[str] = []
        self._missing_key_is_error = missing_key_is_error
        self._steps, self._size = _STEPS, LARGEST
        self._variables: list[list[object]] = []  # name and value, the latest last

    def spend(self, step: int = 0, size: int = 0) -> None:
        """Count work; TemplateError when a template does too much."""
        self._steps -= step
        self._size -= size
        if self._steps < 0:
            raise TemplateError(f": more than {_STEPS} steps")
        if self._size < 0:
            raise TemplateError(f": more than {LARGEST} characters")

    def quoted(self, place: Place) -> str:
        """The piece of the template at a place, as errors quote it."""
        return self.text[place.start : place.end]

    def fail(self, place: Place, message: str) -> NoReturn:
        """Raise TemplateError for a place."""
        line = self.text.count("\n", 0, place.at) + 1
        column = len(utf8(self.text[self.text.rfind("\n", 0, place.at) + 1 : place.at]))
        where = f":{line}:{column}: executing {quoted(self.name)} at <{self.quoted(place)}>"
        raise TemplateError(f"{where}: {message}")

    def pipeline(self, pipe: Pipe, dot: object) -> object:
        """The value of a pipeline."""
        value: object = _ABSENT
        for command in pipe.commands:
            value = self._command(command, dot, value)
        for name in pipe.variables:
            self.bind(name, value, pipe)
        return value

    def bind(self, name: str, value: object, pipe: Pipe) -> None:
        """Set a variable."""
        if not pipe.assigns:
            self._variables.append([name, value])
            return
        self._variable(name, pipe.place)[1] = value

    def _variable(self, name: str, place: Place) -> list[object]:
        found = next((variable for variable in reversed(self._variables) if variable[0] == name), None)
        if found is None:
            self.fail(place, f"undefined variable: {name}")
        return found

    def _command(self, command: Command, dot: object, final: object) -> object:
        self.spend(step=1)
        word = command.words[0]
        if isinstance(word, Name):
            return self._function(word, command, dot, final)
        if isinstance(word, Path) and word.names:
            return self._path(word, dot, command.words[1:], final)
        if len(command.words) > 1 or final is not _ABSENT:
            self.fail(word.place, f"can't give argument to non-function {self.quoted(word.place)}")
        if isinstance(word, Literal) and word.value is None:
            self.fail(word.place, "nil is not a command")
        return self._value(word, dot)

    def _value(self, word: Operand, dot: object) -> object:
        if isinstance(word, Literal):
            return word.value
        if isinstance(word, Pipe):
            return self.pipeline(word, dot)
        if isinstance(word, Name):
            return self._function(word, Command((word,), word.place), dot, _ABSENT)
        return self._path(word, dot, (), _ABSENT)

    def _path(self, path: Path, dot: object, words: tuple[Operand, ...], final: object) -> object:
        if path.root is None:
            value = dot
        elif isinstance(path.root, str):
            value = self._variable(path.root, path.place)[1]
        else:
            value = self._value(path.root, dot)
        for name in path.names[:-1]:
            value = self._field(value, name, path.place)
        if not path.names:
            return value
        arguments = [self._argument(word, dot) for word in words]
        arguments += [] if final is _ABSENT else [_given(final)]
        return self._field(value, path.names[-1], path.place, arguments)

    def _field(self, value: object, name: str, place: Place, arguments: list[object] | None = None) -> object:
        """A field of a struct or a key of a map. What can be called there is a method."""
        if value is NO_VALUE and not self._missing_key_is_error:
            return NO_VALUE
        if value is None or value is NO_VALUE:
            self.fail(place, f"nil pointer evaluating interface {{}}.{name}")
        if not isinstance(value, dict):
            self.fail(place, f"can't evaluate field {name} in type {static_type(value)}")
        found = (value.names if isinstance(value, Struct) else value).get(name, NO_VALUE)
        if callable(found):
            return self._guarded(found, arguments or [], name, place)
        if found is NO_VALUE and isinstance(value, Struct):
            self.fail(place, f"can't evaluate field {name} in type {static_type(value)}")
        if found is NO_VALUE and self._missing_key_is_error:
            self.fail(place, f'map has no entry for key "{name}"')
        if arguments:
            self.fail(place, f"{name} is not a method but has arguments")
        return found

    def _argument(self, word: Operand, dot: object) -> object:
        self.spend(step=1)
        return _given(self._value(word, dot))

    def _function(self, word: Name, command: Command, dot: object, final: object) -> object:
        function, words = FUNCTIONS[word.name], command.words[1:]
        self._count(function, word, len(words) + (final is not _ABSENT))
        if word.name in ("and", "or"):
            return self._decide(word.name, words, dot, final)
        arguments = [self._typed(each, dot, function.kind(index)) for index, each in enumerate(words)]
        if final is not _ABSENT:
            arguments.append(self._checked(final, function.kind(len(words)), command.place))
        self.spend(size=sum(len(each) for each in arguments if isinstance(each, str)))
        return self._guarded(function.call, arguments, word.name, command.place)

    def _count(self, function: Function, word: Name, given: int) -> None:
        if given < function.least or (given > function.least and not function.more):
            want = f"want {'at least ' if function.more else ''}{function.least} got {given}"
            self.fail(word.place, f"wrong number of args for {word.name}: {want}")

    def _decide(self, name: str, words: tuple[Operand, ...], dot: object, final: object) -> object:
        value: object = NO_VALUE
        for word in words:
            value = self._value(word, dot)
            if truth(value) == (name == "or"):
                return value
        return value if final is _ABSENT else final

    def _typed(self, word: Operand, dot: object, kind: str) -> object:
        self.spend(step=1)
        if isinstance(word, Literal) and kind in _TYPES:
            called, wanted = _TYPES[kind]
            if word.value is None:
                self.fail(word.place, f"cannot assign nil to {called}")
            if not isinstance(word.value, wanted) or isinstance(word.value, bool):
                self.fail(
                    word.place, f"expected {'integer' if kind == 'int' else called}; found {self.quoted(word.place)}"
                )
        return self._checked(self._value(word, dot), kind, word.place)

    def _checked(self, value: object, kind: str, place: Place) -> object:
        if kind == "value":
            return value
        if kind == "any":
            return _given(value)
        called, wanted = _TYPES[kind]
        if kind == "strings" and value is None:
            return []
        if value is NO_VALUE:
            self.fail(place, f"invalid value; expected {called}")
        right = isinstance(value, wanted) and not isinstance(value, bool)
        if not right or (isinstance(value, list | tuple) and not all(isinstance(item, str) for item in value)):
            self.fail(place, f"wrong type for value; expected {called}; got {static_type(value)}")
        return value

    def _guarded(self, function: object, arguments: list[object], name: str, place: Place) -> object:
        """A function's complaint is an error of the template, at the place where it was called."""
        assert callable(function)
        try:
            value: object = function(*arguments)
        except (ValueError, TypeError, LookupError, OverflowError, MinirunError) as error:
            self.fail(place, f"error calling {name}: {error}")
        self.spend(size=len(value) * (8 if isinstance(value, list) else 1) if isinstance(value, str | list) else 0)
        return value


def _given(value: object) -> object:
    """A function or method gets nil for what is missing."""
    return None if value is NO_VALUE else value
