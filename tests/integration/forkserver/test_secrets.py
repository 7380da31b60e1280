"""Nothing of one command is seen by the next, by the server, or by a container that a command joins."""

import os
import sys
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness import eventually
from tests.harness.host import REPO
from tests.integration.forkserver.served import SERVER, ServedHost, outcome_of


def holds(served: ServedHost, pid: int, secret: bytes) -> list[str]:
    """Where a process has these bytes: its environment, words, files by name, or memory. Nowhere, when it is gone."""
    try:
        return _holds(served, pid, secret)
    except (FileNotFoundError, ProcessLookupError):
        eventually(lambda: served.state(pid) in ("", "Z"))  # its memory goes a moment before that
        return []


def _holds(served: ServedHost, pid: int, secret: bytes) -> list[str]:
    directory = served.proc / str(pid)
    found = [name for name in ("environ", "cmdline", "maps") if secret in (directory / name).read_bytes()]
    for link in (directory / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            if secret in os.fsencode(os.readlink(link)):
                found.append(f"fd/{link.name}")
    with (directory / "mem").open("rb", buffering=0) as memory:
        for line in (directory / "maps").read_text().splitlines():
            span, rights = line.split()[:2]
            start, end = (int(part, 16) for part in span.split("-"))
            if rights.startswith("r") and "[v" not in line:
                memory.seek(start)
                if secret in (memory.read(end - start) or b""):
                    found.append(f"mem {line.split()[-1]}")
    return found


def test_nothing_is_left_of_a_command(served: ServedHost) -> None:
    """Its variables, words, and the content and name of a file: they are found in its own worker, and nowhere after."""
    secret = f"secret-{uuid.uuid4().hex}"
    (served.run_directory / secret).write_text(f"FILE={secret}\n")
    before = f"exec 5</run/{secret}; exec"
    words = ["--rm", "--net=none", "--env-file", "/dev/fd/5", "-e", "SECRET", "--label", f"a={secret}"]
    script = f"touch /gate/ready; while [ ! -e /gate/go ]; do sleep 0.02; done; echo {secret}"
    gate = served.run_directory / "gate"
    gate.mkdir()
    process = served.start(
        "run", *words, "-v", "/run/gate:/gate", "busybox", "sh", "-c", script, before=before, env={"SECRET": secret}
    )
    eventually(lambda: (gate / "ready").exists(), 15)
    own = holds(served, served.worker_with(secret), secret.encode())
    assert {"cmdline", "fd/5"} <= set(own)
    assert [one for one in own if one.startswith("mem")]
    eventually(lambda: len(served.waiting()) == 2)
    bystanders = [served.server(), *served.waiting()]
    assert {pid: found for pid in bystanders if (found := holds(served, pid, secret.encode()))} == {}
    (gate / "go").touch()
    done = outcome_of(process)
    assert (done.way, done.code) == (SERVER, 0)
    assert served.way() == SERVER
    after = served.processes_with("minirun-forkserver")
    assert {pid: found for pid in after if (found := holds(served, pid, secret.encode()))} == {}
    assert secret not in served.log()


def test_nothing_is_left_of_who_started_the_server(served: ServedHost) -> None:
    served.kill_server()
    secret = f"secret-{uuid.uuid4().hex}"
    (served.run_directory / secret).mkdir()
    before = f"cd /run/{secret}; exec 5</run/{secret}; exec"
    done = served.run(
        "run", "--rm", "--net=none", "-e", f"A={secret}", "busybox", "true", before=before, env={"S": secret}
    )
    assert (done.way, done.code) == ("none is running", 0)
    eventually(lambda: served.way() == SERVER, 30)
    pids = [served.server(), *eventually(served.waiting)]
    assert {pid: found for pid in pids if (found := holds(served, pid, secret.encode()))} == {}
    assert {os.readlink(served.proc / str(pid) / "cwd") for pid in pids} == {"/"}


def test_the_worker_that_waits_has_no_file_of_other_commands(served: ServedHost) -> None:
    """Not even their connections: each could answer for another, and would keep it open."""
    alone = waiting_files(served)
    names = ("first", "second")
    processes = [
        served.start("run", "--rm", "--name", name, "--net=none", "-i", "busybox", "cat", stdin=-1) for name in names
    ]
    for name in names:
        eventually(lambda name=name: f"{name}\n" in served.run("ps", "--format", "{{.Names}}").output.decode(), 10)
    # While it gets ready, it has more for a moment; and an unused process that `ps` had may still end.
    eventually(lambda: waiting_files(served) == alone)
    for process in processes:
        assert outcome_of(process).code == 0  # its standard input ends


def waiting_files(served: ServedHost) -> int:
    eventually(lambda: len(served.waiting()) == 2)
    return len(list((served.proc / str(served.waiting()[0]) / "fd").iterdir()))


def test_it_is_shown_as_the_command_that_it_runs(served: ServedHost) -> None:
    """To ps(1), top(1) and pkill(1): the words, and the name."""
    process = served.start("run", "--rm", "--net=none", "--name", "shown", "-i", "busybox", "cat", stdin=-1)
    eventually(lambda: "shown\n" in served.run("ps", "--format", "{{.Names}}").output.decode(), 10)
    worker = served.worker_with("shown")
    shown = served.host.sh(f"ps -ww -o comm=,args= -p {worker}").split()
    program = str(Path(served.launcher).parent.parent / "libexec" / "minirun")
    expected = [sys.executable, "-IS", program, "run", "--rm", "--net=none", "--name", "shown", "-i", "busybox", "cat"]
    assert shown == ["minirun", *expected]
    assert outcome_of(process).code == 0  # its standard input ends


@pytest.mark.parametrize("capability", ["", "SYS_PTRACE"])
def test_a_container_cannot_look_into_an_exec_that_joins_it(served: ServedHost, capability: str) -> None:
    """As tests/integration/security has it for plain Python (CVE-2016-9962), and the environment, too."""
    secret = f"secret-{uuid.uuid4().hex}"
    look = (
        "while [ ! -e /tmp/stop ]; do for p in /proc/[0-9]*; do ls -l $p/exe $p/cwd $p/root $p/fd/;"
        " tr '\\0' '\\n' <$p/environ | sed 's/^/ -> /'; done; done 2>/dev/null"
        " | sed -n 's/.* -> //p' | sort -u >/tmp/seen;"
        " echo over >/tmp/over; sleep 99"
    )
    flags = ("--cap-add", capability) if capability else ()
    assert served.run("run", "-d", "--name", "spy", "--net=none", *flags, "busybox", "sh", "-c", look).code == 0
    for _ in range(25):
        assert served.run("exec", "spy", "sleep", "0.05", env={"SECRET": secret}).way == SERVER
    served.run("exec", "spy", "touch", "/tmp/stop")
    eventually(lambda: served.run("exec", "spy", "cat", "/tmp/over").output)
    seen = set(served.run("exec", "spy", "cat", "/tmp/seen").output.decode().splitlines())
    served.run("rm", "-f", "spy")
    assert {"/bin/sh", "/bin/sleep"} <= seen
    interpreter = {os.path.realpath(sys.executable)} if capability else set()
    assert not [one for one in seen - interpreter if "python" in one or "state.db" in one or str(REPO) in one], seen
    assert not [one for one in seen if "minirun" in one and not one.startswith("/memfd:minirun-stub")], seen
    assert not [one for one in seen if secret in one]
