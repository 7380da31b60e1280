"""--env-file, --label, --label-file."""

import os
from collections.abc import Iterable

from minirun.options import bad

_LARGEST = 1 << 20


def read_env_file(path: str) -> list[str]:
    """Lines KEY=VALUE, or KEY for the caller's own value; # begins a comment, spaces before a key are skipped."""
    return list(_lines(path, "env file"))


def parse_labels(texts: Iterable[str], files: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """KEY=VALUE, or KEY alone for an empty value. What is typed goes over what is in a file."""
    found: dict[str, str] = {}
    for text in [*(line for path in files for line in _lines(path, "label file")), *texts]:
        key, _, value = text.partition("=")
        if not key.strip():
            raise bad(f"invalid label '{text}': empty name")
        found[key] = value
    return tuple(found.items())


def _lines(path: str, what: str) -> Iterable[str]:
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise bad(f"open {path}: {(error.strerror or str(error)).lower()}") from None
    if len(data) > _LARGEST:
        raise bad(f"{what} {path} is larger than {_LARGEST} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise bad(f"invalid utf8 bytes at line {number} of {path}") from None
    for line in (each.lstrip() for each in text.splitlines()):
        if not line or line.startswith("#"):
            continue
        key = line.partition("=")[0]
        if any(char.isspace() for char in key):
            raise bad(f"invalid {what} ({path}): variable '{key}' contains whitespaces")
        if not key:
            raise bad(f"invalid {what} ({path}): no variable name on line '{line}'")
        if "\0" in line:
            raise bad(f"invalid {what} ({path}): a zero byte in '{os.path.basename(path)}'")
        yield line
