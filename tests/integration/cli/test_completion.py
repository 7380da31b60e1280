"""Completion: what a shell is offered, in a real bash, and that asking changes nothing."""

import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from typer.main import get_command

from minirun.cli.app import app, load_command
from minirun.cli.commands import COMMANDS
from minirun.cli.completion.shells import MinirunComplete
from minirun.cli.pflag import long_name
from minirun.options.supervision import LOG_DETAILS
from tests.harness import Host, Snapshot
from tests.harness.host import MINIRUN, REPO

BIN = str(Path(MINIRUN).parent)


@pytest.fixture(scope="module")
def peopled() -> Iterator[Host]:
    with Host() as host:
        host.minirun("run", "-d", "--name", "web", "--net=none", "busybox", "sleep", "1000")
        host.minirun("run", "-d", "--name", "frozen", "--net=none", "busybox", "sleep", "1000")
        host.minirun("pause", "frozen")
        host.minirun("create", "--name", "made", "busybox", "true")
        host.minirun("network", "create", "database")
        yield host


def offered(host: Host, line: str) -> list[str]:
    """Of a whole line, with | where the words part; the directive comes last."""
    return [one.split("\t")[0] for one in asked(host, *line.split("|")).stdout.splitlines()]


def asked(host: Host, *words: str) -> Any:
    """As the shells' scripts ask."""
    return host.run(["env", "_MINIRUN_COMPLETE=complete_bash", MINIRUN, *words])


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("st", ["start", "stats", "stop", ":"]),
        ("container|st", ["start", "stats", "stop", ":"]),
        ("stop|", ["frozen", "web", ":"]),
        ("stop|web|", ["frozen", ":"]),
        ("start|", ["made", ":"]),
        ("rm|", ["made", ":"]),
        ("rm|-f|", ["made", "frozen", "web", ":"]),
        ("unpause|", ["frozen", ":"]),
        ("logs|", ["made", "frozen", "web", ":"]),
        ("logs|web|", [":"]),
        ("rename|made|", [":"]),
        ("exec|-u|", [":"]),
        ("exec|-u|0|w", ["web", ":"]),
        ("exec|web|", [":"]),
        ("top|w", ["web", ":"]),
        ("inspect|d", ["database", ":"]),
        ("container|inspect|m", ["made", ":"]),
        ("network|rm|da", ["database", ":"]),
        ("run|-it|", ["busybox", ":"]),
        ("run|busybox|", [":"]),
        ("run|--name|x|--net|", ["bridge", "database", "host", "none", "container:", ":"]),
        ("run|--network=da", ["--network=database", ":"]),
        ("run|--net=container:", ["--net=container:frozen", "--net=container:web", ":"]),
        ("run|--pid|container:w", ["container:web", ":"]),
        ("run|--restart|un", ["unless-stopped", ":"]),
        ("run|--log-driver|", ["json-file", "local", "none", ":"]),
        ("run|--log-opt|", ["max-size=", "max-file=", *(f"{name}=" for name in LOG_DETAILS), ":nospace"]),
        ("run|--env-file|", [":files"]),
        ("run|--memory-s", ["--memory-swap", ":"]),
        ("run|--rm|--rm", [":"]),
        ("run|--nosuch|x|", [":"]),
        ("run|--publish|", [":"]),
        ("kill|--signal|SIGK", ["SIGKILL", ":"]),
        ("ps|--filter|st", ["status=", ":nospace"]),
        ("ps|--filter|status=p", ["status=paused", ":"]),
        ("ps|--filter=health=h", ["--filter=health=healthy", ":"]),
        ("volume|prune|--filter|", ["all=", "label=", "label!=", ":nospace"]),
        ("import|", [":files"]),
        ("ps|--format|", ["json", "table", ":"]),
        ("cp|w", ["web:", ":files nospace"]),
        ("completion|", ["bash", "zsh", "fish", ":"]),
        ("--ro", ["--root", ":"]),
        ("--root|", [":directories"]),
        ("--root|/nowhere|stop|", [":"]),
        ("nosuch|", [":"]),
        ("container|nosuch|", [":"]),
        ("stop|--nosuch=", [":"]),
        ("rm|--force=", [":"]),
        ("run|busybox|--", [":"]),
        ("help|", [":"]),
        ("ps|--|--", [":"]),
    ],
)
def test_what_is_offered(peopled: Host, line: str, found: list[str]) -> None:
    assert offered(peopled, line) == found


