"""Expand the variables of an instruction: which of its words BuildKit expands, and how.

RUN, CMD and ENTRYPOINT are left to the shell that runs them.
https://docs.docker.com/reference/dockerfile/#environment-replacement
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from minirun.image.dockerfile import syntax
from minirun.image.dockerfile.statements import Heredoc
from minirun.image.dockerfile.syntax import Instruction, Pair
from minirun.image.dockerfile.words import Syntax, expand, expand_words

_CONTENT = Syntax(quotes=False)


@dataclass(frozen=True)
class Expander:
    """The variables of a stage. The names of those that are used and not set are collected in `unset`."""

    variables: Mapping[str, str]
    escape: str = "\\"
    unset: set[str] = field(default_factory=set)

    def word(self, text: str) -> str:
        """Expand one word: its quotes are removed, its white space stays."""
        return expand(text, self.variables, Syntax(escape=self.escape), self.unset)

    def words(self, text: str) -> list[str]:
        """Expand a text that may become several words."""
        return expand_words(text, self.variables, Syntax(escape=self.escape), self.unset)

    def content(self, heredoc: Heredoc) -> str:
        """Expand the content of a here-document, where quotes mean nothing."""
        if not heredoc.expands:
            return heredoc.text
        return expand(heredoc.text, self.variables, _CONTENT, self.unset)


def expanded(instruction: Instruction, expander: Expander) -> Instruction:
    """Return the instruction with its variables expanded. MinirunError when a word is wrong.

    --mount of RUN and the here-documents of COPY stay: the steps that are made of them expand them.
    """
    expand_fields = _EXPANDED.get(type(instruction))
    return expand_fields(instruction, expander) if expand_fields else instruction


def _pairs(instruction: syntax.Env | syntax.Label, expander: Expander) -> Instruction:
    pairs = tuple(
        Pair(name=expander.word(pair.name), value=expander.word(pair.value), is_legacy=pair.is_legacy)
        for pair in instruction.pairs
    )
    return replace(instruction, pairs=pairs)


def _expose(instruction: syntax.Expose, expander: Expander) -> Instruction:
    return replace(instruction, ports=tuple(port for text in instruction.ports for port in expander.words(text)))


def _volume(instruction: syntax.Volume, expander: Expander) -> Instruction:
    return replace(instruction, paths=tuple(map(expander.word, instruction.paths)))


def _text(instruction: syntax.Text, expander: Expander) -> Instruction:
    return replace(instruction, argument=expander.word(instruction.argument))


def _transfer(instruction: syntax.Transfer, expander: Expander) -> Instruction:
    fields = {
        "sources": tuple(map(expander.word, instruction.sources)),
        "destination": expander.word(instruction.destination),
        "chown": expander.word(instruction.chown),
        "chmod": expander.word(instruction.chmod),
    }
    if isinstance(instruction, syntax.Add):
        fields["checksum"] = expander.word(instruction.checksum)
    return replace(instruction, **fields)  # type: ignore[arg-type]


_EXPANDED: Mapping[type[Instruction], Callable[..., Instruction]] = {
    syntax.Add: _transfer,
    syntax.Copy: _transfer,
    syntax.Env: _pairs,
    syntax.Expose: _expose,
    syntax.Label: _pairs,
    syntax.Stopsignal: _text,
    syntax.User: _text,
    syntax.Volume: _volume,
    syntax.Workdir: _text,
}
