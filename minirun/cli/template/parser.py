"""Text and actions: the blocks of a template. Source: https://pkg.go.dev/text/template, "Actions"."""

from minirun.cli.template.expressions import Expressions
from minirun.cli.template.lexer import Token, quoted
from minirun.cli.template.literals import unquote
from minirun.cli.template.nodes import Action, Branch, Include, Jump, Node, Pipe, Place, Range, Text

Body = tuple[Node, ...]
_CONTROL = ("if", "with", "range")


class Parser(Expressions):
    """`templates` holds what define and block make, and under the name "" the whole."""

    def __init__(self, text: str, functions: frozenset[str]) -> None:
        super().__init__(text, functions)
        self.templates: dict[str, Body] = {}
        self._ranges = 0

    def parse(self) -> dict[str, Body]:
        """The nodes of the whole template."""
        nodes: list[Node] = []
        while (token := self.take()).kind != "eof":
            word = self.take_word() if token.kind == "left" else token
            if word.kind == "keyword" and word.text == "define":
                self._define()
                continue
            self.back(token)
            node = self._text_or_action()
            if isinstance(node, Token):
                self.fail(f"unexpected {{{{{node.text}}}}}")
            nodes += [] if node is None else [node]
        self._add("", tuple(nodes))
        return self.templates

    def _text_or_action(self) -> Node | Token | None:
        """None: text that is empty. A token: the word else or end."""
        token = self.take()
        if token.kind == "text":
            return Text(token.text) if token.text else None
        if token.kind != "left":
            self.unexpected(token, "input")
        return self._action_node()

    def _action_node(self) -> Node | Token:
        token = self.take_word()
        word = token.text if token.kind == "keyword" else ""
        if word in _CONTROL:
            return self._control(word)
        if word in ("break", "continue"):
            return self._jump(word)
        if word == "template":
            return self._include()
        if word == "block":
            return self._block(token)
        if word == "else" or word == "end":
            if word == "end" or self.peek_word().text not in ("if", "with"):
                self.expect(("right",), word)
            return token
        self.back(token)
        return Action(self.pipeline("command", "right"))

    def _body(self) -> tuple[Body, Token]:
        """Up to else or end, and which of them it was."""
        nodes: list[Node] = []
        while True:
            if self.peek().kind == "eof":
                self.fail("unexpected EOF")
            node = self._text_or_action()
            if isinstance(node, Token):
                return tuple(nodes), node
            nodes += [] if node is None else [node]

    def _control(self, kind: str) -> Node:
        scope = len(self._variables)
        with self.nested():
            arms = [self._arm(kind)]
            other: Body = ()
            while arms[-1][2].text == "else":
                if kind != "range" and self._takes(kind):
                    arms.append(self._arm(kind))
                    continue
                other, last = self._body()
                if last.text != "end":
                    self.fail("expected end; found {{else}}")
                break
        del self._variables[scope:]
        if kind == "range":
            return Range(arms[0][0], arms[0][1], other)
        return Branch(kind, tuple((pipe, body) for pipe, body, _ in arms), other)

    def _takes(self, kind: str) -> bool:
        """`{{else if` and `{{else with` go on with the same block. A plain {{else}} is over by now."""
        token = self.peek()
        if token.kind == "text":
            return False
        token = self.take_word()
        if token.kind != "keyword" or token.text != kind:
            self.unexpected(token, "input")
        return True

    def _arm(self, kind: str) -> tuple[Pipe, Body, Token]:
        pipe = self.pipeline(kind, "right")
        self._ranges += kind == "range"
        body, last = self._body()
        self._ranges -= kind == "range"
        return pipe, body, last

    def _jump(self, kind: str) -> Jump:
        self.expect(("right",), f"{{{{{kind}}}}}")
        if not self._ranges:
            self.fail(f"{{{{{kind}}}}} outside {{{{range}}}}")
        return Jump(kind)

    def _include(self) -> Include:
        at = self.peek_word().start
        name = self._name("template clause")
        token = self.take_word()
        pipe = None
        if token.kind != "right":
            self.back(token)
            pipe = self.pipeline("template clause", "right")
        return Include(name, pipe, Place(at, self.began, self.latest + 2))

    def _block(self, word: Token) -> Include:
        """A define and a template in one."""
        name = self._name("block clause")
        pipe = self.pipeline("block clause", "right")
        self._definition(name, "block clause")
        return Include(name, pipe, Place(word.start, word.start, word.end))

    def _define(self) -> None:
        name = self._name("define clause")
        self.expect(("right",), "define clause")
        self._definition(name, "define clause")

    def _definition(self, name: str, context: str) -> None:
        """The body of a template knows neither the variables nor the loops around it."""
        outside = self._variables, self._ranges
        self._variables, self._ranges = ["$"], 0
        with self.nested():
            body, last = self._body()
        self._variables, self._ranges = outside
        if last.text != "end":
            self.unexpected("{{else}}", context)
        self._add(name, body)

    def _name(self, context: str) -> str:
        token = self.expect(("string", "raw"), context)
        try:
            return unquote(token.text)
        except ValueError as error:
            self.fail(str(error))

    def _add(self, name: str, body: Body) -> None:
        """A template of nothing but space may be replaced."""
        if all(isinstance(node, Text) and not node.text.strip() for node in body):
            self.templates.setdefault(name, body)
        elif any(not isinstance(node, Text) or node.text.strip() for node in self.templates.get(name, ())):
            self.fail(f"template: multiple definition of template {quoted(name)}")
        else:
            self.templates[name] = body