def test_flags_and_commands_come_with_their_lines(peopled: Host) -> None:
    assert "--name\tAssign a name to the container\n" in asked(peopled, "run", "--na").stdout
    assert "run\tCreate and run a new container from an image\n" in asked(peopled, "r").stdout


def test_every_command_and_flag_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a state root, and without making one."""
    monkeypatch.setenv("MINIRUN_ROOT", str(tmp_path / "none"))
    shell = MinirunComplete(get_command(app), {}, "minirun", "_MINIRUN_COMPLETE")
    for name in COMMANDS:
        command = load_command(name)
        shell.get_completions(name.split(), "")
        offers = {item.value for item in shell.get_completions(name.split(), "--")}
        for option in command.params:
            if isinstance(option, click.Option):
                assert (long_name(option) in offers) != option.hidden, (name, option.name)
                if not option.is_flag:
                    values = shell.get_completions([*name.split(), long_name(option)], "")
                    assert long_name(option) not in {item.value for item in values}
    assert list(tmp_path.iterdir()) == []


def test_asking_changes_nothing(primed: Host) -> None:
    """A container whose monitor was killed is not mended, nor an image built, nor anything written."""
    primed.minirun("run", "-d", "--name", "lost", "--net=none", "busybox", "sleep", "1000")
    monitor = primed.minirun("inspect", "-f", "{{.State.MonitorPid}}", "lost").stdout.strip()
    primed.sh(f"kill -9 {monitor}; rm -rf /var/lib/minirun/images")
    listing = "find /var/lib/minirun -printf '%p %s %T@\\n' | grep -v -- '-shm' | sort"
    before, snapshot = primed.sh(listing), Snapshot.of(primed)
    for line in ("stop|", "run|", "run|--network|", "network|rm|", "inspect|"):
        assert len(offered(primed, line)) > 1
    assert primed.sh(listing) == before
    assert snapshot.diff(Snapshot.of(primed)) == ""
    asked(primed, "--root", "/run/new", "stop", "")
    assert primed.sh("ls /run").split().count("new") == 0


def test_what_fails_is_silent(primed: Host) -> None:
    primed.sh("echo nonsense > /var/lib/minirun/state.db; rm -f /var/lib/minirun/state.db-*")
    for words in (["stop", ""], ["run", "--network", ""], ["--root"], [], ["\udcff"], ["run", "-", ""]):
        done = asked(primed, *words)
        assert done.stderr == ""
        assert done.stdout.splitlines()[-1].startswith(":")


def test_it_waits_for_nobody(primed: Host) -> None:
    """Somebody is writing: what was on record before is offered, at once."""
    primed.minirun("create", "--name", "made", "busybox", "true")
    hold = "import sqlite3, time; db = sqlite3.connect('/var/lib/minirun/state.db', isolation_level=None);"
    hold += " db.execute('begin exclusive'); print(flush=True); time.sleep(100)"
    holder = primed.popen(["python3", "-c", hold], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    started = time.monotonic()
    assert offered(primed, "rm|") == ["made", ":"]
    assert time.monotonic() - started < 30  # the writer holds it for 100 seconds


def test_it_is_quick_and_loads_only_the_command() -> None:
    words, env = ["--root", "/nowhere", "run", "--net", ""], {**os.environ, "_MINIRUN_COMPLETE": "complete_bash"}
    script = (
        "import atexit, sys; from minirun.cli.main import run;"
        " atexit.register(lambda: print(*sys.modules, file=sys.stderr)); run([])"
    )
    argv = [f"{BIN}/python", "-I", "-c", script, *words]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "minirun.cli.container.run" in loaded
    assert loaded.isdisjoint({"minirun.cli.network.networks", "minirun.cli.image.tags", "minirun.diagnostics.tour"})
    times = []
    for _ in range(5):
        before = os.times()
        subprocess.run([MINIRUN, *words], env=env, capture_output=True, check=True)
        times.append(sum(os.times()[2:4]) - sum(before[2:4]))
    assert min(times) < 1.5, times  # seconds of CPU, nearly all of it imports


def test_the_scripts_are_printed_and_parsed() -> None:
    for shell in ("bash", "zsh", "fish"):
        script = subprocess.run([MINIRUN, "completion", shell], capture_output=True, text=True, check=True).stdout
        assert "_MINIRUN_COMPLETE" in script
        if shutil.which(shell):
            flag = "-n" if shell != "fish" else "--no-execute"
            done = subprocess.run([shell, flag], input=script, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run([MINIRUN, "completion", "tcsh"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no completion for tcsh" in done.stderr


def test_setup_puts_the_script_where_bash_looks(tmp_path: Path) -> None:
    """Only the function: the script itself would change this machine. Somebody else's file stays."""
    text = (REPO / "scripts/setup").read_text().removesuffix('main "$@"\n')
    place, foreign = tmp_path / "new/minirun", tmp_path / "foreign"
    foreign.write_text("not ours\n")
    for target in (place, place, foreign, Path("/proc/nowhere/minirun")):
        run = f"completion={target}\nvenv={Path(BIN).parent}\ninstall_completion\n"
        subprocess.run(["bash", "-c", text + run, str(REPO / "scripts/setup")], capture_output=True, check=True)
    assert place.read_text() == subprocess.run([MINIRUN, "completion", "bash"], capture_output=True, text=True).stdout
    assert foreign.read_text() == "not ours\n"


