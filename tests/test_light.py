"""minirun.light, held against the modules of the standard library whose names it has: the same answers."""

import ast
import copy
import dataclasses
import enum
import json
import pathlib
import pickle
import re
import shlex
import signal
import socket
import sqlite3
import struct
import threading
import typing
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.kernel import seam
from minirun.kernel.glance import port_of
from minirun.kernel.netlink import attribute
from minirun.light import dataclasses as light_dataclasses
from minirun.light import enum as light_enum
from minirun.light import json as light_json
from minirun.light import pathlib as light_pathlib
from minirun.light import re as light_re
from minirun.light import signal as light_signal
from minirun.light import socket as light_socket
from minirun.light import sqlite3 as light_sqlite3
from minirun.light import typing as light_typing
from tests.harness.host import REPO

Modules = Any  # one of the two modules


def classes(module: Modules, hints: Modules) -> SimpleNamespace:
    @module.dataclass(frozen=True)
    class Point:
        x: int
        y: int = 2
        tags: list[str] = module.field(default_factory=list)

    @module.dataclass(frozen=True)
    class Named(Point):
        name: str = "n"
        y: int = 5

    @module.dataclass(frozen=True, eq=False, repr=False)
    class Bare:
        a: int = module.field(default=7)

    @module.dataclass
    class Open:
        x: int
        inside: Point | None = None
        several: tuple[Point, ...] = ()
        by_name: dict[str, Point] = module.field(default_factory=dict)

    @module.dataclass(frozen=True)
    class Shared:
        kinds: hints.ClassVar[int] = 3
        x: int

    return SimpleNamespace(Shared=Shared, Point=Point, Named=Named, Bare=Bare, Open=Open, **vars(module))


LIGHT, HEAVY = classes(light_dataclasses, light_typing), classes(dataclasses, typing)


def outcome(call: Callable[[SimpleNamespace], Any], of: SimpleNamespace) -> Any:
    """What comes out, in words that are the same for both; of a failure its kind."""
    try:
        return repr(call(of)).replace("classes.<locals>.", "")
    except Exception as error:
        kind = next(base for base in type(error).__mro__ if base.__module__ == "builtins")
        return kind.__name__


QUESTIONS: list[Callable[[Any], Any]] = [
    lambda m: m.Point(1),
    lambda m: m.Point(1, 3, ["a"]),
    lambda m: m.Point(x=1, tags=["a"]),
    lambda m: m.Point(1, tags=["a"], y=9),
    lambda m: m.Point(),
    lambda m: m.Point(1, 2, [], 4),
    lambda m: m.Point(1, x=2),
    lambda m: m.Point(1, z=2),
    lambda m: m.Point(y=1),
    lambda m: m.Named(1, name="b"),
    lambda m: m.Named(1, 2, [], "b"),
    lambda m: [one.name for one in m.fields(m.Named)],
    lambda m: [one.name for one in m.fields(m.Open(1))],
    lambda m: m.fields(3),
    lambda m: m.Point(1) == m.Point(1),
    lambda m: m.Point(1) == m.Point(2),
    lambda m: m.Point(1) == m.Named(1, 2),
    lambda m: m.Point(1) == (1, 2, []),
    lambda m: hash(m.Point(1, 2, ())) == hash(m.Point(1, 2, ())),
    lambda m: hash(m.Point(1)),
    lambda m: hash(m.Open(1)),
    lambda m: m.Bare() == m.Bare(),
    lambda m: "Bare object" in repr(m.Bare()),
    lambda m: m.Bare().a + m.Bare.a,
    lambda m: m.Point.y,
    lambda m: hasattr(m.Point, "tags"),
    lambda m: m.Point(1).tags is m.Point(1).tags,
    lambda m: setattr(m.Point(1), "x", 3),
    lambda m: setattr(m.Point(1), "new", 3),
    lambda m: delattr(m.Point(1), "x"),
    lambda m: setattr(m.Open(1), "x", 3),
    lambda m: m.replace(m.Point(1), y=4),
    lambda m: m.replace(m.Named(1), name="z", x=0),
    lambda m: m.replace(m.Point(1), z=4),
    lambda m: m.replace(m.Open(1), inside=m.Point(2)),
    lambda m: m.asdict(m.Open(1, m.Point(2), (m.Point(3), m.Named(4)), {"k": m.Point(5)})),
    lambda m: m.asdict(m.Point),
    lambda m: [m.is_dataclass(one) for one in (m.Point, m.Point(1), int, 3)],
    lambda m: copy.copy(m.Point(1, 7)),
    lambda m: copy.deepcopy(m.Open(1, m.Point(2))),
    lambda m: m.Point.__match_args__,
    lambda m: [one.name for one in m.fields(m.Shared)],
    lambda m: m.Shared(1),
    lambda m: m.dataclass(type("Wrong", (), {"__annotations__": {"a": list}, "a": []})),
]


