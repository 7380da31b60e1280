"""Seccomp profiles: conditions, and any JSON is read or refused."""

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from minirun.errors import MinirunError
from minirun.kernel.seccomp import Instruction
from minirun.security import seccomp_cache
from minirun.security.seccomp_compiler import applies, compiled
from minirun.security.seccomp_profile import Condition, Profile, Rule, parse

DEFAULT = Path(seccomp_cache.__file__).with_name("default.json").read_text()


def test_every_rule_of_the_default_names_calls_and_what_is_closed_is_in_none() -> None:
    names = [name for rule in parse(DEFAULT).rules if not rule.includes.capabilities for name in rule.names]
    for closed in ("io_uring_setup", "userfaultfd", "keyctl", "bpf", "mount", "open_by_handle_at", "kexec_load"):
        assert closed not in names


def test_a_condition_counts_as_docker_has_it() -> None:
    def made(includes: Condition = Condition(), excludes: Condition = Condition()) -> Rule:  # noqa: B008 - frozen
        return Rule(("a",), 0, (), includes, excludes)

    two = Condition(frozenset({"chown", "kill"}))
    assert applies(made(includes=two), frozenset({"chown", "kill"}), "amd64", (6, 1))
    assert not applies(made(includes=two), frozenset({"chown"}), "amd64", (6, 1))  # all of them
    assert not applies(made(excludes=two), frozenset({"chown"}), "amd64", (6, 1))  # any of them
    old = Condition(kernel=(4, 8))
    assert applies(made(includes=old), frozenset(), "amd64", (4, 8))
    assert not applies(made(includes=old), frozenset(), "amd64", (4, 7))
    assert applies(made(excludes=old), frozenset(), "amd64", (4, 7))
    assert not applies(made(excludes=old), frozenset(), "amd64", (5, 0))


_KEYS = st.sampled_from(["names", "action", "args", "includes", "caps", "index", "value", "op", "syscalls", "archMap"])


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=9)
    | st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_CMP_EQ"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS | st.text(max_size=5), inner, max_size=3),
    max_leaves=9,
)


def read(text: str) -> Profile | None:
    try:
        profile = parse(text)
    except MinirunError:
        return None
    try:
        program = compiled(profile, frozenset({"chown"}))
    except MinirunError:
        return profile
    assert program
    assert len(program) % Instruction.size == 0
    return profile


@given(_VALUES)
@settings(max_examples=200, deadline=None)
def test_no_json_makes_the_reader_raise(value: object) -> None:
    read(json.dumps(value))


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_no_text_makes_the_reader_raise(text: str) -> None:
    read(text)


_SMALL = {**json.loads(DEFAULT), "syscalls": json.loads(DEFAULT)["syscalls"][1:9]}


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6), _VALUES)
@settings(max_examples=200, deadline=None)
def test_a_profile_with_any_part_replaced_is_read_or_refused(path: list[int], value: object) -> None:
    data = copy.deepcopy(_SMALL)
    place: Any = data
    for step in path[:-1]:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        inner = place[keys[step % len(keys)]] if keys else None
        if not isinstance(inner, (dict, list)) or not inner:
            break
        place = inner
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    place[keys[path[-1] % len(keys)]] = value
    read(json.dumps(data))
