"""Go's text/template, as docker --format takes it: `Template("{{.Names}}").render({"Names": "web"})`.

Values are what json reads; a callable in a dict is a method. No Python is reached from a template: not an attribute,
not a builtin, nothing but the functions listed in functions.py. Source: https://pkg.go.dev/text/template
"""

from minirun.cli.template.evaluate import Evaluator
from minirun.cli.template.functions import FUNCTIONS
from minirun.cli.template.parser import Parser
from minirun.cli.template.structs import Structs
from minirun.cli.template.values import Struct, TemplateError

__all__ = ["Struct", "Structs", "Template", "TemplateError"]


class Template:
    """A parsed Go template."""

    def __init__(self, text: str) -> None:
        self._text = text
        try:
            self._templates = Parser(text, frozenset(FUNCTIONS)).parse()
        except RecursionError:
            raise TemplateError(":1: nested too deeply") from None

    def render(self, value: object, missing_key_is_error: bool = False) -> str:
        """Carry the template out on a value. TemplateError if it cannot be.

        A field that a Struct lacks is always an error; a key that a map lacks is one with `missing_key_is_error`.
        """
        try:
            return Evaluator(self._text, self._templates, missing_key_is_error).run(value)
        except RecursionError:
            raise TemplateError(': executing "": nested too deeply') from None
