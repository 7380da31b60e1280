"""JSON that clients send, read as Docker reads it.

Go's encoding/json takes the name of a field in any case, and clients have come to rely on it: docker-py sends the
detachKeys of its configuration file for DetachKeys. https://pkg.go.dev/encoding/json#Unmarshal
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

T = TypeVar("T")


def decode(data: bytes | str, kind: type[T]) -> T:
    """Read JSON as a `kind`, whose unknown fields are ignored. ValueError or RecursionError when it is none."""
    return msgspec.convert(_named(msgspec.json.decode(data), inspect.type_info(kind)), kind)


def _named(value: Any, kind: inspect.Type) -> Any:
    """The value with the names that its fields have in `kind`. Of two that differ only in case, the last counts."""
    if isinstance(kind, inspect.UnionType):
        for one in kind.types:
            value = _named(value, one)
    elif isinstance(kind, inspect.ListType) and isinstance(value, list):
        return [_named(one, kind.item_type) for one in value]
    elif isinstance(kind, inspect.DictType) and isinstance(value, dict):
        return {key: _named(one, kind.value_type) for key, one in value.items()}
    elif isinstance(kind, inspect.StructType) and isinstance(value, dict):
        fields = _fields(kind.cls)
        known = ((fields.get(key) or fields.get(key.lower()), one) for key, one in value.items())
        return {field.encode_name: _named(one, field.type) for field, one in known if field}
    return value


@cache
def _fields(kind: type[msgspec.Struct]) -> Mapping[str, inspect.Field]:
    """The fields of a struct by their names in small letters, and by their own."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    own = {field.encode_name: field for field in described.fields}
    return {name.lower(): field for name, field in own.items()} | own