# --- a real bash


def typed(host: Host, *keys: str) -> str:
    """What stands on the line after each of `keys`, typed at an interactive bash."""
    ours, theirs = pty.openpty()
    start = f"cd /etc/apt; PATH={BIN}:$PATH; PS1='> '; bind 'set enable-bracketed-paste off'"
    shell = host.popen(["bash", "--norc", "-i"], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    text = b""
    try:
        for key in (f"{start}; source <(minirun completion bash); echo rea''dy\n", *keys):
            os.write(ours, key.encode())
            wanted = b"ready\r\n" if key.endswith("\n") else b"#end"
            if wanted == b"#end":
                text = b""
                time.sleep(0.1)
                os.write(ours, b"#end")
            while wanted not in text:
                assert select.select([ours], [], [], 10)[0], text
                text += os.read(ours, 4096)
    finally:
        shell.kill()
        os.close(ours)
    return text.decode(errors="replace").rpartition("#end")[0].replace("\a", "")


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("minirun stop w\t", "minirun stop web "),
        ("minirun netw\tcre\t--driv\t", "minirun network create --driver "),
        ("minirun run --network=da\t", "minirun run --network=database "),
        ("minirun run --network=container:w\t", "minirun run --network=container:web "),
        ("minirun run --pid cont\tw\t", "minirun run --pid container:web "),
        ("minirun cp w\t", "minirun cp web:"),
        ("minirun run --env-file sources.list.\t", "minirun run --env-file sources.list.d/"),
        ("minirun run -v /etc/apt/sources.list.\t", "minirun run -v /etc/apt/sources.list.d/"),
    ],
)
def test_a_tab_in_a_real_bash(peopled: Host, keys: str, line: str) -> None:
    assert typed(peopled, keys).endswith(line)
