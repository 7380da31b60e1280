"""Go's structs: what their JSON omits is there in a template, and empty.

A declaration is the body of a Go struct, with semicolons for line ends: "ID=Id string; Args []string; State *State".
`ID=Id`: the name in JSON, where it is another. A field without a type is an embedded struct.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from minirun.cli.template.values import Duration, NilList, NilMap, Struct, Time

_ARRAY = re.compile(r"\[(\d*)\](.+)")
_MAP = re.compile(r"map\[\w+\](.+)")
_ZEROS: dict[str, object] = {
    "string": "",
    "int": 0,
    "float": 0.0,
    "bool": False,
    "any": None,
    "time": Time("0001-01-01T00:00:00Z"),
    "duration": Duration(0),
}


class _Field(NamedTuple):
    name: str
    json: str
    type: str  # "": an embedded struct


class Structs:
    """Struct declarations by name."""

    def __init__(self, declarations: Mapping[str, str]) -> None:
        self._declared = {name: _parsed(text) for name, text in declarations.items()}

    def build(self, name: str, json: Mapping[str, object]) -> Struct:
        """The struct of that name, as its JSON has it; what is missing there is Go's zero value."""
        fields: dict[str, object] = {}
        others: dict[str, object] = {}
        for field in self._declared[name]:
            if field.type:
                fields[field.name] = others[field.json] = self._value(field.type, json.get(field.json))
            else:
                fields[field.name] = embedded = self.build(field.name, json)
                others |= embedded.typed
        return Struct(json, fields, others)

    def _value(self, kind: str, json: object) -> object:
        """A value of a type. Whether it is null or missing in JSON is the same to Go."""
        if kind.startswith("*"):
            return None if json is None else self._value(kind[1:], json)
        if array := _ARRAY.fullmatch(kind):
            if json is None:
                return [self._value(array[2], None)] * int(array[1]) if array[1] else NilList()
            assert isinstance(json, list | tuple)
            return [self._value(array[2], item) for item in json]
        if table := _MAP.fullmatch(kind):
            if json is None:
                return NilMap()
            assert isinstance(json, dict)
            return {str(key): self._value(table[1], item) for key, item in json.items()}
        if kind in self._declared:
            return self.build(kind, json if isinstance(json, dict) else {})
        if json is None:
            return _ZEROS[kind]
        if kind == "duration":
            assert isinstance(json, int)
            return Duration(json)
        return Time(json) if kind == "time" else json


def _parsed(text: str) -> tuple[_Field, ...]:
    fields = []
    for line in filter(str.strip, text.split(";")):
        *names, kind = line.replace(",", " ").split() if " " in line.strip() else (line.strip(), "")
        for name in names:
            go_name, _, json_name = name.partition("=")
            fields.append(_Field(go_name, json_name or go_name, kind))
    return tuple(fields)
