"""The command line: streams, terminals, exit codes, and bad input."""

import json
import os
import subprocess
import termios
import time

import pytest

from minirun.cli.commands import ABSENT
from tests.harness import Host, Snapshot, Terminal, assert_same, eventually
from tests.harness.host import MINIRUN


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nosuchimage"], 125, "Unable to find image 'nosuchimage:latest' locally"),
        (["../../etc"], 125, "invalid reference format"),
        (["--net=nosuch", "busybox", "true"], 125, "network nosuch not found"),
        (["--net=container:nosuch", "busybox", "true"], 125, "No such container: nosuch"),
        (["--net=container:", "busybox", "true"], 125, "invalid container format"),
        (["--nosuchflag", "busybox"], 125, "unknown flag: --nosuchflag"),
        (["--name", "a/b", "busybox", "true"], 125, "Invalid container name (a/b)"),
        (["--name", "..", "busybox", "true"], 125, "Invalid container name (..)"),
        (["--name", "a b", "busybox", "true"], 125, "Invalid container name (a b)"),
        (["--name", "a\x1b[31m", "busybox", "true"], 125, r"Invalid container name (a\x1b[31m)"),
        (["--name=-a", "busybox", "true"], 125, "Invalid container name (-a)"),
        (["-p", "65536:80", "busybox", "true"], 125, "Invalid hostPort: 65536"),
        (["-p", "80:65536", "busybox", "true"], 125, "Invalid containerPort: 65536"),
        (["-p", "80:0", "busybox", "true"], 125, "Invalid containerPort: 0"),
        (["-p", "eighty:80", "busybox", "true"], 125, "Invalid hostPort: eighty"),
        (["-p", "80:80/xyz", "busybox", "true"], 125, "Invalid proto: xyz"),
        (["-p", "8000-8001:80-89", "busybox", "true"], 125, "Invalid ranges specified"),
        (["-p", "8009-8001:80-89", "busybox", "true"], 125, "Invalid"),
        (["-p", "300.1.1.1:80:80", "busybox", "true"], 125, "Invalid ip address: 300.1.1.1"),
        (["-p", "", "busybox", "true"], 125, "No port specified"),
        (["-p", "192.0.2.77:80:80", "busybox", "true"], 125, "this host has no such address"),
        (["--ip", "172.17.0.77", "busybox", "true"], 125, "supported on user defined networks only"),
        (["--ip", "nonsense", "busybox", "true"], 125, "invalid IPv4 address"),
        (["--net=host", "--ip", "172.17.0.9", "busybox", "true"], 125, "--ip needs a network"),
        (["--net=container:base", "-p", "80:80", "busybox", "true"], 125, "conflicting options"),
        (["--net=host", "--net=bridge", "busybox", "true"], 125, "conflicting options"),
        (["--net=bridge", "--net=bridge", "busybox", "true"], 125, "given twice"),
        (["--name", "base", "busybox", "true"], 125, 'The container name "/base" is already in use'),
        (["-v", "re/lative:/x", "busybox", "true"], 125, "includes invalid characters for a local volume name"),
        (["-v", "/tmp:relative", "busybox", "true"], 125, "mount path must be absolute"),
        (["-v", "/tmp:/", "busybox", "true"], 125, "destination can't be '/'"),
        (["-v", "/tmp:/x:rx", "busybox", "true"], 125, "invalid mode: rx"),
        (["-w", "relative", "busybox", "true"], 125, "absolute path"),
        (["--hostname", "a b", "busybox", "true"], 125, "invalid hostname"),
        (["-u", "nobodyhere", "busybox", "true"], 125, "unable to find user nobodyhere"),
        (["-u", "4294967296", "busybox", "true"], 125, "must be in range"),
        (["-u", "0:nogroup9", "busybox", "true"], 125, "unable to find group"),
        (["busybox", "nosuchcommand"], 127, 'exec: "nosuchcommand": executable file not found in $PATH'),
        (["busybox", "/bin/nosuch"], 127, "no such file or directory"),
        (["busybox", "/etc/passwd"], 126, "permission denied"),
        (["busybox", "/etc"], 126, "is a directory"),
        (["busybox", ""], 127, "executable file not found"),
        (["--entrypoint", "nosuch", "busybox"], 127, "executable file not found"),
        (["-it", "busybox", "true"], 1, "the input device is not a TTY"),
        (["-e", "=x", "busybox", "true"], 125, "invalid environment variable"),
        ([], 1, "requires at least 1 argument"),
    ],
)
def test_bad_input_gets_one_clear_line_and_leaves_nothing(
    crowded: Host, words: list[str], code: int, says: str
) -> None:
    before = Snapshot.of(crowded)
    containers = crowded.minirun("ps", "-aq").stdout
    done = crowded.minirun("run", *words, check=False)
    assert says in done.stderr
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert len(done.stderr.partition("\n\nUsage:")[0].strip().splitlines()) <= 3
    assert crowded.minirun("ps", "-aq").stdout == containers
    assert_same(crowded, before)


