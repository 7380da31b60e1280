"""`build` beside Docker's classic builder: the same Dockerfiles lead to the same files, configurations and histories.

Where BuildKit, which minirun follows, differs from the classic builder, the case says so (`differs`), and the
difference must be there. One that concerns all directories is `_DIRECTORY_TIME`.

Docker's answers are recorded (build_corpus/docker_answers.py). It builds a case itself when there is no record of it,
and some in each run, which must agree with theirs. With UPDATE_GOLDEN=1 in the environment it builds all, and they are
recorded: `UPDATE_GOLDEN=1 ./scripts/test --numprocesses 0 tests/integration/image/test_build_peers.py`.
"""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Host
from tests.harness.builders import Builder, minirun_builder, start_docker_builder
from tests.harness.recorded_images import from_record, to_record
from tests.harness.saved_images import SavedImage, differences, read
from tests.integration.image.build_corpus import CASES, FAULTS, MTIME, Case, Fault, lay, text_of
from tests.integration.image.build_corpus.docker_answers import record, recorded

# BuildKit gives a directory that COPY makes of another one the time of its source; the classic builder does so only for
# those below the source, unless .dockerignore leaves them out but not all that they hold.
_DIRECTORY_TIME = re.compile(rf"/.+/ mtime: now \| {MTIME}")
_IS_UPDATED = bool(os.environ.get("UPDATE_GOLDEN"))
_LIVE = 29  # Docker builds each such case in each run
_STARTED = int(time.time())


@pytest.fixture(scope="module")
def ours() -> Iterator[Builder]:
    with Host() as host:
        yield minirun_builder(host)


@pytest.fixture(scope="module")
def docker(ours: Builder) -> Iterator[Builder]:
    """On a host of its own: the programs that are laid over it make minirun's commands slow there."""
    with Host() as host:
        yield start_docker_builder(host, ours)


@pytest.fixture(scope="module")
def busybox(ours: Builder) -> SavedImage:
    return read(ours.save("busybox"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_minirun_builds_what_docker_builds(
    ours: Builder, busybox: SavedImage, case: Case, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    _lay(case, tmp_path)
    image = read(_build(ours, case, tmp_path))
    answer = recorded(case)
    if _IS_UPDATED or answer is None or CASES.index(case) % _LIVE == 0:
        live = read(_build(request.getfixturevalue("docker"), case, tmp_path))
        if _IS_UPDATED:
            record(case, to_record(live, busybox, _STARTED))
            answer = recorded(case)
        answer = answer or to_record(live, busybox, _STARTED)
        assert list(differences(from_record(answer, busybox, _STARTED), live, _STARTED)) == []
    theirs = from_record(answer, busybox, _STARTED)
    found = [line for line in differences(theirs, image, _STARTED) if not _DIRECTORY_TIME.fullmatch(line)]
    assert sorted(found) == sorted(case.differs)


def _lay(case: Case, directory: Path) -> None:
    if case.base:
        lay({"Dockerfile": text_of(case.base)}, directory / "base")
    lay({"Dockerfile": text_of(case.dockerfile), **case.files}, directory / "context")


def _build(builder: Builder, case: Case, directory: Path) -> bytes:
    """Build a case and return the archive of its image."""
    if case.base:
        based = builder.build(directory / "base", "base")
        assert based.returncode == 0, based.stderr
    done = builder.build(directory / "context", "case", case.flags)
    assert done.returncode == 0, done.stderr
    return builder.save("case")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_minirun_fails_where_docker_fails_and_names_the_line(
    ours: Builder, fault: Fault, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    lay({"Dockerfile": text_of(fault.dockerfile), **fault.files}, tmp_path / "context")
    if _IS_UPDATED or recorded(fault) is None or FAULTS.index(fault) % _LIVE == 0:
        live = request.getfixturevalue("docker").build(tmp_path / "context", "fault", fault.flags)
        assert live.returncode, live.stdout
        if _IS_UPDATED:
            record(fault, "fails")
    done = ours.build(tmp_path / "context", "fault", fault.flags)
    assert done.returncode, done.stderr
    assert fault.says in done.stderr
    assert (f"\nDockerfile:{fault.line}\n" in f"\n{done.stderr}") == bool(fault.line), done.stderr