@pytest.mark.parametrize("question", QUESTIONS, ids=[str(number) for number in range(len(QUESTIONS))])
def test_dataclasses_answer_the_same(question: Callable[[Any], Any]) -> None:
    assert outcome(question, LIGHT) == outcome(question, HEAVY)


def test_the_original_takes_ours_for_its_own() -> None:
    """A driver in somebody else's package says dataclasses.replace(network, ...)."""
    one = LIGHT.Named(1, name="b")
    assert dataclasses.replace(one, x=2) == LIGHT.Named(2, name="b")
    assert dataclasses.asdict(one) == LIGHT.asdict(one)
    assert [field.name for field in dataclasses.fields(one)] == ["x", "y", "tags", "name"]


def test_what_was_refused_is_named() -> None:
    for words, says in (
        ({}, "missing required arguments: 'x'"),
        ({"x": 1, "z": 2}, "unexpected keyword argument 'z'"),
    ):
        with pytest.raises(TypeError, match=says):
            LIGHT.Point(**words)
    with pytest.raises(light_dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        LIGHT.Point(1).x = 2


class LightTuple(light_typing.NamedTuple):
    a: int
    b: str = "b"
    c: int | None = None


class HeavyTuple(typing.NamedTuple):
    a: int
    b: str = "b"
    c: int | None = None


TUPLES: list[Callable[[Any], Any]] = [
    lambda t: tuple(t(1)),
    lambda t: tuple(t(1, c=3)),
    lambda t: t(1, "x").b,
    lambda t: t(1, "x")._replace(a=2),
    lambda t: t(1)._asdict(),
    lambda t: t._make([1, "y", 2]),
    lambda t: t._make([1, "y", 2, 3]),
    lambda t: t(),
    lambda t: t(1, a=2),
    lambda t: t(1, z=2),
    lambda t: t._fields,
    lambda t: hash(t(1)) == hash(t(1)),
    lambda t: (t(1) == (1, "b", None), t(1) < t(2)),
    lambda t: pickle.loads(pickle.dumps(t(4))),
    lambda t: copy.deepcopy(t(4, "c")),
    lambda t: setattr(t(1), "a", 2),
]


@pytest.mark.parametrize("question", TUPLES, ids=[str(number) for number in range(len(TUPLES))])
def test_named_tuples_answer_the_same(question: Callable[[Any], Any]) -> None:
    ours, theirs = ({"T": one} for one in (LightTuple, HeavyTuple))
    answer = outcome(lambda m: question(m.T), SimpleNamespace(**ours)).replace("LightTuple", "HeavyTuple")
    assert answer == outcome(lambda m: question(m.T), SimpleNamespace(**theirs))


PIECES = st.text(alphabet="ab./- ", max_size=8)


@given(PIECES, PIECES)
def test_paths_answer_the_same(one: str, other: str) -> None:
    ours, theirs = light_pathlib.Path, pathlib.Path
    for ask in (
        lambda p: str(p(one)),
        lambda p: str(p(one, other)),
        lambda p: str(p(one) / other),
        lambda p: p(one).name,
        lambda p: p(one).suffix,
        lambda p: p(one).parts,
        lambda p: str(p(one).parent),
        lambda p: p(one).is_absolute(),
        lambda p: p(one).is_relative_to(other),
        lambda p: p(one) < p(other),
        lambda p: p(one) == p(other),
        lambda p: hash(p(one)) == hash(p(other)),
        lambda p: p(one).exists(),
    ):
        assert _asked(ask, ours) == _asked(ask, theirs), (one, other)


def _asked(ask: Callable[[Any], Any], kind: Any) -> Any:
    try:
        return ask(kind)
    except (ValueError, OSError) as error:
        return type(error).__name__


@pytest.mark.parametrize("path", ["a", "/a", "a/b", "/", ".", "", "a/.."])
@pytest.mark.parametrize("name", ["c", ".c", "", ".", "c/d", "/c", ".."])
def test_a_path_with_another_name(path: str, name: str) -> None:
    ours, theirs = (_asked(lambda p: str(p(path).with_name(name)), one) for one in (light_pathlib.Path, pathlib.Path))
    assert ours == theirs


def test_paths_of_both_kinds_go_together() -> None:
    ours, theirs = light_pathlib.Path("/a/b"), pathlib.Path("/a/b")
    assert ours == theirs
    assert theirs == ours
    assert str(ours / pathlib.Path("c")) == str(theirs / light_pathlib.Path("c")) == "/a/b/c"
    assert ours != "/a/b"


def test_files_are_the_same_to_both(tmp_path: pathlib.Path) -> None:
    top = light_pathlib.Path(tmp_path)
    (top / "d" / "e").mkdir(parents=True)
    (top / "d").mkdir(exist_ok=True)
    with pytest.raises(FileExistsError):
        (top / "d").mkdir()
    with pytest.raises(FileNotFoundError):
        (top / "no" / "no").mkdir()
    file = top / "d" / "file"
    assert file.write_text("täxt") == 4
    with pytest.raises(FileExistsError):
        file.mkdir(exist_ok=True)
    assert (file.read_text(), file.read_bytes()) == ("täxt", "täxt".encode())
    (top / "link").symlink_to("d/file")
    (top / "lost").symlink_to("nowhere")
    assert (top / "link").readlink() == light_pathlib.Path("d/file")
    for name in ("d", "d/file", "link", "lost", "none", "d/file/below", "a" * 300 + "/x"):
        ours, theirs = top / name, tmp_path / name
        for ask in ("exists", "is_dir"):
            assert _asked(lambda one, ask=ask: getattr(one, ask)(), ours) == _asked(
                lambda one, ask=ask: getattr(one, ask)(), theirs
            ), (name, ask)
    assert sorted(map(str, top.iterdir())) == sorted(map(str, tmp_path.iterdir()))
    file.chmod(0o640)
    assert file.stat().st_mode & 0o777 == (top / "link").stat().st_mode & 0o777 == 0o640
    assert (top / "link").lstat().st_mode != file.stat().st_mode
    assert file.rename(top / "moved") == top / "moved"
    assert (top / "moved").replace(top / "d" / "file") == file
    with file.open("ab") as opened:
        opened.write(b"!")
    assert file.read_bytes().endswith(b"!")
    file.unlink()
    file.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        file.unlink()
    (top / "d" / "e").rmdir()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside) | st.tuples(inside),
    max_leaves=12,
)