def test_a_tree_without_a_shell(primed: Host) -> None:
    primed.image("empty", "rm -rf ./*")
    done = primed.minirun("run", "--rm", "empty", "true", check=False)
    assert (done.returncode, "executable file not found" in done.stderr) == (127, True)


def test_not_root(host: Host) -> None:
    done = host.run(["setpriv", "--reuid=65534", "--clear-groups", MINIRUN, "run", "busybox", "true"], check=False)
    if "Permission denied" in done.stderr and "minirun:" not in done.stderr:
        pytest.skip("this checkout cannot be read by another user")
    assert (done.returncode, "must be run as root" in done.stderr) == (125, True)


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 0), ("exit 255", 255), ("sh -c 'kill -9 $$'; exit $?", 137)],
)
def test_exit_codes(primed: Host, script: str, code: int) -> None:
    assert primed.minirun("run", "--rm", "busybox", "sh", "-c", script, check=False).returncode == code


def test_streams_stay_apart_and_bytes_arrive(primed: Host) -> None:
    done = primed.minirun("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    data = os.urandom(3_000_000)
    assert primed.minirun("run", "--rm", "-i", "busybox", "cat", input=data, text=False).stdout == data


def test_a_slow_reader_and_a_full_stdin_do_not_lock_up(primed: Host) -> None:
    data = os.urandom(2_000_000)
    script = f"{MINIRUN} run --rm -i busybox cat | (sleep 1; cat)"
    assert primed.run(["sh", "-c", script], input=data, text=False, timeout=20).stdout == data


def test_detached_logs_and_follow(primed: Host) -> None:
    script = "echo one; printf '\\377\\000two'; echo three >&2; sleep 1; echo four"
    primed.minirun("run", "-d", "--name", "talk", "busybox", "sh", "-c", script)
    done = primed.minirun("logs", "-f", "talk", text=False)
    assert done.stdout == b"one\n\xff\x00twofour\n"
    assert done.stderr == b"three\n"
    assert primed.minirun("logs", "talk", text=False).stdout == done.stdout
    assert primed.minirun("logs", "-t", "talk", text=False).stdout.startswith(b"20")


def test_run_d_lets_go_of_the_callers_streams(primed: Host) -> None:
    started = time.monotonic()
    primed.sh(f"{MINIRUN} run -d busybox sleep 100 | cat")
    assert time.monotonic() - started < 5


def test_signals_are_passed_on(primed: Host) -> None:
    script = "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    process = primed.popen([MINIRUN, "run", "--rm", "busybox", "sh", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    primed.sh("pkill -TERM -o -f '[m]inirun run --rm'")
    assert process.stdout.readline() == b"got\n"
    assert process.wait(10) == 3


def test_the_command_is_killed_and_the_container_goes_on(primed: Host) -> None:
    process = primed.popen(
        [MINIRUN, "run", "--name", "alone", "busybox", "sh", "-c", "echo a; sleep 1; echo b; sleep 50"],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    primed.sh("kill -9 $(pgrep -o -f '[m]inirun run --name alone')")
    eventually(lambda: primed.minirun("logs", "alone").stdout == "a\nb\n")
    assert "Up" in primed.minirun("ps").stdout


def test_stop_kill_rm(primed: Host) -> None:
    primed.minirun(
        "run", "-d", "--name", "one", "busybox", "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.1; done"
    )
    assert primed.minirun("rm", "one", check=False).returncode == 1
    assert primed.minirun("stop", "one").stdout == "one\n"
    assert "Exited (5)" in primed.minirun("ps", "-a").stdout
    assert primed.minirun("kill", "one", check=False).returncode == 1
    assert primed.minirun("stop", "one").returncode == 0
    primed.minirun("rm", "one")
    assert primed.minirun("rm", "one", check=False).stderr.startswith("minirun: No such container: one")
    assert primed.minirun("rm", "-f", "one").returncode == 0
    primed.minirun("run", "-d", "--name", "two", "busybox", "sleep", "100")
    assert primed.minirun("stop", "-t", "0", "two").returncode == 0
    assert "Exited (137)" in primed.minirun("ps", "-a").stdout


def test_exec(primed: Host) -> None:
    primed.minirun(
        "run", "-d", "--name", "web", "-e", "A=1", "-w", "/tmp", "--hostname", "box", "busybox", "sleep", "100"
    )
    script = "echo $A $B; pwd; hostname; id -u"
    done = primed.minirun("exec", "-e", "B=2", "-u", "nobody", "web", "sh", "-c", script)
    assert done.stdout == "1 2\n/tmp\nbox\n65534\n"
    assert primed.minirun("exec", "-i", "web", "cat", input="x").stdout == "x"
    assert primed.minirun("exec", "web", "sh", "-c", "exit 9", check=False).returncode == 9
    assert primed.minirun("exec", "web", "nosuch", check=False).returncode == 127
    assert primed.minirun("exec", "web", "/etc/passwd", check=False).returncode == 126
    assert primed.minirun("exec", "nosuch", "true", check=False).returncode == 1
    primed.minirun("exec", "-d", "web", "sleep", "77")
    assert "sleep 77" in primed.minirun("exec", "web", "ps").stdout


def test_init_reaps_and_forwards(primed: Host) -> None:
    primed.minirun(
        "run",
        "-d",
        "--name",
        "reaper",
        "--init",
        "busybox",
        "sh",
        "-c",
        "trap 'exit 4' TERM; (sleep 0.1 &); while :; do sleep 0.2; done",
    )
    listing = eventually(lambda: primed.minirun("exec", "reaper", "ps").stdout)
    assert "minirun-init" in listing.splitlines()[1]
    time.sleep(0.5)
    # A zombie is shown in brackets. One of the shell's own children may be one for a moment.
    eventually(lambda: "[sleep]" not in primed.minirun("exec", "reaper", "ps").stdout)
    primed.minirun("stop", "reaper")
    assert "Exited (4)" in primed.minirun("ps", "-a").stdout


def test_a_terminal_has_the_callers_size_and_gives_it_back_raw_free(primed: Host) -> None:
    with Terminal(primed, "run", "--rm", "-it", "busybox", "sh", rows=33, columns=99) as terminal:
        terminal.until(b"# ")
        assert terminal.settings()[3] & termios.ECHO == 0  # raw
        terminal.type(b"stty size; tty; test -c /dev/console && echo con''sole\n")
        terminal.until(b"33 99")
        terminal.until(b"/dev/pts/0")
        terminal.until(b"console")
        terminal.resize(44, 111)
        time.sleep(0.2)
        terminal.type(b"stty size\n")
        terminal.until(b"44 111")
        terminal.type(b"sleep 100\n")
        time.sleep(0.2)
        terminal.type(b"\x03")  # to the container's foreground job, not to the command
        terminal.type(b"exit 6\n")
        assert terminal.wait() == 6
        assert terminal.settings() == terminal.before


def test_volumes(primed: Host) -> None:
    primed.sh("mkdir -p /run/data && echo hi > /run/data/file && echo one > /run/single")
    words = ["-v", "/run/data:/data", "-v", "/run/data:/ro:ro", "-v", "/run/single:/etc/single:ro"]
    script = "cat /data/file /etc/single; echo new > /data/new; echo no > /ro/file 2>/dev/null || echo readonly"
    done = primed.minirun("run", "--rm", *words, "busybox", "sh", "-c", script)
    assert done.stdout == "hi\none\nreadonly\n"
    assert primed.sh("cat /run/data/new") == "new\n"


def test_fifty_at_once(primed: Host) -> None:
    before = Snapshot.of(primed)
    words = [MINIRUN, "run", "--rm", "-p", "80", "busybox", "ip", "-o", "-4", "address", "show", "eth0"]
    running = [primed.popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(50)]
    results = [process.communicate(timeout=100) for process in running]
    assert [process.returncode for process in running] == [0] * 50, [error for _, error in results if error]
    addresses = [output.split()[3] for output, _ in results]
    assert len(set(addresses)) == 50
    assert_same(primed, before)
    assert primed.minirun("ps", "-aq").stdout == ""


def test_fifty_stay_up_with_different_names_and_addresses(primed: Host) -> None:
    running = [
        primed.popen([MINIRUN, "run", "-d", "--name", f"box{n}", "busybox", "sleep", "100"], stdout=subprocess.DEVNULL)
        for n in range(50)
    ]
    assert [process.wait(100) for process in running] == [0] * 50
    names = primed.minirun("ps", "-q").stdout.split()
    seen = json.loads(primed.minirun("inspect", *names).stdout)
    assert len({one["NetworkSettings"]["IPAddress"] for one in seen}) == 50
    primed.minirun("rm", "-f", *names, timeout=60)


def test_two_with_one_name_at_once(primed: Host) -> None:
    words = [MINIRUN, "run", "-d", "--name", "same", "-p", "8080:80", "busybox", "sleep", "100"]
    codes = sorted(process.wait(30) for process in [primed.popen(words, stderr=subprocess.DEVNULL) for _ in range(6)])
    assert codes == [0] + [125] * 5
    assert primed.minirun("ps", "-aq").stdout.count("\n") == 1


def test_an_address_is_not_reused_at_once(primed: Host) -> None:
    words = ["run", "--rm", "busybox", "hostname", "-i"]
    assert primed.minirun(*words).stdout != primed.minirun(*words).stdout


def test_help_names_every_verb(host: Host) -> None:
    text = host.minirun("--help").stdout
    for verb in ("run", "ps", "logs", "exec", "stop", "kill", "rm", "inspect", "port", "images", "network", "version"):
        assert f"  {verb} " in text
    assert host.minirun("run", "--help").stdout.count("--") > 15


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        (["help"], "Usage:  minirun [OPTIONS] COMMAND\n"),
        (["help", "stop"], "Usage:  minirun stop [OPTIONS] CONTAINER [CONTAINER...]\n"),
        (["help", "network", "ls"], "Usage:  minirun network ls [OPTIONS]\n"),
        (["network"], "Usage:  minirun network COMMAND\n"),
        (["run", "--help"], "Usage:  minirun run [OPTIONS] IMAGE [COMMAND] [ARG...]\n"),
        (["run", "--rm", "-it", "--help", "busybox"], "Usage:  minirun run [OPTIONS] IMAGE [COMMAND] [ARG...]\n"),
        (["container", "pause", "-h"], "Usage:  minirun container pause CONTAINER [CONTAINER...]\n"),
    ],
)
def test_help_says_how_a_command_is_used(host: Host, words: list[str], usage: str) -> None:
    done = host.minirun(*words)
    assert done.stdout.startswith(usage)
    assert (done.stderr, done.stdout.isascii()) == ("", True)  # in a pipe: no colours, no boxes


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--root"], "flag needs an argument: --root"),
        (["--root=", "ps"], "flag needs an argument: --root"),
        (["--explain=loud", "ps"], "invalid argument 'loud' for --explain: one of text, full, json, script"),
        (["--nosuch", "ps"], "unknown flag: --nosuch"),
        (["ps", "--explain"], "--explain goes before the command: minirun --explain ps"),
    ],
)
def test_a_global_flag_that_cannot_be_read(host: Host, words: list[str], says: str) -> None:
    done = host.minirun(*words, check=False)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith(f"minirun: {says}\n")


