"""Go's text/template, as docker --format takes it: `Template("{{.Names}}").render({"Names": "web"})`.

Values are what json reads; a callable in a dict is a method. No Python is reached from a template: not an attribute,
not a builtin, nothing but the functions listed in functions.py. Source: https://pkg.go.dev/text/template
"""

from minirun.cli.template.evaluate import Evaluator
from minirun.cli.template.functions import FUNCTIONS
from minirun.cli.template.parser import Parser
from minirun.cli.template.values import Struct, TemplateError

__all__ = ["Struct", "Template", "TemplateError"]


class Template:
    """A parsed Go template."""

    def __init__(self, text: str, strict: bool = False) -> None:
        """Strict: a field that the dict to be rendered, or a Struct in it, lacks is an error."""
        self._text = text
        self._strict = strict
        try:
            self._templates = Parser(text, frozenset(FUNCTIONS)).parse()
        except RecursionError:
            raise TemplateError(":1: nested too deeply") from None

    def render(self, value: object) -> str:
        """Carry the template out on a value. TemplateError if it cannot be."""
        try:
            return Evaluator(self._text, self._templates, value, self._strict).run(value)
        except RecursionError:
            raise TemplateError(': executing "": nested too deeply') from None
