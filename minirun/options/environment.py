"""Environment variables and labels: -e, --env-file, --label, --label-file."""

import os
from collections.abc import Iterable

from minirun.options import option_error

_LARGEST = 1 << 20


def parse_env(texts: Iterable[str], files: Iterable[str] = ()) -> tuple[tuple[str, str], ...]:
    """Parse every `KEY=VALUE` of -e and of the env files. Return (key, value) pairs.

    KEY alone takes the caller's value, and is left out if there is none. -e overrides the files.
    """
    env: dict[str, str] = {}
    for text in (*_env_lines(files), *texts):
        key, equals, value = text.partition("=")
        if not key:
            raise option_error(f"invalid environment variable: {text}")
        if equals:
            env[key] = value
        elif key in os.environ:
            env[key] = os.environ[key]
    return tuple(env.items())


def names_to_unset(texts: Iterable[str]) -> list[str]:
    """Return the names of -e without value that the caller's environment lacks: variables of that name go.

    In an env file such a name means nothing.
    """
    return [text for text in texts if "=" not in text and text not in os.environ]


def parse_labels(texts: Iterable[str], files: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Parse every `KEY=VALUE` of --label, which overrides the label files; KEY alone has an empty value."""
    labels: dict[str, str] = {}
    for text in [*(line for path in files for line in _lines(path, "label file")), *texts]:
        key, _, value = text.partition("=")
        if not key.strip():
            raise option_error(f"invalid label '{text}': empty name")
        labels[key] = value
    return tuple(labels.items())


def read_env_file(path: str) -> list[str]:
    """Return the lines of an env file: KEY=VALUE or KEY. Comments (#) and spaces before a key are skipped."""
    return list(_lines(path, "env file"))


def _lines(path: str, what: str) -> Iterable[str]:
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise option_error(f"open {path}: {(error.strerror or str(error)).lower()}") from None
    if len(data) > _LARGEST:
        raise option_error(f"{what} {path} is larger than {_LARGEST} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise option_error(f"invalid utf8 bytes at line {number} of {path}") from None
    for line in (raw.lstrip() for raw in text.splitlines()):
        if not line or line.startswith("#"):
            continue
        key = line.partition("=")[0]
        if any(char.isspace() for char in key):
            raise option_error(f"invalid {what} ({path}): variable '{key}' contains whitespaces")
        if not key:
            raise option_error(f"invalid {what} ({path}): no variable name on line '{line}'")
        if "\0" in line:
            raise option_error(f"invalid {what} ({path}): a zero byte in '{os.path.basename(path)}'")
        yield line


def _env_lines(files: Iterable[str]) -> list[str]:
    return [line for path in files for line in read_env_file(path)]
