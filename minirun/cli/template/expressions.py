"""What stands in an action: pipelines, commands, operands. Source: https://pkg.go.dev/text/template, "Pipelines"."""

from minirun.cli.template.lexer import Token, quoted
from minirun.cli.template.literals import character, number, unquote
from minirun.cli.template.nodes import Command, Literal, Name, Operand, Path, Pipe, Place
from minirun.cli.template.stream import Stream

_OPERANDS = frozenset(["bool", "char", "dot", "field", "name", "number", "raw", "string", "variable"])


class Expressions(Stream):
    """The parser of pipelines, within the braces."""

    def __init__(self, text: str, functions: frozenset[str]) -> None:
        super().__init__(text)
        self._functions = functions
        self._variables = ["$"]  # those in scope

    def pipeline(self, context: str, end: str) -> Pipe:
        """Up to and including `end`, which is a closing delimiter or parenthesis."""
        first = self.peek_word()
        variables, assigns = self._declarations(context)
        commands: list[Command] = []
        while not self._ends(token := self.take_word(), end):
            if not _starts_an_operand(token):
                self.unexpected(token, context)
            self.back(token)
            commands.append(self._command())
        self._check(commands, context)
        return Pipe(variables, assigns, tuple(commands), Place(first.start, first.start, token.start))

    def _ends(self, token: Token, end: str) -> bool:
        return token.kind == end or (token.kind == "mark" and token.text == end)

    def _check(self, commands: list[Command], context: str) -> None:
        if not commands:
            self.fail(f"missing value for {context}")
        for stage, command in enumerate(commands[1:], 2):
            word = command.words[0]
            if isinstance(word, Literal) or (isinstance(word, Path) and word.root is None and not word.names):
                self.fail(f"non executable command in pipeline stage {stage}")

    def _declarations(self, context: str) -> tuple[tuple[str, ...], bool]:
        """`$a :=`, `$a =`, and for a range `$a, $b :=`."""
        names: list[str] = []
        while (variable := self.peek_word()).kind == "variable":
            self.take_word()
            follows = self.take_word()
            if follows.text not in (":=", "=", ",") or follows.kind not in ("declare", "mark"):
                self.back(variable)
                break
            names.append(variable.text)
            self._variables.append(variable.text)
            if follows.text != ",":
                return tuple(names), follows.text == "="
            if context != "range" or len(names) > 1:
                self.fail(f"too many declarations in {context}")
            if self.peek_word().text != ")" and self.peek_word().kind not in ("variable", "right"):
                self.fail("range can only initialize variables")
        return tuple(names), False

    def _command(self) -> Command:
        words: list[Operand] = []
        start = self.peek_word().start
        while True:
            self.peek_word()
            word = self._operand()
            words += [] if word is None else [word]
            token = self.take()
            if token.kind == "space":
                continue
            if token.kind == "right" or token.text == ")":
                self.back(token)
            elif token.text != "|" or token.kind != "mark":
                self.unexpected(token, "operand")
            break
        if not words:
            self.fail("empty command")
        return Command(tuple(words), Place(words[0].place.at, start, words[-1].place.end))

    def _operand(self) -> Operand | None:
        """A term and the fields after it. An error in a field points to the second name, as in Go."""
        term = self._term()
        if term is None or self.peek().kind != "field":
            return term
        second, names = self.peek(), []
        while self.peek().kind == "field":
            last = self.take()
            names.append(last.text[1:])
        place = Place(second.start, term.place.start, last.end)
        if isinstance(term, Path) and (term.names or term.root is not None) and not isinstance(term.root, Pipe):
            return Path(term.root, term.names + tuple(names), place)
        if isinstance(term, Literal | Path):
            self.fail(f"unexpected . after term {quoted(self.text[term.place.start : term.place.end])}")
        return Path(term, tuple(names), place)

    def _term(self) -> Operand | None:
        token = self.take_word()
        if not _starts_an_operand(token):
            self.back(token)
            return None
        place = Place(token.start, token.start, token.end)
        if token.text == "(" and token.kind == "mark":
            with self.nested():
                pipe = self.pipeline("parenthesized pipeline", ")")
            return pipe._replace(place=Place(place.at, place.start, pipe.place.end + 1))
        if token.kind == "name":
            if token.text not in self._functions:
                self.fail(f"function {quoted(token.text)} not defined")
            return Name(token.text, place)
        if token.kind == "variable" and token.text not in self._variables:
            self.fail(f"undefined variable {quoted(token.text)}")
        if token.kind in ("variable", "dot", "field"):
            names = (token.text[1:],) if token.kind == "field" else ()
            return Path(token.text if token.kind == "variable" else None, names, place)
        return Literal(self._value(token), place)

    def _value(self, token: Token) -> str | int | float | bool | None:
        try:
            if token.kind in ("string", "raw"):
                return unquote(token.text)
            if token.kind in ("number", "char"):
                return number(token.text) if token.kind == "number" else character(token.text)
        except ValueError as error:
            self.fail(str(error))
        return None if token.text == "nil" else token.text == "true"


def _starts_an_operand(token: Token) -> bool:
    return token.kind in _OPERANDS or (token.kind, token.text) in (("mark", "("), ("keyword", "nil"))
