"""Carry out a template on a value. Source: https://pkg.go.dev/text/template, and the messages of the docker command.

A template is a program, and may be an endless one: steps, output and what functions make are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import NoReturn

from minirun.cli.template.nodes import Action, Branch, Include, Jump, Node, Pipe, Place, Range, Text
from minirun.cli.template.operands import Operands
from minirun.cli.template.values import NO_VALUE, entries, show, truth

_DEEPEST = 100  # templates within templates


class _Break(Exception):  # noqa: N818
    """{{break}}."""


class _Continue(Exception):  # noqa: N818
    """{{continue}}."""


class Evaluator(Operands):
    """Of one rendering. `dot` goes from call to call; the variables are a stack, which a block takes back."""

    def run(self, dot: object) -> str:
        """Carry the nodes out, in their order."""
        self._variables = [["$", dot]]
        self._walk(self.templates[""], dot)
        return "".join(self.pieces)

    def _walk(self, nodes: tuple[Node, ...], dot: object) -> None:
        for node in nodes:
            self.spend(step=1)
            if isinstance(node, Text):
                self._write(node.text)
            elif isinstance(node, Action):
                value = self.pipeline(node.pipe, dot)
                if not node.pipe.variables:
                    self._print(value, node.pipe.place)
            elif isinstance(node, Branch):
                self._branch(node, dot)
            elif isinstance(node, Range):
                self._range(node, dot)
            elif isinstance(node, Include):
                self._include(node, dot)
            else:
                self._jump(node)

    def _jump(self, node: Jump) -> NoReturn:
        raise _Break if node.kind == "break" else _Continue

    def _print(self, value: object, place: Place) -> None:
        if callable(value):
            self.fail(place, f"can't print {self.quoted(place)} of type func()")
        self._write(show(value))

    def _write(self, text: str) -> None:
        self.spend(size=len(text))
        self.pieces.append(text)

    @contextmanager
    def _scope(self) -> Iterator[None]:
        depth = len(self._variables)
        try:
            yield
        finally:
            del self._variables[depth:]

    def _branch(self, node: Branch, dot: object) -> None:
        with self._scope():
            for pipe, body in node.arms:
                value = self.pipeline(pipe, dot)
                if truth(value):
                    return self._walk(body, value if node.kind == "with" else dot)
            return self._walk(node.other, dot)

    def _range(self, node: Range, dot: object) -> None:
        with self._scope():
            value = self.pipeline(node.pipe._replace(variables=()), dot)
            items = self._items(value, node.pipe)
            first = next(items, None)
            if first is None:
                for name in node.pipe.variables:
                    self.bind(name, value, node.pipe)
                return self._walk(node.other, dot)
            for key, item in chain([first], items):
                self.spend(step=1)
                with self._scope():
                    self._bind_item(node.pipe, key, item)
                    try:
                        self._walk(node.body, item)
                    except _Continue:
                        continue
                    except _Break:
                        break
        return None

    def _items(self, value: object, pipe: Pipe) -> Iterator[tuple[object, object]]:
        if value is None or value is NO_VALUE:
            return iter(())
        if isinstance(value, dict):
            return iter(entries(value))
        if isinstance(value, list | tuple):
            return iter(enumerate(value))
        place = pipe.commands[-1].place
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(place, f"range can't iterate over {show(value)}")
        if len(pipe.variables) > 1:
            self.fail(place, f"can't use {value} to iterate over more than one variable")
        return ((number, number) for number in range(value))

    def _bind_item(self, pipe: Pipe, key: object, item: object) -> None:
        values = [item] if len(pipe.variables) == 1 else [key, item]
        for name, value in zip(pipe.variables, values, strict=False):
            self.bind(name, value, pipe)

    def _include(self, node: Include, dot: object) -> None:
        """The template called sees its own dot and $, and none of the caller's variables."""
        if node.name not in self.templates:
            self.fail(node.place, f'template "{node.name}" not defined')
        value = self.pipeline(node.pipe, dot) if node.pipe else NO_VALUE
        outside = self._variables, self.name
        if self.depth == _DEEPEST:
            self.fail(node.place, f"exceeded maximum template depth ({_DEEPEST})")
        self._variables, self.name, self.depth = [["$", value]], node.name, self.depth + 1
        self._walk(self.templates[node.name], value)
        self.depth -= 1
        self._variables, self.name = outside
