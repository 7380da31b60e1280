"""Signals by name or number, as docker kill -s takes them."""

from minirun.errors import MinirunError
from minirun.light import signal


def parse_signal(text: str) -> int:
    name = text.upper()
    if name.isascii() and name.isdigit():
        number = int(name)
    else:
        number = signal.NUMBERS.get(name if name.startswith("SIG") else f"SIG{name}", 0)
    if not 0 < number < signal.NSIG:
        raise MinirunError(f"Invalid signal: {text}")
    return number
