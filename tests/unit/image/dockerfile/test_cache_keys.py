"""The same step on the same content has the same key, whatever the time; everything else changes it."""

import os
from pathlib import Path

import pytest

from minirun.archive.tree_walk import DIRECTORY
from minirun.image.dockerfile.cache_keys import content_digest, step_key
from tests.unit.image.dockerfile.test_stage_state import build

RUN = "FROM x\nARG A\nRUN --mount=type=cache,target=/c make"


def key(text: str, parent: str = "p", digests: tuple[str, ...] = (), **build_args: str) -> str:
    step = build(text, build_args)[-1].step
    assert step is not None
    return step_key(parent, step, digests)


@pytest.mark.parametrize(
    ("text", "build_args"),
    [
        ("# comment\nFROM x\nARG A\n\n\nRUN --mount=type=cache,target=/c \\\n make", {}),
        ("FROM x AS y\nLABEL a=b\nARG A\nCMD c\nRUN --mount=target=/c,type=cache make", {}),
        (RUN, {"http_proxy": "p", "UNUSED": "1"}),
        ("FROM s\nFROM x\nARG A\nRUN --mount=type=cache,target=/c make", {}),
    ],
)
def test_the_same_key(text: str, build_args: dict[str, str]) -> None:
    assert key(text, **build_args) == key(RUN)


def test_another_key() -> None:
    texts = [
        RUN.replace("make", "make x"),
        RUN.replace("/c", "/d"),
        RUN.replace("ARG A", "ARG A=1"),
        RUN.replace("ARG A", "USER u"),
        RUN.replace("ARG A", "WORKDIR /x"),
        RUN.replace("ARG A", "ENV E=1"),
        RUN.replace("ARG A", 'SHELL ["/bin/bash", "-c"]'),
        RUN.replace("RUN ", "RUN --network=none "),
    ]
    keys = [key(RUN), key(RUN, "q"), key(RUN, digests=("d",)), key(RUN, A="1"), *map(key, texts)]
    assert len(set(keys)) == len(keys) - 1  # ARG A=1 is --build-arg A=1
    copies = ["COPY a /b", "COPY a /b/", "COPY --chown=1 a /b", "COPY --chmod=1 a /b", "COPY --link a /b", "ADD a /b"]
    copies += ["COPY <<E /b\nx\nE", "COPY <<E /b\ny\nE", "COPY <<F /b\nx\nF", "WORKDIR /b"]
    assert len({key(f"FROM x\n{text}") for text in copies}) == len(copies)


def test_content_without_times(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("x")
    (tmp_path / "d/skipped").write_text("x")

    def digest() -> str:
        directory = os.open(tmp_path, DIRECTORY)
        try:
            return content_digest([(directory, "d", "d")], frozenset({"d/skipped"}))
        finally:
            os.close(directory)

    before = digest()
    os.utime(tmp_path / "d/f", (1, 1))
    os.utime(tmp_path / "d", (2, 2))
    (tmp_path / "d/skipped").write_text("y")
    assert digest() == before
    seen = {before}
    for change in (
        lambda: (tmp_path / "d/f").write_text("y"),
        lambda: (tmp_path / "d/f").chmod(0o755),
        lambda: os.chown(tmp_path / "d/f", 5, 6),
        lambda: (tmp_path / "d").chmod(0o700),
        lambda: (tmp_path / "d/l").symlink_to("f"),
        lambda: (tmp_path / "d/f").rename(tmp_path / "d/g"),
    ):
        change()
        seen.add(digest())
    assert len(seen) == 7
