"""The configuration document of an image: JSON whose digest is the image's id.

https://github.com/opencontainers/image-spec/blob/main/config.md
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, TypedDict

from minirun.errors import MinirunError
from minirun.options.values import timestamp

_PREFIX = "sha256:"
_STRINGS = ("User", "WorkingDir", "StopSignal")
_LISTS = ("Env", "Cmd", "Entrypoint", "Shell", "OnBuild")
_MAPS = ("Labels", "ExposedPorts", "Volumes", "Healthcheck")


class Config(TypedDict, total=False):
    """The defaults of containers made from an image, in Docker's field names. Fields without value are left out."""

    Env: list[str]
    Cmd: list[str]
    Entrypoint: list[str]
    WorkingDir: str
    User: str
    Labels: dict[str, str]
    ExposedPorts: dict[str, dict[str, str]]
    Volumes: dict[str, dict[str, str]]
    Healthcheck: dict[str, Any]
    StopSignal: str
    Shell: list[str]
    OnBuild: list[str]


@dataclass(frozen=True)
class Step:
    """One step of an image's history.

    created: seconds since the epoch, 0 if unknown
    has_layer: whether it made a layer
    """

    created: float
    created_by: str = ""
    comment: str = ""
    has_layer: bool = True


@dataclass(frozen=True, eq=False)
class Document:
    """A parsed configuration.

    text: exactly as it is stored and transferred
    diff_ids: the digests of the uncompressed layers, the base first, as 64 hexadecimal digits
    created: seconds since the epoch, 0 if unknown
    """

    text: str
    config: Config
    diff_ids: tuple[str, ...]
    history: tuple[Step, ...]
    created: float = 0
    architecture: str = ""
    os: str = "linux"
    variant: str = ""
    author: str = ""
    comment: str = ""

    @property
    def id(self) -> str:
        """The image's id: 64 hexadecimal digits."""
        return sha256(self.text.encode()).hexdigest()


def build(
    config: Config,
    diff_ids: tuple[str, ...],
    history: tuple[Step, ...],
    created: float,
    architecture: str,
    author: str = "",
    comment: str = "",
    variant: str = "",
) -> Document:
    """Return the document of a new image; the same arguments give the same id."""
    steps = [
        {
            "created": _time(step.created),
            **{key: text for key, text in (("created_by", step.created_by), ("comment", step.comment)) if text},
            **({} if step.has_layer else {"empty_layer": True}),
        }
        for step in history
    ]
    content = {
        "architecture": architecture,
        **({"author": author} if author else {}),
        **({"comment": comment} if comment else {}),
        "config": dict(config),
        "created": _time(created),
        "history": steps,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [_PREFIX + digest for digest in diff_ids]},
        **({"variant": variant} if variant else {}),
    }
    return parse(json.dumps(content, separators=(",", ":"), ensure_ascii=False))


def parse(text: str) -> Document:
    """Parse a document from wherever it comes. MinirunError if it is none."""
    try:
        content = json.loads(text)
        digests = content["rootfs"]["diff_ids"] or []
        if any(not digest.startswith(_PREFIX) or len(bytes.fromhex(digest[7:])) != 32 for digest in digests):
            raise ValueError(f"diff_ids: {digests}")
        return Document(
            text,
            _config(content.get("config") or {}),
            tuple(digest[len(_PREFIX) :] for digest in digests),
            tuple(_step(entry) for entry in content.get("history") or []),
            _seconds(content.get("created")),
            _string(content, "architecture"),
            _string(content, "os") or "linux",
            _string(content, "variant"),
            _string(content, "author"),
            _string(content, "comment"),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MinirunError(f"invalid image configuration: {type(error).__name__}: {error}"[:300]) from None


def _config(content: dict[str, Any]) -> Config:
    """Take over the fields that are known and have a value; a field of another type is refused."""
    fields = [(name, content[name]) for name in (*_STRINGS, *_LISTS, *_MAPS) if content.get(name)]
    for name, value in fields:
        is_valid = (
            isinstance(value, str)
            if name in _STRINGS
            else isinstance(value, list) and all(isinstance(word, str) for word in value)
            if name in _LISTS
            else isinstance(value, dict)
        )
        if not is_valid:
            raise TypeError(f"{name}: {value!r}")
    labels = content.get("Labels") or {}
    if not all(isinstance(value, str) for value in labels.values()):
        raise TypeError(f"Labels: {labels!r}")
    return dict(fields)  # type: ignore[return-value]


def _step(entry: dict[str, Any]) -> Step:
    return Step(
        _seconds(entry.get("created")),
        _string(entry, "created_by"),
        _string(entry, "comment"),
        not entry.get("empty_layer"),
    )


def _string(content: dict[str, Any], name: str) -> str:
    value = content.get(name) or ""
    if not isinstance(value, str):
        raise TypeError(f"{name}: {value!r}")
    return value


def _time(seconds: float) -> str:
    return timestamp(int(seconds * 1e9))


def _seconds(text: str | None) -> float:
    """Read a time of RFC 3339; Go's zero time, year 1, is 0."""
    if not text:
        return 0
    moment = datetime.fromisoformat(text)
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
