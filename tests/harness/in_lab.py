"""Run tests in a lab, as a user who is not root: `python -m tests.harness.in_lab [--no-cgroup] tests/...`.

The arguments go to pytest. The user is a number without a name, so nothing has to be added to the machine. Its cgroup
is delegated, as `systemd-run --user --scope` does it, unless --no-cgroup is the first argument.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from minirun.kernel import cgroups
from tests.harness.debian_packages import REGISTRY, fetch
from tests.harness.host import MINIRUN, REPO
from tests.harness.snapshot import eventually

USER = 64123


@contextmanager
def delegated_group() -> Iterator[Path | None]:
    """A v2 group of the user's own; None where the machine has no v2 hierarchy."""
    top = cgroups.mounted()
    if top is None:
        yield None
        return
    group = top / f"minirun-test-lab-{os.urandom(4).hex()}"
    group.mkdir()
    for path in (group, group / "cgroup.procs", group / "cgroup.subtree_control", group / "cgroup.threads"):
        os.chown(path, USER, USER)
    try:
        yield group
    finally:
        eventually(lambda: _is_removed(group))  # a killed member leaves it a moment later


def _is_removed(group: Path) -> bool:
    with suppress(OSError):
        group.rmdir()
    return not group.exists()


@contextmanager
def home() -> Iterator[Path]:
    """A directory of the user's own."""
    path = Path(tempfile.mkdtemp(prefix="minirun-lab-"))
    os.chown(path, USER, USER)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def as_user(argv: list[str], directory: Path, group: Path | None = None) -> list[str]:
    """The command line that runs `argv` as the user."""
    enter = f'echo $$ > "{group}/cgroup.procs"; ' if group else ""
    settings = [
        *(f"{name}={directory}" for name in ("HOME", "TMPDIR", "HYPOTHESIS_STORAGE_DIRECTORY")),
        *("SHELL=/bin/sh", "PYTHONDONTWRITEBYTECODE=1"),
    ]
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    return ["sh", "-c", f'{enter}exec "$@"', "sh", "env", "-u", "XDG_RUNTIME_DIR", *settings, *user, *argv]


def main(words: list[str]) -> int:
    """Run pytest with these arguments in a lab, and return its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the group and the directory are removed
    if words[:1] == ["--no-cgroup"]:
        with home() as directory:
            return _run(words[1:], directory, None)
    with home() as directory, delegated_group() as group:
        return _run(words, directory, group)


def _run(words: list[str], directory: Path, group: Path | None) -> int:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]
    with suppress(pytest.skip.Exception):  # the user may not write where these are kept
        fetch(REGISTRY)
    return subprocess.run(as_user([MINIRUN, "lab", *command], directory, group), cwd=REPO, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
