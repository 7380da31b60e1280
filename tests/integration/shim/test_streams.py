"""Streams byte for byte, terminals, signals, and exit codes: what stands between the caller and the program."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import Pipe, Process
from pathlib import Path
from typing import Any

import pytest

from minirun.engine.log import LogReader, LogWriter
from tests.harness import Host, Terminal, assert_same, eventually
from tests.harness.host import MINIRUN
from tests.harness.snapshot import Snapshot

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


# --- terminals


@pytest.fixture
def shell(crowded: Host) -> Iterator[Terminal]:
    with Terminal(crowded, "run", "-it", "--rm", "--name", "shell", "--net=none", "busybox", "sh", rows=33) as terminal:
        terminal.until(b"# ")
        yield terminal
    crowded.minirun("rm", "-f", "shell")


def test_a_new_size_arrives(crowded: Host, shell: Terminal) -> None:
    shell.type(b"stty size\n")
    shell.until(b"33 80")
    shell.until(b"# ")  # what is typed before busybox's shell asks for it is lost
    shell.resize(50, 132)
    shell.type(b"stty size\n")
    shell.until(b"50 132")
    with Terminal(crowded, "exec", "-it", "shell", "sh", rows=20, columns=70) as second:
        second.until(b"# ")
        second.type(b"stty size\n")
        second.until(b"20 70")
        second.until(b"# ")
        second.resize(21, 71)
        second.type(b"stty size\n")
        second.until(b"21 71")
        second.type(b"exit 5\n")
        assert second.wait() == 5
        assert second.settings() == second.before


def test_ctrl_c_is_the_programs(crowded: Host, shell: Terminal) -> None:
    shell.type(b"trap 'echo caught-it' INT; sleep 1000\n")
    time.sleep(0.3)
    shell.type(b"\x03")
    shell.until(b"caught-it\r\n")
    with Terminal(crowded, "run", "--rm", "-it", "--init", "--net=none", "busybox", "sleep", "1000") as sleeper:
        eventually(lambda: sleeper.settings() != sleeper.before)
        eventually(lambda: "sleep 1000" in crowded.sh("ps -eo args --no-headers | grep '^sleep 1000'", check=False))
        time.sleep(0.2)
        sleeper.type(b"\x03")
        assert sleeper.wait() == 130
        assert sleeper.settings() == sleeper.before


@pytest.mark.parametrize(
    ("flags", "near_misses", "keys"),
    [([], b"\x10x", b"\x10\x11"), (["--detach-keys=ctrl-a,q"], b"\x01w\x01\x01w", b"\x01q")],
    ids=["default", "custom"],
)
def test_detach_and_attach_again(crowded: Host, flags: list[str], near_misses: bytes, keys: bytes) -> None:
    """What only began like the keys reaches the program, which sends it back."""
    words = ["run", "-it", *flags, "--name", "eye", "--net=none", "busybox", "sh", "-c", "stty raw -echo; exec cat"]
    with Terminal(crowded, *words) as first:
        eventually(lambda: first.settings() != first.before)
        eventually(lambda: " cat\n" in crowded.minirun("exec", "eye", "ps").stdout)
        first.type(near_misses + b"!")
        assert first.until(b"!") == near_misses + b"!"
        first.type(keys[:1])
        time.sleep(0.1)
        first.type(keys[1:])
        first.until(b"read escape sequence")
        assert first.wait() == 0
        assert first.settings() == first.before
    with Terminal(crowded, "attach", *flags, "eye") as second:
        eventually(lambda: second.settings() != second.before)
        second.type(b"again")
        second.until(b"again")
        second.type(keys)
        second.until(b"read escape sequence")
        assert second.wait() == 1
        assert second.settings() == second.before
    assert crowded.minirun("inspect", "--format", "{{.State.Status}}", "eye").stdout == "running\n"
    crowded.minirun("rm", "-f", "eye")


def test_the_terminal_is_given_back_by_exec_and_attach_that_are_killed(crowded: Host, shell: Terminal) -> None:
    for words in (["exec", "-it", "shell", "sleep", "1000"], ["attach", "shell"]):
        with Terminal(crowded, *words) as terminal:
            eventually(lambda: terminal.settings() != terminal.before)
            os.kill(terminal.command(), signal.SIGKILL)
            eventually(lambda: terminal.settings() == terminal.before)


# --- signals and exit codes


_PATIENT = "trap 'echo int; exit 3' INT; trap 'echo term; exit 4' TERM; echo ready; while :; do sleep 0.1; done"


def _signalled(host: Host, words: list[str], number: int) -> "subprocess.Popen[bytes]":
    # A suite that was started in the background ignores SIGINT, and so would all that it starts.
    heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = host.popen([MINIRUN, *words], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, **heed)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    os.kill(int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]), number)
    return process


@pytest.mark.parametrize(
    ("number", "said", "code"), [(signal.SIGINT, b"int\n", 3), (signal.SIGTERM, b"term\n", 4)], ids=["INT", "TERM"]
)
def test_signals_to_the_command_are_the_programs(crowded: Host, number: int, said: bytes, code: int) -> None:
    for words in (["run", "--rm", "--net=none", "busybox"], ["exec", "base"]):
        process = _signalled(crowded, [*words, "sh", "-c", _PATIENT], number)
        assert process.stdout
        assert process.stdout.read() == said
        assert process.wait(10) == code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)], ids=["INT", "TERM"])
def test_without_sig_proxy_the_signal_is_the_commands_own(crowded: Host, number: int, code: int) -> None:
    words = ["run", "--sig-proxy=false", "--name", "deaf", "--net=none", "busybox", "sh", "-c", _PATIENT]
    assert _signalled(crowded, words, number).wait(10) == code
    assert crowded.minirun("inspect", "--format", "{{.State.Status}}", "deaf").stdout == "running\n"
    crowded.minirun("rm", "-f", "deaf")


def test_init_reaps_what_others_leave(crowded: Host) -> None:
    leave = "for i in 1 2 3; do (sleep 0.2 & exit) & done; sleep 0.6; ps -o stat,args | grep -c '^Z'; true"
    without = crowded.minirun("run", "--rm", "--net=none", "busybox", "sh", "-c", f'exec sh -c "{leave}"').stdout
    assert crowded.minirun("run", "--rm", "--init", "--net=none", "busybox", "sh", "-c", leave).stdout == "0\n", without


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nosuch"], 127),
        (["/etc/passwd"], 126),
        (["sh", "-c", "exit 9"], 9),
        (["sh", "-c", "kill -11 $$"], 139),
        (["sh", "-c", "kill -15 $$"], 143),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_exit_codes_of_exec_run_start_and_wait(crowded: Host, words: list[str], code: int) -> None:
    assert crowded.minirun("exec", "base", *words, check=False).returncode == code
    # With an init the program is not pid 1, which ignores its own signals.
    run = ["--init", "--name", "code", "--net=none", "busybox", *words]
    if words[0] in ("nosuch", "/etc/passwd"):
        assert crowded.minirun("run", *run, check=False).returncode == code
        assert "code" not in crowded.minirun("ps", "-a").stdout
        crowded.minirun("create", *run)
        assert crowded.minirun("start", "-a", "code", check=False).returncode == code
    else:
        assert crowded.minirun("run", *run, check=False).returncode == code
        assert crowded.minirun("start", "-a", "code", check=False).returncode == code
    assert crowded.minirun("wait", "code").stdout == f"{code}\n"
    crowded.minirun("rm", "code")


def test_wait_before_and_after_the_end_by_several_and_of_one_that_removes_itself(crowded: Host) -> None:
    for flags in ([], ["--rm"]):
        crowded.minirun("run", "-di", *flags, "--name", "long", "--net=none", "busybox", "sh", "-c", "read a; exit 12")
        waiters = [crowded.popen([MINIRUN, "wait", "long"], stdout=subprocess.PIPE) for _ in range(5)]
        time.sleep(0.5)
        assert all(waiter.poll() is None for waiter in waiters)
        crowded.sh(f"echo | timeout 10 {MINIRUN} attach long", check=False)
        assert [waiter.communicate(timeout=10)[0] for waiter in waiters] == [b"12\n"] * 5
        if not flags:
            assert crowded.minirun("wait", "long", "long").stdout == "12\n12\n"
            crowded.minirun("rm", "long")
    done = crowded.minirun("wait", "long", check=False)
    assert (done.returncode, "No such container: long" in done.stderr) == (1, True)


_ENDS = {
    "exit": ["busybox", "sh", "-c", "sleep 0.3; exit 3"],
    "init killed": "kill -9 {Pid}",
    "shim killed": "kill -9 {MonitorPid}",
    "both killed": "kill -9 {MonitorPid} {Pid}",
    "stop": "minirun stop -t 0 brief",
    "kill": "minirun kill brief",
    "rm -f": "minirun rm -f brief",
    "restart, stop": "minirun restart -t 0 brief; minirun stop -t 0 brief",
}


@pytest.mark.parametrize("how", list(_ENDS))
def test_rm_leaves_nothing_however_it_ends(crowded: Host, how: str) -> None:
    before = Snapshot.of(crowded)
    end = _ENDS[how]
    program = end if isinstance(end, list) else ["busybox", "sleep", "1000"]
    crowded.minirun("run", "-d", "--rm", "--name", "brief", "-p", "8080:80", *program)
    if isinstance(end, str):
        pids = crowded.minirun("inspect", "--format", "{{.State.Pid}} {{.State.MonitorPid}}", "brief").stdout.split()
        crowded.sh(f"PATH={Path(MINIRUN).parent}:$PATH; " + end.format(Pid=pids[0], MonitorPid=pids[1]))
    eventually(lambda: "brief" not in crowded.minirun("ps", "-a").stdout)
    assert_same(crowded, before)


# --- the log's files


def _read_all(path: Path) -> list[bytes]:
    reader = LogReader(path)
    try:
        return [entry.data for entry in reader.entries()]
    finally:
        reader.close()


def _write(connection: Any, path: str, count: int) -> None:
    """Never more than one file ahead of the reader, so that nothing it has not seen is deleted."""
    writer = LogWriter(path, most=2000, files=3)
    seen = 0
    for number in range(count):
        writer.write("stdout", b"%d\n" % number)
        while number - seen > 60:
            seen = connection.recv()
    writer.close()


def test_a_follower_sees_every_line_once_in_order_across_fast_rotation(tmp_path: Path) -> None:
    ours, theirs = Pipe()
    count = 20_000
    process = Process(target=_write, args=(theirs, str(tmp_path / "log"), count))
    process.start()
    reader, seen = LogReader(tmp_path / "log"), 0
    while seen < count:
        for entry in reader.entries():
            assert entry.data == b"%d\n" % seen
            seen += 1
        ours.send(seen)
    process.join(10)
    assert process.exitcode == 0
    reader.close()


@pytest.mark.parametrize("files", [1, 2, 4])
def test_a_look_in_the_middle_of_a_rotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int) -> None:
    """Readers, new ones and old ones, look before and after each rename."""
    readers = [LogReader(tmp_path / "log") for _ in range(8)]
    seen: list[list[bytes]] = [[] for _ in readers]
    turns = 0

    def look() -> None:
        nonlocal turns
        turns += 1
        kept = _read_all(tmp_path / "log")
        assert kept == lines[len(lines) - len(kept) :]
        at = turns % len(readers)
        seen[at] += [entry.data for entry in readers[at].entries()]

    def rename(source: str, target: str) -> None:
        look()
        real(source, target)
        look()

    real = os.rename
    monkeypatch.setattr(os, "rename", rename)
    writer = LogWriter(str(tmp_path / "log"), most=500, files=files)
    lines: list[bytes] = []
    for number in range(400):
        writer.write("stdout", b"%d\n" % number)
        lines.append(b"%d\n" % number)
        look()
    writer.close()
    for at, reader in enumerate(readers):
        seen[at] += [entry.data for entry in reader.entries()]
        reader.close()
        numbers = [int(line) for line in seen[at]]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == 399
        if files == 4:
            assert numbers == list(range(400))


def test_one_read_is_split_where_the_file_is_full(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path / "log"), most=2000, files=3)
    data = b"".join(b"line %d\n" % number for number in range(3000))
    writer.write("stdout", data[:20_000])
    writer.write("stdout", data[20_000:])
    writer.close()
    sizes = sorted(path.stat().st_size for path in tmp_path.iterdir())
    assert len(sizes) == 3
    assert all(2000 <= size < 2000 + 60 for size in sizes[1:])
    kept = b"".join(_read_all(tmp_path / "log"))
    assert data.endswith(kept)
    assert len(kept) > 600


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
