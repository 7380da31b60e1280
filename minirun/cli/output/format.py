"""--format: what lists and descriptions print, by a Go template, as JSON, or as a table of chosen columns.

https://docs.docker.com/engine/cli/formatting/
"""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minirun.cli.output.docker_structs import DOCKER_STRUCTS
from minirun.cli.output.table import print_table
from minirun.cli.session import warn_of
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
        template = template_of(_unescaped(form))
        for row in rows:
            print(template.render(Struct(row)))


Described = tuple[str, Mapping[str, Any]]  # the name of its Go struct, and what its JSON has


def print_objects(references: Sequence[str], find: Callable[[str], Described | None], form: str, missing: str) -> int:
    """What the inspect verbs print: all that was found, then a line for each that was not. The exit code.

    Docker carries a template out on the Go struct, and if it fails there, on the JSON.
    """
    template = template_of(form, code=64) if form not in ("", "json") else None
    shown: list[Any] = []
    failures = []
    for reference in references:
        try:
            described = find(reference)
            if described is None:
                failures.append(MinirunError(missing.format(reference)))
                continue
            shown.append(_filled_in(template, *described) if template else described[1])
        except MinirunError as error:
            failures.append(error)
    if template:
        print("\n".join(shown))
    else:
        print(json_text(shown) if form == "json" else json.dumps(shown, indent=4))
    sys.stdout.flush()
    for failure in failures:
        warn_of(failure)
    return 1 if failures else 0


def _filled_in(template: Template, struct: str, value: Mapping[str, Any]) -> str:
    try:
        return template.render(DOCKER_STRUCTS.build(struct, value))
    except TemplateError:
        return template.render(value, missing_key_is_error=True)


def labels_text(labels: Mapping[str, str]) -> str:
    """The field Labels of a list."""
    return ",".join(f"{key}={text}" for key, text in sorted(labels.items()))


def json_text(value: object) -> str:
    """As Docker's `--format json`: on one line, without spaces; methods are left out."""
    return encode(value)


def _unescaped(form: str) -> str:
    r"""In lists, a \t or \n between the actions is a tab or a new line; within them it is Go's to read."""
    parts = _ACTION.split(form)
    for escape, char in _ESCAPES.items():
        parts[::2] = [part.replace(escape, char) for part in parts[::2]]
    return "".join(parts)


def shower(form: str) -> Callable[[Any], str]:
    """For what is no list: `json`, or a template."""
    return json_text if form == "json" else template_of(form).render


def template_of(form: str, code: int = 1) -> Template:
    """Return a parsed template. MinirunError, with this exit code, if it is invalid."""
    try:
        return Template(form)
    except TemplateError as error:
        raise MinirunError(error.message, code=code) from None


def _table(rows: Sequence[Row], headers: Mapping[str, Any], form: str) -> None:
    """Cells are what stands between tabs; each header is made of the names of the fields in its cell."""
    form = _unescaped(form)
    template = template_of(form)
    heads = [_header(cell, headers) for cell in form.split("\t")]
    print_table(heads, [_fitted(template.render(Struct(row)).split("\t"), len(heads)) for row in rows])


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
