"""Configuration documents of images: what is built reads back, and what comes from elsewhere is checked."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minirun.errors import MinirunError
from minirun.image.document import Step, build, parse

_DIGEST = "ab" * 32
_ROOTFS = {"type": "layers", "diff_ids": [f"sha256:{_DIGEST}"]}


def test_what_is_built_reads_back_and_has_the_same_id_twice() -> None:
    steps = (Step(5, "RUN x", "why"), Step(0, "ENV A=1", has_layer=False))
    made = [build({"Env": ["A=1"], "Cmd": ["sh"]}, (_DIGEST,), steps, 1.5, "arm64", "me", "ä") for _ in range(2)]
    assert made[0].id == made[1].id
    document = parse(made[0].text)
    assert (document.config, document.diff_ids, document.history) == (
        {"Env": ["A=1"], "Cmd": ["sh"]},
        (_DIGEST,),
        steps,
    )
    assert (document.created, document.architecture, document.author, document.comment) == (1.5, "arm64", "me", "ä")


def test_what_docker_writes_reads_back() -> None:
    """Null for what is empty, nanoseconds, Go's zero time, and fields that are not minirun's."""
    config: dict[str, Any] = {
        "Cmd": None,
        "Env": ["A=1"],
        "Labels": None,
        "WorkingDir": "",
        "Tty": False,
        "OnBuild": None,
    }
    text = json.dumps(
        {
            "architecture": "arm",
            "variant": "v7",
            "os": "linux",
            "config": config,
            "created": "2024-01-02T03:04:05.123456789Z",
            "history": [{"created": "0001-01-01T00:00:00Z", "empty_layer": True}],
            "rootfs": _ROOTFS,
        }
    )
    document = parse(text)
    assert (document.config, document.variant, document.text) == ({"Env": ["A=1"]}, "v7", text)
    assert (round(document.created), document.history) == (1704164645, (Step(0, has_layer=False),))


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"rootfs": {}},
        {"rootfs": {"diff_ids": ["sha256:short"]}},
        {"rootfs": {"diff_ids": ["sha512:" + _DIGEST]}},
        {"rootfs": {"diff_ids": [7]}},
        {"rootfs": _ROOTFS, "config": {"Env": "A=1"}},
        {"rootfs": _ROOTFS, "config": {"Cmd": [1]}},
        {"rootfs": _ROOTFS, "config": {"Labels": {"a": 1}}},
        {"rootfs": _ROOTFS, "config": []},
        {"rootfs": _ROOTFS, "config": [1]},
        {"rootfs": _ROOTFS, "architecture": 5},
        {"rootfs": _ROOTFS, "created": "yesterday"},
        {"rootfs": _ROOTFS, "history": ["x"]},
    ],
)
def test_what_is_no_document_is_refused(content: Any) -> None:
    if content == {"rootfs": _ROOTFS, "config": []}:
        assert parse(json.dumps(content)).config == {}  # as PHP's and Lua's tools write an empty object
        return
    with pytest.raises(MinirunError, match="invalid image configuration"):
        parse(json.dumps(content))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = ("architecture", "config", "created", "history", "rootfs", "os")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(_FIELDS), _JSON | st.fixed_dictionaries({"diff_ids": _JSON}), max_size=6))
def test_hostile_content_is_refused_or_read(content: Any) -> None:
    with suppress(MinirunError):
        parse(json.dumps(content))
