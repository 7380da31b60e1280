"""minirun as `pip install` puts it somewhere, without scripts/setup: with the launcher and a fork server of its own."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Host
from tests.harness.host import REPO

_SOURCES = ("minirun", "csrc", "packaging", "setup.py", "pyproject.toml", "README.md")
_PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place such as a virtual environment, with a wheel that was built from a copy of the sources."""
    place = tmp_path_factory.mktemp("pip")
    for name in _SOURCES:
        source = REPO / name
        if source.is_dir():
            shutil.copytree(source, place / "source" / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            shutil.copy(source, place / "source")
    flags = ("--no-deps", "--no-index")
    subprocess.run([*_PIP, "wheel", *flags, "--no-build-isolation", "-w", place, place / "source"], check=True)
    (wheel,) = place.glob("*.whl")
    subprocess.run([*_PIP, "install", *flags, "--ignore-installed", "--prefix", place / "prefix", wheel], check=True)
    (packages,) = (place / "prefix").glob("lib*/python*/*-packages")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "minirun" not in path.name and not (packages / path.name).exists():
            (packages / path.name).symlink_to(path)  # what it depends on
    (place / "prefix/bin/python3").symlink_to(sys.executable)
    return place / "prefix"


@pytest.fixture
def host() -> Iterator[Host]:
    with Host(own_server=True) as made:
        yield made


def test_it_has_the_launcher_and_a_server(prefix: Path, host: Host) -> None:
    program = prefix / "bin/minirun"
    assert program.read_bytes().startswith(b"\x7fELF")

    def run(*words: str, way: str = "") -> tuple[str, str]:
        environment = {**os.environ, "MINIRUN_DEBUG": "1", "MINIRUN_FORKSERVER": way, "PYTHONPATH": "/nonexistent"}
        done = host.run([str(program), *words], env=environment, cwd="/")
        return done.stdout, done.stderr

    greet = ("run", "--rm", "--net=none", "busybox", "echo", "two  words")
    assert run(*greet) == ("two  words\n", "minirun: without the fork server: none is running\n")
    assert run(*greet) == ("two  words\n", "")
    assert run(*greet, way="off") == ("two  words\n", "minirun: without the fork server: MINIRUN_FORKSERVER=off\n")
    servers = host.sh("ps axwwo args= | grep [m]inirun-forkserver").splitlines()
    assert servers
    assert all(str(prefix) in line for line in servers)
