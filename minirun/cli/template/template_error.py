"""The one error of this package, in the words of docker inspect."""

from minirun.errors import MinirunError


class TemplateError(MinirunError):
    """A template that cannot be parsed, or cannot be carried out on this value."""

    def __init__(self, message: str) -> None:
        super().__init__(f"template parsing error: template: {message}")  # Docker says so of both kinds


class CallError(ValueError):
    """A function of a template does not like its arguments. Only the evaluator, which knows the place, sees it."""
