"""The shell scripts: shellcheck finds nothing, and what they refuse they refuse in words."""

import os
import socket
import subprocess

import pytest

from tests.harness.host import REPO

SCRIPTS = [*sorted((REPO / "scripts").iterdir()), REPO / ".ci/run"]


def test_shellcheck() -> None:
    done = subprocess.run(["shellcheck", "-x", *SCRIPTS], cwd=REPO, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("script", ["setup", "bare-machine"])
def test_an_unknown_option_is_refused_with_the_usage(script: str) -> None:
    done = subprocess.run([REPO / "scripts" / script, "--nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unknown option --nonsense" in done.stderr
    assert "usage: scripts/" + script in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the script does")
def test_quickstart_tells_who_has_the_port() -> None:
    """Only the function: the script itself would change this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = (REPO / "scripts/quickstart").read_text().removesuffix('main "$@"\n') + "check_port\n"
        done = subprocess.run(
            ["bash", "-c", text, str(REPO / "scripts/quickstart")],
            env={**os.environ, "QUICKSTART_PORT": str(port)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port} is taken by process {os.getpid()}" in done.stderr
    assert "QUICKSTART_PORT=8081" in done.stderr
