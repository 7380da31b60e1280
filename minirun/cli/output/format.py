"""--format: what lists and descriptions print, by a Go template, as JSON, or as a table of chosen columns.

https://docs.docker.com/engine/cli/formatting/
"""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minirun.cli.output.table import print_table
from minirun.cli.template import Struct, Template, TemplateError
from minirun.cli.template.encode import encode
from minirun.errors import MinirunError

Row = Mapping[str, Any]  # by Docker's placeholder names
_ESCAPES = {r"\t": "\t", r"\n": "\n"}
_ACTION = re.compile(r"(\{\{.*?\}\})", re.DOTALL)
_FIELD = re.compile(r"\{\{[^}]*?\.(\w+)(?: +\"([^\"]*)\")?[^}]*\}\}")


@dataclass(frozen=True)
class Columns:
    """What a list shows of itself: header by placeholder, in order, and what -q shows."""

    headers: dict[str, str]
    key: str


def print_rows(rows: Sequence[Row], columns: Columns, form: str, quiet: bool = False, extra: Row | None = None) -> None:
    """`extra`: headers of placeholders that are not columns of the plain table."""
    if quiet:
        for row in rows:
            print(row[columns.key])
    elif form == "json":
        for row in rows:
            print(json_text(dict(sorted(row.items()))))
    elif form in ("", "table"):
        print_table(tuple(columns.headers.values()), [[str(row[name]) for name in columns.headers] for row in rows])
    elif form.startswith("table "):
        _table(rows, {**(extra or {}), **columns.headers}, form.removeprefix("table ").strip())
    else:
        render = compiled(_unescaped(form))
        for row in rows:
            print(render(row))


def print_objects(
    references: Sequence[str], find: Callable[[str], Mapping[str, Any] | None], form: str, missing_words: str
) -> int:
    """What the inspect verbs print: all that was found, then a line for each that was not. The exit code."""
    show = compiled(form) if form not in ("", "json") else None
    described = [(reference, find(reference)) for reference in references]
    found = [one for _, one in described if one is not None]
    if show is not None:
        for one in found:
            print(show(_struct(one)))
    else:
        print(json_text(found) if form == "json" else json.dumps(found, indent=4))
    for reference, one_found in described:
        if one_found is None:
            print(f"minirun: {missing_words.format(reference)}", file=sys.stderr)
    return 0 if len(found) == len(described) else 1


# What is called by names that somebody chose.
_MAPS = ("Labels", "Ports", "Networks", "PortBindings", "Sysctls", "Options", "Containers", "ExposedPorts", "Volumes")


def _struct(value: Any, name: str = "") -> Any:
    """As Docker's templates see it: fields of a struct must be there, keys of a map need not."""
    if isinstance(value, list):
        return [_struct(one) for one in value]
    if not isinstance(value, dict):
        return value
    fields = {key: _struct(one, key) for key, one in value.items()}
    return fields if name in _MAPS else Struct(fields)


def json_text(value: object) -> str:
    """As Docker's `--format json`: on one line, without spaces; methods are left out."""
    return encode(value)


def _unescaped(form: str) -> str:
    r"""In lists, a \t or \n between the actions is a tab or a new line; within them it is Go's to read."""
    parts = _ACTION.split(form)
    for escape, char in _ESCAPES.items():
        parts[::2] = [part.replace(escape, char) for part in parts[::2]]
    return "".join(parts)


def shower(form: str, strict: bool = True) -> Callable[[Any], str]:
    """For what is no list: `json`, or a template."""
    return json_text if form == "json" else compiled(form, strict)


def compiled(form: str, strict: bool = True) -> Callable[[Any], str]:
    """A template, ready to be filled in."""
    try:
        template = Template(form, strict=strict)
    except TemplateError as error:
        raise MinirunError(str(error)) from None

    def render(value: Any) -> str:
        try:
            return template.render(value)
        except TemplateError as error:
            raise MinirunError(str(error)) from None

    return render


def _table(rows: Sequence[Row], headers: Mapping[str, Any], form: str) -> None:
    """Cells are what stands between tabs; each header is made of the names of the fields in its cell."""
    form = _unescaped(form)
    render = compiled(form)
    heads = [_header(cell, headers) for cell in form.split("\t")]
    print_table(heads, [_fitted(render(row).split("\t"), len(heads)) for row in rows])


def _header(cell: str, headers: Mapping[str, Any]) -> str:
    def name(match: re.Match[str]) -> str:
        if match[1] == "Label" and match[2]:  # com.example.build-number: build number
            return match[2].rpartition(".")[2].replace("-", " ").replace("_", " ")
        return str(headers.get(match[1], match[1].upper()))

    return _FIELD.sub(name, cell)


def _fitted(cells: list[str], count: int) -> list[str]:
    """A value may hold a tab of its own."""
    return (
        [*cells[: count - 1], "\t".join(cells[count - 1 :])]
        if len(cells) > count
        else cells + [""] * (count - len(cells))
    )