def test_help_of_a_command_that_is_none(host: Host) -> None:
    done = host.minirun("help", "frobnicate", check=False)
    assert (done.returncode, "unknown command: minirun frobnicate" in done.stderr) == (1, True)


@pytest.mark.parametrize("name", sorted(ABSENT))
def test_a_command_of_dockers_that_is_absent_says_so(crowded: Host, name: str) -> None:
    done = crowded.minirun(*name.split(), "-x", "word", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"minirun: {name.split()[-1]} is not supported: {ABSENT[name][0]}")
    assert len(done.stderr.splitlines()) <= 2


@pytest.mark.parametrize(
    "words",
    [
        *(["attach", "commit", "diff", "exec X true", "export", "inspect", "kill", "logs", "pause", "port", "restart"]),
        *(
            [
                "rename X other",
                "rm",
                "rmi",
                "start",
                "stats",
                "stop",
                "tag X y",
                "top",
                "unpause",
                "update -m 8m",
                "wait",
            ]
        ),
        *(["network rm", "network inspect", "network connect bridge", "volume rm", "volume inspect", "history"]),
        *(["start", "cp X:/a -", "trace X 80", "capture", "run", "create"]),
    ],
)
def test_what_does_not_exist_is_told_in_a_line_or_two(crowded: Host, words: str) -> None:
    command = words.replace("X", "nosuch") if "X" in words else f"{words} nosuch"
    done = crowded.minirun(*command.split(), check=False)
    assert done.returncode != 0
    assert "nosuch" in done.stderr
    is_pulled = words in ("run", "create")  # "Unable to find image 'nosuch:latest' locally" comes first
    assert len(done.stderr.splitlines()) <= 2 + is_pulled, done.stderr


