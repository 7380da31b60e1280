"""The yardsticks of compatibility: what counts as passed, what has to be explained; the recorder changes nothing."""

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.compatibility import outcomes
from tests.compatibility.outcomes import Outcome, judge
from tests.compatibility.suites import SUITES
from tests.compatibility.suites.compose import FILES
from tests.harness import eventually
from tests.harness.host import REPO

_FIRST = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{"b":2}\r\n0\r\n\r\n'
_SECOND = b"HTTP/1.1 101 UPGRADED\r\n\r\n"


def test_what_docker_fails_counts_for_nobody_and_each_other_failure_has_to_be_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "suite.txt").write_text("docker: a::*  # not here\nminirun: b::two  # refused\n")
    monkeypatch.setattr(outcomes, "_LISTS", tmp_path)
    found = [Outcome("a::one", "failed"), Outcome("b::one", "passed"), Outcome("b::two", "failed")]
    verdict = judge("suite", "minirun", found)
    assert (verdict.total, verdict.passed, verdict.is_good) == (2, 1, True)
    assert list(verdict.explained.values()) == ["refused"]
    assert not judge("suite", "minirun", [*found, Outcome("b::three", "failed")]).is_good
    assert not judge("suite", "docker", found).is_good


def test_lists_name_known_suites_and_each_compose_project_has_what_is_expected() -> None:
    for file in (REPO / "tests/compatibility/lists").iterdir():
        assert file.stem in SUITES
        assert outcomes.explanations(file.stem)
    projects = [directory for directory in FILES.iterdir() if directory.is_dir()]
    assert len(projects) == 25
    assert all((project / "expected").exists() and (project / "compose.yaml").exists() for project in projects)


def test_the_recorder_passes_everything_on_and_writes_down_what_was_said(tmp_path: Path) -> None:
    """A request whose answer is in chunks, then, on the same connection, one that takes it over; with half-close."""
    engine, recorder, log = (tmp_path / name for name in ("engine", "recorder", "log"))
    words = [sys.executable, "-m", "tests.compatibility.recorder", engine, log, recorder]
    with socket.socket(socket.AF_UNIX) as server, subprocess.Popen(words, cwd=REPO) as process:
        server.bind(str(engine))
        server.listen()
        answering = threading.Thread(target=_answer, args=(server,))
        answering.start()
        eventually(recorder.exists, 20)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(recorder))
            client.sendall(b'POST /a HTTP/1.1\r\nContent-Length: 7\r\n\r\n{"a":1}')
            assert _read(client, b"0\r\n\r\n") == _FIRST
            client.sendall(b"GET /c HTTP/1.1\r\nUpgrade: tcp\r\n\r\n")
            assert _read(client, b"\r\n\r\n") == _SECOND
            client.sendall(b"in")
            client.shutdown(socket.SHUT_WR)
            assert _read(client, b"never") == b"out of in"
        answering.join()
        process.terminate()
    first, second = map(json.loads, log.read_text().splitlines())
    assert (first["path"], first["request"], first["status"], first["answer"]) == ("/a", {"a": 1}, 200, {"b": 2})
    assert (second["path"], second["status"]) == ("/c", 101)


def _read(sock: socket.socket, end: bytes) -> bytes:
    """What comes, to its end or that of the connection."""
    data = b""
    while not data.endswith(end) and (piece := sock.recv(200)):
        data += piece
    return data


def _answer(server: socket.socket) -> None:
    with server.accept()[0] as connection:
        connection.recv(200)
        connection.sendall(_FIRST)
        _read(connection, b"tcp\r\n\r\n")
        connection.sendall(_SECOND)
        connection.sendall(b"out of " + _read(connection, b"never"))


def test_the_script_says_how_it_is_used() -> None:
    done = subprocess.run([REPO / "scripts/compatibility", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in SUITES)
    assert os.access(REPO / "scripts/compatibility", os.X_OK)
