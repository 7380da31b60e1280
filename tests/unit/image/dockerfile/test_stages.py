"""Which stages a target needs, what their names mean, and which images."""

import pytest

from minirun.errors import MinirunError
from minirun.image.dockerfile.checks import unused_build_args
from minirun.image.dockerfile.parser import parse
from minirun.image.dockerfile.source import DockerfileError
from minirun.image.dockerfile.stages import Plan, make_plan
from minirun.image.dockerfile.steps import Builtin, ImageOrigin, StageOrigin
from minirun.image.platforms import Platform, parse_platform

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
THREE = """
FROM a AS one
FROM b AS Two
RUN x
FROM c AS three
COPY --from=one /x /
FROM two
RUN --mount=from=THREE,target=/x y
"""


def plan(text: str, target: str = "", **build_args: str) -> Plan:
    return make_plan(parse(text.encode()), build_args, AMD64, AMD64, target)


@pytest.mark.parametrize(
    ("target", "stages"),
    [
        ("", ["one", "two", "three", "stage-3"]),
        ("three", ["one", "three"]),
        ("TWO", ["two"]),
        ("0", ["one"]),
        ("2", ["one", "three"]),
    ],
)
def test_only_needed_stages_are_built(target: str, stages: list[str]) -> None:
    planned = plan(THREE, target)
    assert [stage.name for stage in planned.stages] == stages
    assert planned.target is planned.stages[-1]


@pytest.mark.parametrize(
    ("text", "base", "images"),
    [
        ("FROM scratch", Builtin.SCRATCH, set()),
        ("FROM a\nFROM a AS a", ImageOrigin("a", AMD64), {"a"}),
        ("FROM x AS a\nFROM a", StageOrigin(0), {"x"}),
        ("FROM x AS a\nFROM y AS a\nFROM a", StageOrigin(1), {"y"}),
        ("FROM x AS a\nFROM A", ImageOrigin("A", AMD64), {"A"}),
        ("ARG i=x\nARG v=$i:1\nFROM $v", ImageOrigin("x:1", AMD64), {"x:1"}),
        ("ARG v\nFROM x${v:+:$v}", ImageOrigin("x", AMD64), {"x"}),
        ("FROM x:$TARGETARCH", ImageOrigin("x:amd64", AMD64), {"x:amd64"}),
        ("FROM --platform=linux/aarch64 x", ImageOrigin("x", ARM64), {"x"}),
        ("FROM --platform=$BUILDPLATFORM x", ImageOrigin("x", AMD64), {"x"}),
        ("FROM scratch\nCOPY --from=y:2 a b\nCOPY --from=scratch a b", Builtin.SCRATCH, {"y:2"}),
        ("FROM scratch\nRUN --mount=from=z,target=/a --mount=type=cache,target=/b x", Builtin.SCRATCH, {"z"}),
    ],
)
def test_what_a_name_means(text: str, base: object, images: set[str]) -> None:
    planned = plan(text)
    assert planned.target.base == base
    assert {image.reference for image in planned.images} == images


def test_build_arguments() -> None:
    text = "ARG a=1\nARG b=${a}2\nFROM x:$b\nARG c\nARG a"
    planned = plan(text, a="9", c="3", d="4", HTTP_PROXY="p", TARGETARCH="arm", SOURCE_DATE_EPOCH="0")
    assert planned.target.base == ImageOrigin("x:92", AMD64)
    assert planned.variables["TARGETARCH"] == "arm"
    assert unused_build_args(planned) == ["d"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("FROM $x", "base name ($x) should not be blank"),
        ("FROM ${x", "failed to process"),
        ("FROM --platform=$x a", "empty platform value from expression $x"),
        ("FROM --platform=a/b/c/d a", "failed to parse platform a/b/c/d"),
        ("FROM --platform=z80 a", 'failed to parse platform z80: "z80": unknown operating system or architecture'),
        ("FROM a\nCOPY --from=7 a b", "invalid stage index 7"),
        ("FROM a\nCOPY --from=$x a b", "variable expansion is not supported for --from"),
        ("FROM a AS b\nCOPY --from=b a b", "circular dependency detected on stage: b"),
        ("FROM a\nCOPY --from=0 a b", "circular dependency detected on stage: stage-0"),
        (
            "FROM a AS b\nCOPY --from=c a b\nFROM a AS c\nFROM b",
            'cannot copy from stage "c", it needs to be defined before current stage "b"',
        ),
        ("FROM a AS b\nCOPY --from=c x y\nFROM b AS c", "circular dependency detected on stage: b"),
        ("FROM a AS b\nRUN --mount=from=c,target=/x y\nFROM a AS c\nFROM b", 'cannot mount from stage "c", it needs'),
        (
            "FROM a AS b\nONBUILD NOPE x\nFROM b",
            "ONBUILD NOPE x: dockerfile parse error on line 1: unknown instruction",
        ),
    ],
)
def test_a_plan_that_is_wrong(text: str, says: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        plan(text)
    assert caught.value.message.startswith(says)
    assert ">>>" in caught.value.excerpt


def test_a_target_that_is_not_there() -> None:
    with pytest.raises(MinirunError) as caught:
        plan(THREE, "tree")
    assert caught.value.message == 'target stage "tree" could not be found (did you mean three?)'


def test_triggers_of_stages_and_images_run_first() -> None:
    text = "FROM a AS b\nONBUILD COPY --from=c x y\nONBUILD RUN <<E\nz\nE\nFROM b\nRUN w"
    assert [one.text for one in plan(text).target.instructions] == ["COPY --from=c x y", "RUN <<E\nz\nE", "RUN w"]
    assert {image.reference for image in plan(text).images} == {"a", "c"}
    planned = make_plan(
        parse(b"FROM a\nRUN w"), {}, AMD64, AMD64, triggers={"a": ["COPY --from=c x y"], "z": ["RUN q"]}
    )
    assert [one.text for one in planned.target.instructions] == ["COPY --from=c x y", "RUN w"]
    assert {image.reference for image in planned.images} == {"a", "c"}
    for trigger in ("FROM x", "RUN a\nRUN b", ""):
        with pytest.raises(DockerfileError):
            make_plan(parse(b"FROM a"), {}, AMD64, AMD64, triggers={"a": [trigger]})


def test_a_long_chain_of_stages() -> None:
    text = "FROM scratch AS s0\n" + "".join(f"FROM s{number} AS s{number + 1}\n" for number in range(3000))
    assert len(plan(text).stages) == 3001


def test_platforms() -> None:
    texts = ["linux/amd64", "amd64", "linux", "arm64", "linux/arm64/v8", "linux/arm", "armhf", "Linux/x86_64", "arm/v6"]
    shown = ["linux/amd64"] * 2 + ["linux/arm64"] * 3 + ["linux/arm/v7"] * 2 + ["linux/amd64", "arm/v6"]
    assert [str(parse_platform(text, ARM64)) for text in texts] == shown
