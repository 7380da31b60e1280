"""An unexpected skip fails in CI, an expected one does not, and neither does elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.host import REPO

_TESTS = """
import pytest

def test_expected():
    pytest.skip("this machine has no v1 controllers")

@pytest.mark.skipif(True, reason="needs root")
def test_unexpected():
    pass

@pytest.mark.xfail
def test_expected_failure():
    assert False
"""


@pytest.mark.parametrize(("ci", "outcome"), [("true", "1 skipped, 1 xfailed, 1 error"), ("", "2 skipped, 1 xfailed")])
def test_skips(tmp_path: Path, ci: str, outcome: str) -> None:
    (tmp_path / "test_skips.py").write_text(_TESTS)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "tests.harness.skip_policy", "-p", "no:cacheprovider", tmp_path]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(REPO)}
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert outcome in done.stdout
    assert ("unexpected skip: needs root" in done.stdout) == bool(ci)
