"""Flags that Docker has and scripts use, each by what it does to a real process."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from minirun.cli.refused import REFUSED
from tests.harness import Host, eventually
from tests.harness.host import MINIRUN
from tests.harness.terminal import Terminal


def _inspected(host: Host, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.minirun("inspect", name).stdout)[0]
    return found


def _knob(host: Host, controller: str, name: str, knob: str) -> str:
    return host.sh(f"cat /sys/fs/cgroup/{controller}/minirun/{_inspected(host, name)['Id']}/{knob}").strip()


@pytest.mark.parametrize(
    ("flag", "controller", "knob", "kept", "later", "kept_later"),
    [
        ("--memory-reservation=32m", "memory", "memory.soft_limit_in_bytes", "33554432", "48m", "50331648"),
        ("--memory-swap=96m", "memory", "memory.memsw.limit_in_bytes", "100663296", "128m", "134217728"),
        ("--cpuset-cpus=0", "cpuset", "cpuset.cpus", "0", "0-1", "0-1"),
        ("--cpuset-mems=0", "cpuset", "cpuset.mems", "0", "0", "0"),
        ("--cpu-quota=150000", "cpu", "cpu.cfs_quota_us", "150000", "-1", "-1"),
        ("--cpu-period=50000", "cpu", "cpu.cfs_period_us", "50000", "20000", "20000"),
        ("--blkio-weight=300", "blkio", "blkio*.weight", "300", "400", "400"),
        ("--cpu-shares=256", "cpu", "cpu.shares", "256", "768", "768"),
        ("--pids-limit=9", "pids", "pids.max", "9", "12", "12"),
    ],
)
def test_a_limit_is_kept_and_updated(
    hybrid: Host, flag: str, controller: str, knob: str, kept: str, later: str, kept_later: str
) -> None:
    words = ["run", "-d", "--name", "limited", "--memory=64m", flag, "busybox", "sleep", "9"]
    if not hybrid.sh(f"cd /sys/fs/cgroup/{controller} && mkdir probe && ls probe/{knob}; rmdir probe", check=False):
        done = hybrid.minirun(*words, check=False)
        assert done.returncode == 125
        assert "cgroup" in done.stderr or "kernel" in done.stderr
        assert "limited" not in hybrid.minirun("ps", "-a").stdout
        pytest.skip(f"this machine has no {controller} controller with {knob}")
    hybrid.minirun(*words)
    try:
        assert _knob(hybrid, controller, "limited", knob) == kept
        hybrid.minirun("update", f"{flag.partition('=')[0]}={later}", "limited")
        assert _knob(hybrid, controller, "limited", knob) == kept_later
    finally:
        hybrid.minirun("rm", "-f", "limited")


@pytest.mark.parametrize(("flags", "swap"), [(["-m", "64m"], 128 << 20), (["-m", "64m", "--memory-swap=-1"], -1)])
def test_memory_swap_is_shown_as_the_cgroup_has_it(hybrid: Host, flags: list[str], swap: int) -> None:
    memory = "/sys/fs/cgroup/memory"
    counted = "memsw" in hybrid.sh(f"ls {memory}")
    hybrid.minirun("run", "-d", "--name", "limited", *flags, "busybox", "sleep", "9")
    shown = hybrid.minirun("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}", "limited").stdout
    assert shown == f"{64 << 20} {swap if counted else -1}\n"
    if counted and swap > 0:
        assert _knob(hybrid, "memory", "limited", "memory.memsw.limit_in_bytes") == str(swap)
    hybrid.minirun("rm", "-f", "limited")


def test_cgroupns(primed: Host) -> None:
    own = primed.minirun("run", "--rm", "--cgroupns=private", "busybox", "cat", "/proc/self/cgroup").stdout
    hosts = primed.minirun("run", "--rm", "--cgroupns=host", "busybox", "cat", "/proc/self/cgroup").stdout
    assert "minirun" in hosts
    assert [line for line in own.splitlines() if line.startswith("0::")] == ["0::/"]


def test_files_of_labels_and_variables(primed: Host, tmp_path: Path) -> None:
    labels, env = tmp_path / "labels", tmp_path / "env"
    labels.write_text("# mine\none=1\ntwo\n")
    env.write_text("COLOUR=blue\nSIZE=9\n")
    flags = ["--label-file", str(labels), "-l", "one=2", "--env-file", str(env), "-e", "SIZE=10"]
    primed.minirun("run", "-d", "--name", "web", *flags, "busybox", "sleep", "1000")
    assert _inspected(primed, "web")["Config"]["Labels"] == {"one": "2", "two": ""}
    assert primed.minirun("exec", "web", "sh", "-c", "echo $COLOUR $SIZE").stdout == "blue 10\n"
    shown = primed.minirun("exec", "--env-file", str(env), "-e", "COLOUR=red", "web", "sh", "-c", "echo $COLOUR $SIZE")
    assert shown.stdout == "red 9\n"


def test_exec_privileged_has_what_the_container_lacks(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    script = ["sh", "-c", "ip link set lo down && ip link set lo up"]
    assert primed.minirun("exec", "web", *script, check=False).returncode != 0
    assert primed.minirun("exec", "--privileged", "web", *script, check=False).returncode == 0


def test_exec_does_not_make_its_working_directory(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "web", "-w", "/made/for/it", "busybox", "sleep", "1000")
    assert primed.minirun("exec", "web", "pwd").stdout == "/made/for/it\n"
    done = primed.minirun("exec", "-w", "/nosuch", "web", "pwd", check=False)
    assert (done.returncode, "no such file or directory" in done.stderr) == (126, True)
    assert primed.minirun("exec", "web", "ls", "-d", "/nosuch", check=False).returncode == 1


@pytest.mark.parametrize(
    ("streams", "out", "err"),
    [(["stdout"], "out\n", ""), (["stderr"], "", "err\n"), (["STDOUT", "stderr"], "out\n", "err\n")],
)
def test_run_attaches_to_what_is_asked_for(crowded: Host, streams: list[str], out: str, err: str) -> None:
    flags = [word for stream in streams for word in ("--attach", stream)]
    done = crowded.minirun("run", "--rm", *flags, "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == (out, err)


def test_run_attached_to_its_input_alone_says_its_id_and_feeds_it(primed: Host) -> None:
    done = primed.minirun("run", "-i", "-a", "stdin", "busybox", "sh", "-c", "cat > /got", input="fed\n")
    found = done.stdout.strip()
    assert (len(found), done.stderr) == (64, "")
    assert b"fed\n" in primed.minirun("cp", f"{found}:/got", "-", text=False).stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [(["-d", "-a", "stdout"], "Conflicting options: -a and -d"), (["-a", "stdfoo"], "valid streams are")],
)
def test_attach_is_refused(crowded: Host, words: list[str], says: str) -> None:
    done = crowded.minirun("run", *words, "busybox", "true", check=False)
    assert (done.returncode, says in done.stderr) == (125, True)


@pytest.mark.parametrize(
    ("flags", "attached"), [("", "011"), ("-i", "111"), ("-i -a stdin", "100"), ("-a STDERR", "001")]
)
def test_create_records_its_streams(crowded: Host, flags: str, attached: str) -> None:
    crowded.minirun("create", "--quiet", "--name", "recorded", *flags.split(), "busybox", "true")
    config = _inspected(crowded, "recorded")["Config"]
    crowded.minirun("rm", "recorded")
    assert "".join(str(int(config[f"Attach{name}"])) for name in ("Stdin", "Stdout", "Stderr")) == attached


def test_start_interactive_feeds_it(primed: Host) -> None:
    primed.minirun("create", "--name", "web", "-i", "busybox", "cat")
    done = primed.minirun("start", "--attach", "--interactive", "web", input="there and back\n")
    assert done.stdout == "there and back\n"


@pytest.mark.parametrize("verb", ["stop", "restart"])
def test_a_signal_of_ones_own_ends_it(primed: Host, verb: str) -> None:
    script = "trap 'echo hup; exit 0' HUP; trap 'echo term' TERM; echo ready; while :; do sleep 0.05; done"
    primed.minirun("run", "-d", "--name", "web", "busybox", "sh", "-c", script)
    deadline = time.monotonic() + 10
    while "ready" not in primed.minirun("logs", "web").stdout:
        assert time.monotonic() < deadline
    primed.minirun(verb, "--signal", "HUP", "-t", "10", "web")
    said = primed.minirun("logs", "web").stdout
    assert ("hup" in said, "term" in said) == (True, False)


def test_logs_between_two_moments(primed: Host) -> None:
    script = "echo first; sleep 1.2; echo second; sleep 1.2; echo third"
    primed.minirun("run", "--name", "web", "busybox", "sh", "-c", script)
    stamps = [line.split()[0] for line in primed.minirun("logs", "--timestamps", "web").stdout.splitlines()]
    assert primed.minirun("logs", "--since", stamps[1], "web").stdout == "second\nthird\n"
    assert primed.minirun("logs", "--until", stamps[1], "web").stdout == "first\nsecond\n"
    assert primed.minirun("logs", "--since", stamps[1], "--until", stamps[1], "web").stdout == "second\n"
    assert primed.minirun("logs", "--since", "1h", "web").stdout == "first\nsecond\nthird\n"


def test_a_tail_counts_the_lines_of_each_stream(primed: Host) -> None:
    script = "printf half; sleep 0.3; echo whole >&2; sleep 0.3; echo way"
    primed.minirun("run", "--name", "web", "busybox", "sh", "-c", script)
    done = primed.minirun("logs", "-n1", "web")
    assert (done.stdout, done.stderr) == ("halfway\n", "")
    done = primed.minirun("logs", "-n2", "web")
    assert (done.stdout, done.stderr) == ("halfway\n", "whole\n")


def test_networks_are_listed_as_asked(primed: Host) -> None:
    whole = primed.minirun("network", "create", "blue").stdout.strip()
    ids = primed.minirun("network", "ls", "--quiet", "--filter", "driver=bridge").stdout.split()
    assert whole[:12] in ids
    assert whole in primed.minirun("network", "ls", "-q", "--no-trunc").stdout.split()
    shown = primed.minirun("network", "ls", "--filter", "name=blue", "--format", "{{.Name}}/{{.Driver}}").stdout
    assert shown == "blue/bridge\n"
    line = json.loads(primed.minirun("network", "ls", "--filter", f"id={whole[:5]}", "--format", "json").stdout)
    assert (line["Name"], line["Scope"]) == ("blue", "local")
    shown = primed.minirun("network", "inspect", "--format", "{{.Internal}} {{len .IPAM.Config}}", "blue").stdout
    assert shown == "false 1\n"
    primed.minirun("network", "rm", "blue")
    assert primed.minirun("network", "rm", "blue", check=False).returncode == 1
    assert primed.minirun("network", "rm", "--force", "blue").stdout == ""


@pytest.mark.parametrize("words", [["start", "-ai"], ["attach"]])
def test_detach_keys_of_ones_own(primed: Host, words: list[str]) -> None:
    primed.minirun("create", "-it", "--name", "web", "--net=none", "busybox", "sh")
    if words == ["attach"]:
        primed.minirun("start", "web")
    with Terminal(primed, *words, "--detach-keys", "ctrl-x,q", "web") as terminal:
        terminal.type(b"echo here-$((40+2))\n")
        terminal.until(b"here-42")
        terminal.type(b"\x18q")
        terminal.until(b"read escape sequence")
        terminal.wait()
    assert primed.minirun("inspect", "-f", "{{.State.Status}}", "web").stdout == "running\n"


def test_attach_without_sig_proxy_leaves_the_program_its_peace(primed: Host) -> None:
    script = "trap 'echo hit' INT; echo ready; while :; do sleep 0.05; done"
    primed.minirun("run", "-d", "--name", "web", "busybox", "sh", "-c", script)
    command = f"timeout -s INT 1 {MINIRUN} attach --sig-proxy=false --no-stdin web"
    assert "hit" not in primed.sh(command, check=False)
    assert "hit" not in primed.minirun("logs", "web").stdout
    assert primed.minirun("inspect", "-f", "{{.State.Status}}", "web").stdout == "running\n"

    # With it, the signal is the program's, and the command stays: unless it came before the command was attached.
    def is_hit() -> bool:
        primed.sh(f"timeout -s INT -k 1 1 {MINIRUN} attach --no-stdin web >/dev/null 2>&1", check=False)
        return "hit" in primed.minirun("logs", "web").stdout

    eventually(is_hit, 30)


def test_the_only_volume_driver_is_local(primed: Host) -> None:
    words = ["-v", "data:/data", "busybox", "touch", "/data/x"]
    primed.minirun("run", "--rm", "--volume-driver", "local", *words)
    done = primed.minirun("run", "--rm", "--volume-driver", "nfs", *words, check=False)
    assert (done.returncode, 'plugin "nfs" not found' in done.stderr) == (125, True)


def test_an_import_has_a_message_and_its_history_tells_it(primed: Host) -> None:
    primed.minirun("create", "--name", "web", "busybox")
    primed.sh(f"{MINIRUN} export web > /run/web.tar")
    primed.minirun("import", "--message", "from the web", "/run/web.tar", "copy:1")
    assert "from the web" in primed.minirun("history", "copy:1").stdout
    exact = primed.minirun("history", "--human=false", "--format", "{{.Size}} {{.CreatedSince}}", "copy:1").stdout
    assert exact.split()[0].isdigit()
    assert exact.split()[1].endswith("Z")


def test_cp_follows_a_link_when_asked(primed: Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("pointed at\n")
    (tmp_path / "link").symlink_to("file")
    primed.minirun("create", "--name", "web", "busybox", "cat", "/followed", "/plain")
    primed.minirun("cp", str(tmp_path / "link"), "web:/plain")
    primed.minirun("cp", "--follow-link", str(tmp_path / "link"), "web:/followed")
    done = primed.minirun("start", "-a", "web", check=False)
    assert (done.stdout, "/plain" in done.stderr) == ("pointed at\n", True)  # the other is a link to nothing


@pytest.mark.parametrize("verb", sorted(REFUSED))
def test_a_flag_that_is_not_supported_is_refused_with_its_reason(crowded: Host, verb: str) -> None:
    for flag, why in REFUSED[verb].items():
        done = crowded.minirun(*verb.split(), f"--{flag}=1", "base", "x", check=False)
        assert (done.returncode, f"--{flag} is not supported: {why}" in done.stderr) == (125, True)
