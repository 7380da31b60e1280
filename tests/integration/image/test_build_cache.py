"""The directories of RUN --mount=type=cache: whole or not there, shared or not."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from minirun.image.build.cache import cache_mount, uses
from minirun.image.layers import sweep
from minirun.instance import Instance

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: layers have owners")


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(tmp_path / "root")


class TakenError(Exception):
    """Another step has it."""


def taken() -> None:
    raise TakenError


def fill(directory: Path) -> None:
    (directory / "content").write_text("whole")


def test_one_that_could_not_be_filled_is_not_there(instance: Instance) -> None:
    def fail(directory: Path) -> None:
        (directory / "content").write_text("half")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"), cache_mount(instance, "c", "shared", fail, taken):
        pass
    assert uses(instance) == []
    sweep(instance)
    assert os.listdir(instance.root / "layers") == []
    with cache_mount(instance, "c", "shared", fill, taken) as directory:
        assert (directory / "content").read_text() == "whole"


def test_who_shares_it(instance: Instance) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(cache_mount(instance, "c", "shared", fill, taken))
        assert stack.enter_context(cache_mount(instance, "c", "shared", fill, taken)) == first
        with pytest.raises(TakenError), cache_mount(instance, "c", "locked", fill, taken):
            pass
        assert stack.enter_context(cache_mount(instance, "c", "private", fill, taken)) != first
    with cache_mount(instance, "c", "locked", fill, taken) as again:
        assert again == first


def test_an_error_of_the_block_is_not_taken_for_a_lock(instance: Instance) -> None:
    with pytest.raises(BlockingIOError), cache_mount(instance, "c", "private", fill, taken):
        raise BlockingIOError
