"""The tokens as the parser takes them: one at a time, with a look ahead and a way back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from minirun.cli.template.lexer import Token, lex
from minirun.cli.template.values import TemplateError

_DEEPEST = 100  # parentheses and blocks within each other; each costs four Python frames of about a thousand


class Stream:
    """Tokens with one to look ahead."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._source = (token for token in lex(text) if token.kind != "comment")
        self._read: list[Token] = []
        self._next = 0
        self.latest = 0  # where the last token taken began, for errors
        self.began = 0  # where the action that is read did
        self._depth = 0

    def take(self) -> Token:
        """The next token."""
        if self._next == len(self._read):
            self._read.append(next(self._source))
        token = self._read[self._next]
        self._next += token.kind != "eof"
        self.latest = token.start
        if token.kind == "left":
            self.began = token.start
        if token.kind == "error":
            self.fail(token.text + self._since(token))
        return token

    def take_word(self) -> Token:
        """The next one that is not space."""
        while (token := self.take()).kind == "space":
            pass
        return token

    def peek(self) -> Token:
        """The next token, which stays the next."""
        token = self.take()
        self.back(token)
        return token

    def peek_word(self) -> Token:
        """The next token that is not space, which stays the next."""
        token = self.take_word()
        self.back(token)
        return token

    def back(self, token: Token) -> None:
        """Go back to before this one."""
        if token.kind == "eof":  # which take() never leaves behind
            return
        self._next -= 1
        while self._read[self._next] is not token:
            self._next -= 1

    def expect(self, kinds: tuple[str, ...], context: str) -> Token:
        """Take a token of that kind; TemplateError if it is another."""
        token = self.take_word()
        if token.kind not in kinds:
            self.unexpected(token, context)
        return token

    def unexpected(self, token: object, context: str) -> NoReturn:
        """Raise TemplateError for a token."""
        self.fail(f"unexpected {token} in {context}")

    def fail(self, message: str) -> NoReturn:
        """Raise TemplateError at a token."""
        raise TemplateError(f":{self._line(self.latest)}: {message}")

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Count nesting; TemplateError when it is too deep."""
        self._depth += 1
        if self._depth > _DEEPEST:
            self.fail(f"nested too deeply: more than {_DEEPEST} parentheses and blocks within each other")
        yield
        self._depth -= 1

    def _line(self, position: int) -> int:
        return self.text.count("\n", 0, position) + 1

    def _since(self, token: Token) -> str:
        """Where the action began, if that was on another line."""
        line = self._line(self.began)
        if line == self._line(token.start):
            return ""
        return f" {'' if token.text.endswith(' action') else 'in action '}started at :{line}"