def test_a_verb_that_is_none(host: Host) -> None:
    done = host.minirun("frobnicate", check=False)
    assert (done.returncode, "unknown command: minirun frobnicate" in done.stderr) == (1, True)
    assert "Commands:" in host.minirun().stdout


def test_closed_standard_streams(primed: Host) -> None:
    assert primed.sh(f"{MINIRUN} run --rm busybox echo hi <&-") == "hi\n"
    before = Snapshot.of(primed)
    primed.sh(f"{MINIRUN} run --rm busybox true <&- >&- 2>&-")
    script = f"{MINIRUN} run --rm busybox sh -c 'echo hi; echo ho >&2; sleep 99' <&- >&- 2>&-"
    assert primed.run(["sh", "-c", script], check=False).returncode == 1
    assert_same(primed, before)


def test_a_reader_that_leaves(primed: Host) -> None:
    before = Snapshot.of(primed)
    assert primed.sh(f"{MINIRUN} run --rm busybox yes | head -n 1", timeout=10) == "y\n"
    assert_same(primed, before)
    assert primed.sh(f"{MINIRUN} run --name on busybox sh -c 'yes | head -c 999999; sleep 9' | head -n 1") == "y\n"
    assert "Up" in primed.minirun("ps").stdout


def test_a_tree_deeper_than_python_recurses_is_removed(primed: Host) -> None:
    before = Snapshot.of(primed)
    primed.minirun("run", "--rm", "busybox", "sh", "-c", "for i in $(seq 1500); do mkdir d && cd d || exit 1; done")
    assert_same(primed, before)


def test_a_locked_or_foreign_database(primed: Host) -> None:
    primed.sh("cp -a /var/lib/minirun /run/kept; echo nonsense > /run/kept/state.db; rm -f /run/kept/state.db-*")
    done = primed.minirun("--root", "/run/kept", "ps", check=False)
    assert (done.returncode, "is damaged" in done.stderr) == (1, True)
    primed.sh(
        "python3 -c \"import sqlite3; sqlite3.connect('/var/lib/minirun/state.db').execute('pragma user_version=99')\""
    )
    done = primed.minirun("ps", check=False)
    assert "another version of minirun" in done.stderr
