"""Signals by name or number, as docker kill -s takes them."""

import signal

from minirun.errors import MinirunError


def parse_signal(text: str) -> int:
    name = text.upper()
    if name.isascii() and name.isdigit():
        number = int(name)
    else:
        known = signal.Signals.__members__.get(name if name.startswith("SIG") else f"SIG{name}")
        number = known.value if known else 0
    if not 0 < number < signal.NSIG:
        raise MinirunError(f"Invalid signal: {text}")
    return number
