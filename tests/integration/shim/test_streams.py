"""Streams byte for byte, terminals, signals, and exit codes: what stands between the caller and the program."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.harness import Host, eventually
from tests.harness.host import MINIRUN
from tests.integration.forkserver.served import SERVER, ServedHost

# One MiB of noise over and over, each time preceded by its number; says the hash of all of it on standard error.
_NOISE = """
import hashlib, os, sys
noise, hashed = os.urandom(1 << 20), hashlib.sha256()
for number in range(int(sys.argv[1])):
    for piece in (number.to_bytes(8, "big"), noise):
        hashed.update(piece)
        while piece:
            piece = piece[os.write(1, piece):]
print(hashed.hexdigest(), file=sys.stderr)
"""


_HASH = "import hashlib, sys; print(hashlib.file_digest(sys.stdin.buffer, 'sha256').hexdigest())"


def _pour(host: Host, mebibytes: int, command: str) -> None:
    """Through a command that passes on what it reads."""
    script = f"""
        {sys.executable} -c "$0" {mebibytes} 2> /run/wanted | {MINIRUN} {command} | {sys.executable} -c "$1"
    """
    got = host.run(["sh", "-c", script, _NOISE, _HASH], timeout=120).stdout
    assert got == host.sh("cat /run/wanted")
    assert len(got) == 65


def test_a_gibibyte_goes_through(crowded: Host) -> None:
    _pour(crowded, 1024, "run --rm -i --net=none --log-driver=none busybox cat")


def test_as_it_goes_through_it_is_logged(crowded: Host) -> None:
    _pour(crowded, 128, "run --name logged -i --net=none busybox cat")
    wanted = crowded.sh("cat /run/wanted")
    assert crowded.run(["sh", "-c", f'{MINIRUN} logs logged | {sys.executable} -c "$0"', _HASH]).stdout == wanted
    crowded.minirun("rm", "logged")


def test_a_quarter_of_it_through_exec(crowded: Host) -> None:
    _pour(crowded, 256, "exec -i base cat")


def test_through_an_attachment(crowded: Host) -> None:
    crowded.minirun(
        "run", "-di", "--name", "cat", "--log-driver=none", "--net=none", "busybox", "head", "-c", "67109376"
    )
    _pour(crowded, 64, "attach cat")
    crowded.minirun("rm", "cat")


def test_stdout_and_stderr_stay_apart(crowded: Host) -> None:
    script = "i=0; while [ $i -lt 3000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done"
    out, err = ("".join(f"{word} {i}\n" for i in range(3000)) for word in ("out", "err"))
    for words in (["run", "--name", "two", "--net=none", "busybox"], ["exec", "base"]):
        done = crowded.minirun(*words, "sh", "-c", script)
        assert (done.stdout, done.stderr) == (out, err)
    done = crowded.minirun("logs", "two")
    assert (done.stdout, done.stderr) == (out, err)
    crowded.minirun("rm", "two")


def test_logs_give_arbitrary_bytes_back(crowded: Host) -> None:
    """Lines of 200 kB, NUL, carriage returns, empty lines, no newline at the end."""
    data = b"\0\r\n\n" + os.urandom(300_000).replace(b"\n", b"\r") + b"\n\xff\0" + os.urandom(100_000) + b"no end"
    crowded.minirun("run", "-i", "--name", "noise", "--net=none", "busybox", "cat", input=data, text=False)
    assert crowded.minirun("logs", "noise", text=False).stdout == data
    assert crowded.minirun("logs", "-f", "noise", text=False).stdout == data
    crowded.minirun("rm", "noise")


def test_a_container_without_a_log_still_has_streams(crowded: Host) -> None:
    words = ["--log-driver", "none", "--net=none"]
    assert crowded.minirun("run", "--rm", "-i", *words, "busybox", "cat", input="x\0y").stdout == "x\0y"
    crowded.minirun("run", "-di", "--name", "mute", *words, "busybox", "sh", "-c", "while read a; do echo got $a; done")
    talker = crowded.popen([MINIRUN, "attach", "mute"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert talker.stdin
    assert talker.stdout
    talker.stdin.write(b"one\n")
    talker.stdin.flush()
    assert talker.stdout.readline() == b"got one\n"
    assert "log" not in _files(crowded, "mute")
    crowded.minirun("rm", "-f", "mute")


def _files(host: Host, name: str) -> list[str]:
    full = host.minirun("inspect", "--format", "{{.Id}}", name).stdout.strip()
    return host.sh(f"ls /var/lib/minirun/containers/{full}").split()


def test_the_end_of_input(crowded: Host) -> None:
    """`-i`: it ends with that of who started it. `-di`: it stays open for the next who attaches."""
    assert crowded.minirun("run", "--rm", "-i", "--net=none", "busybox", "wc", "-c", input="12345").stdout == "5\n"
    crowded.minirun("run", "-di", "--name", "open", "--net=none", "busybox", "cat")
    for word in ("one", "two"):
        script = f"(echo {word}; sleep 0.3) | timeout -s KILL 1 {MINIRUN} attach open"
        assert crowded.sh(script, check=False) == f"{word}\n"
    assert crowded.minirun("inspect", "--format", "{{.State.Status}}", "open").stdout == "running\n"
    crowded.minirun("rm", "-f", "open")


def test_a_reader_that_does_not_read_holds_up_nothing(crowded: Host) -> None:
    """Not the program, not its log, not who else attached, not the signals that the command passes on."""
    script = "trap 'echo stopped; exit 7' TERM; head -c 3000000 /dev/zero | tr '\\0' x; touch /done; sleep 1000 & wait"
    words = [MINIRUN, "run", "--name", "gush", "--net=none", "busybox", "sh", "-c", script]
    lazy = crowded.popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    eventually(lambda: crowded.minirun("exec", "gush", "test", "-e", "/done", check=False).returncode == 0, 20)
    assert len(crowded.minirun("logs", "gush").stdout) == 3_000_000
    child = int(Path(f"/proc/{lazy.pid}/task/{lazy.pid}/children").read_text().split()[0])
    os.kill(child, signal.SIGTERM)
    eventually(lambda: "Exited (7)" in crowded.minirun("ps", "-a", "--filter", "name=gush").stdout)
    assert lazy.stdout
    assert lazy.stdout.read() == b"x" * 3_000_000 + b"stopped\n"
    assert lazy.wait(10) == 7
    crowded.minirun("rm", "gush")


def test_logs_f_across_rotation(crowded: Host) -> None:
    """The program waits for the follower now and then, or its lines would rightly be gone."""
    script = "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); [ $((i % 50)) != 0 ] || read a; done"
    flags = ["--log-opt", "max-size=4k", "--log-opt", "max-file=2"]
    crowded.minirun("run", "-di", "--name", "spin", "--net=none", *flags, "busybox", "sh", "-c", script)
    follower = crowded.popen([MINIRUN, "logs", "-f", "spin"], stdout=subprocess.PIPE)
    feeder = crowded.popen([MINIRUN, "attach", "spin"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert follower.stdout
    assert feeder.stdin
    for number in range(2000):
        assert follower.stdout.readline() == b"%d\n" % number
        if number % 50 == 49:
            feeder.stdin.write(b"\n")
            feeder.stdin.flush()
    assert follower.stdout.read() == b""
    assert follower.wait(5) == 0
    crowded.minirun("rm", "spin")


def test_who_sees_its_output_finds_it_running() -> None:
    """With a shim that is slow to read and slow to write to the database (strace delays it)."""
    slow = ("inject=poll:delay_exit=50000", "inject=pwrite64:delay_enter=100000")  # us
    with Host(own_server=True) as host:
        served = ServedHost(host)
        assert served.run("run", "--rm", "--net=none", "busybox", "true").way == SERVER  # what is made once is there
        eventually(lambda: len(served.waiting()) == 2)
        shim = max(served.waiting())  # the worker has forked it
        options = [word for one in slow for word in ("-e", one)]
        tracer = host.popen(
            ["strace", "-qq", "-o", "/run/trace", "-e", "trace=poll,pwrite64", *options, "-p", str(shim)]
        )
        eventually(lambda: "TracerPid:\t0\n" not in (served.proc / str(shim) / "status").read_text())
        words = ["--name", "told", "--net=none", "busybox", "sh", "-c", "echo told; exec sleep 1000"]
        run = served.start("run", *words)
        assert run.stdout is not None
        assert run.stdout.readline() == b"told\n"
        state = host.minirun("inspect", "-f", "{{.State.Status}} {{.State.MonitorPid}}", "told").stdout.split()
        assert state == ["running", str(shim)]
        tracer.terminate()
        tracer.wait(10)
        host.minirun("rm", "-f", "told")
        run.wait(10)