@given(JSON)
def test_json_is_the_same_text_and_the_same_values(value: Any) -> None:
    text = light_json.dumps(value)
    assert text == json.dumps(value)
    assert light_json.loads(text) == json.loads(text)
    assert light_json.loads(f" {text}\n") == json.loads(text)


@given(st.text(alphabet='{}[]",:1e-.tfn \\u', max_size=12))
def test_json_refuses_the_same(text: str) -> None:
    answers = []
    for module in (light_json, json):
        try:
            answers.append(repr(module.loads(text)))
        except json.JSONDecodeError as error:
            answers.append(str(error))
    assert answers[0] == answers[1]


def test_json_refuses_what_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="Object of type set is not JSON serializable"):
        light_json.dumps({"a": set()})
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="Circular"):
        light_json.dumps(loop)


def test_patterns_are_those_of_re() -> None:
    ours, theirs = light_re.compile(r"(a+)(?P<n>B)?", light_re.IGNORECASE), re.compile(r"(a+)(?P<n>B)?", re.IGNORECASE)
    for text in ("aab", "xAAx", "", "b"):
        assert bool(ours.match(text)) == bool(theirs.match(text))
        assert ours.sub("-", text) == theirs.sub("-", text)
        assert ours.findall(text) == theirs.findall(text)
    for name in ("IGNORECASE", "MULTILINE", "DOTALL", "VERBOSE", "ASCII"):
        assert getattr(light_re, name) == getattr(re, name).value


