"""What the table tests of images have in common."""

from collections.abc import Callable
from typing import Any

from minirun.errors import MinirunError


def answer(call: Callable[[], Any]) -> Any:
    """What it returns, or the words of its refusal."""
    try:
        return call()
    except MinirunError as error:
        return f"refused: {error.message}"
