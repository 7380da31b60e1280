"""--log-driver and --log-opt."""

from collections.abc import Iterable

from minirun.model import Logging
from minirun.options import bad
from minirun.options.limits import parse_bytes


def parse_logging(driver: str, options: Iterable[str]) -> Logging:
    if driver not in ("", "json-file", "local", "none"):
        raise bad(f'error looking up logging plugin {driver}: plugin "{driver}" not found', "json-file, local or none")
    given = dict(text.partition("=")[::2] for text in options)
    if driver == "none":
        if given:
            raise bad("invalid logging opts for driver none")
        return Logging("none")
    # As Docker has it: `local` rotates of itself.
    size, files = (20_000_000, 5) if driver == "local" else (0, 1)
    for name, text in given.items():
        if name == "max-size":
            size = 0 if text == "-1" else parse_bytes(text, "--log-opt max-size")
        elif name == "max-file":
            files = _count(text)
        else:
            raise bad(f"unknown log opt '{name}' for {driver or 'json-file'} log driver", "max-size and max-file")
    if "max-file" in given and not size and files > 1:
        raise bad("log opt max-file cannot be more than 1 without max-size")
    return Logging(driver or "json-file", size, files)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= 1_000_000:
        raise bad(f"max-file cannot be less than 1: {text}")
    return int(text)