def test_sockets_have_what_is_used_of_them() -> None:
    one, other = light_socket.socketpair()
    with one, other:
        one.sendall(b"x")
        assert other.recv(9) == b"x"
    assert one.fileno() == -1
    with light_socket.socket(light_socket.AF_INET, light_socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        caller = threading.Thread(target=lambda: socket.create_connection(listener.getsockname()).close())
        caller.start()
        accepted, address = listener.accept()
        caller.join()
        with accepted:
            assert (accepted.family, accepted.type, address[0]) == (listener.family, listener.type, "127.0.0.1")
    for name in set(light_socket.__all__) - {"socket", "socketpair"}:
        assert getattr(light_socket, name) == getattr(socket, name)


class LightText(light_enum.StrEnum):
    ONE = "one"
    TWO = "two"
    UNO = "one"


class HeavyText(enum.StrEnum):
    ONE = "one"
    TWO = "two"
    UNO = "one"


class LightNumber(light_enum.IntEnum):
    ONE = 1
    TWO = 2


class HeavyNumber(enum.IntEnum):
    ONE = 1
    TWO = 2


ENUMERATIONS: list[Callable[[Any], Any]] = [
    lambda e: list(e),
    lambda e: len(e),
    lambda e: e.ONE,
    lambda e: str(e.ONE),
    lambda e: f"{e.TWO:>5}",
    lambda e: (e.TWO.name, e.TWO.value),
    lambda e: e["TWO"],
    lambda e: e["THREE"],
    lambda e: e(e.TWO.value),
    lambda e: e(e.TWO) is e.TWO,
    lambda e: e("nothing"),
    lambda e: e([]),
    lambda e: isinstance(e.ONE, e),
    lambda e: list(e.__members__),
    lambda e: e.ONE.value == e.ONE,
    lambda e: hash(e.ONE) == hash(e.ONE.value),
    lambda e: {e.ONE: 1}[e.ONE.value],
    lambda e: sorted([e.TWO, e.ONE]),
    lambda e: json.dumps({"k": e.ONE}),
    lambda e: light_json.dumps({"k": e.ONE}),
    lambda e: copy.deepcopy(e.ONE) is e.ONE,
    lambda e: pickle.loads(pickle.dumps(e.TWO)) is e.TWO,
    lambda e: setattr(e, "ONE", 3),
]


@pytest.mark.parametrize("question", ENUMERATIONS, ids=[str(number) for number in range(len(ENUMERATIONS))])
def test_enumerations_answer_the_same(question: Callable[[Any], Any]) -> None:
    for ours, theirs in ((LightText, HeavyText), (LightNumber, HeavyNumber)):
        answer = outcome(lambda m: question(m.e), SimpleNamespace(e=ours)).replace("Light", "Heavy")
        assert answer == outcome(lambda m: question(m.e), SimpleNamespace(e=theirs))


def test_signals_are_those_of_the_machine() -> None:
    assert light_signal.NUMBERS.items() >= {one.name: one.value for one in signal.Signals}.items()
    for name in set(light_signal.__all__) - {"NUMBERS", "signal", "pthread_sigmask", "valid_signals"}:
        assert getattr(light_signal, name) == getattr(signal, name)
    assert light_signal.valid_signals() == signal.valid_signals()


def test_a_bad_pattern_is_an_error_when_it_is_used() -> None:
    with pytest.raises(light_re.error, match="unterminated"):
        light_re.compile("(").search("")
    with pytest.raises(AttributeError):
        _ = light_re.nothing


def test_databases_are_sqlite3s() -> None:
    for name in light_sqlite3.__all__:
        assert getattr(light_sqlite3, name) is getattr(sqlite3, name)


def test_no_path_is_asked_for_what_it_lacks() -> None:
    """Checkers see the whole of pathlib. What other things are called, too (a pattern's match, a user's home), is left
    out."""
    others = {"match", "group", "owner", "root", "drive", "anchor", "resolve", "parents", "home", "cwd"}
    lacking = {name for name in dir(pathlib.Path) if name[0] != "_"} - set(dir(light_pathlib.Path)) - others
    assert "rglob" in lacking
    for file in (REPO / "minirun").rglob("*.py"):
        text = file.read_text()
        of_pathlib = {"rglob", "glob", "is_file", "relative_to", "stem"} if "from pathlib import" in text else set()
        asked = {node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)}
        assert not asked & lacking - of_pathlib, (file, asked & lacking)


@given(st.text(alphabet="ab '\"$\\;%@é/.-_=+:,", max_size=8))
def test_commands_are_quoted_as_shlex_does(text: str) -> None:
    values = seam._Quoted({"one": text, "many": [text, "x y"]})
    assert "{one} {many}".format_map(values) == f"{shlex.quote(text)} {shlex.join([text, 'x y'])}"


@pytest.mark.parametrize("swapped", [False, True])
def test_a_port_is_read_wherever_the_kernel_says_its_bridge(swapped: bool) -> None:
    words = [attribute(3, b"veth0\0"), attribute(10, struct.pack("=I", 7))]
    head = struct.pack("=BxHiII", 7, 1, 5, 1, 0)
    rest = attribute(4, struct.pack("=I", 1500)) * 3
    assert port_of(head + b"".join(reversed(words) if swapped else words) + rest) == ("veth0", (7, True))
