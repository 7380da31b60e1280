"""`build` beside Docker's classic builder: the same Dockerfiles lead to the same files, configurations and histories.

Where BuildKit, which minirun follows, differs from the classic builder, the case says so (`differs`), and the
difference must be there. One that concerns all directories is `_DIRECTORY_TIME`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Host
from tests.harness.builders import Builder, Builders, start_builders
from tests.harness.saved_images import differences, read
from tests.integration.image.build_corpus import CASES, FAULTS, MTIME, Case, Fault, lay, text_of

# BuildKit gives a directory that COPY makes of another one the time of its source; the classic builder does so only for
# those below the source, unless .dockerignore leaves them out but not all that they hold.
_DIRECTORY_TIME = re.compile(rf"/.+/ mtime: now \| {MTIME}")


@pytest.fixture(scope="module")
def builders() -> Iterator[Builders]:
    with Host() as host:
        yield start_builders(host)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_minirun_builds_what_docker_builds(builders: Builders, case: Case, tmp_path: Path) -> None:
    if case.base:
        lay({"Dockerfile": text_of(case.base)}, tmp_path / "base")
    lay({"Dockerfile": text_of(case.dockerfile), **case.files}, tmp_path / "context")
    theirs, ours = (read(_build(builder, case, tmp_path)) for builder in builders.both)
    found = [line for line in differences(theirs, ours, builders.started) if not _DIRECTORY_TIME.fullmatch(line)]
    assert sorted(found) == sorted(case.differs)


def _build(builder: Builder, case: Case, directory: Path) -> bytes:
    """Build a case and return the archive of its image."""
    if case.base:
        based = builder.build(directory / "base", "base")
        assert based.returncode == 0, based.stderr
    done = builder.build(directory / "context", "case", case.flags)
    assert done.returncode == 0, done.stderr
    return builder.save("case")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_minirun_fails_where_docker_fails_and_names_the_line(builders: Builders, fault: Fault, tmp_path: Path) -> None:
    lay({"Dockerfile": text_of(fault.dockerfile), **fault.files}, tmp_path / "context")
    theirs, ours = (builder.build(tmp_path / "context", "fault", fault.flags) for builder in builders.both)
    assert theirs.returncode, theirs.stdout
    assert ours.returncode, ours.stderr
    assert fault.says in ours.stderr
    assert (f"\nDockerfile:{fault.line}\n" in f"\n{ours.stderr}") == bool(fault.line), ours.stderr
