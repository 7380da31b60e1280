"""The command after a lost shim tells the truth."""

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ps", "-a"], "Exited (137)"),
        (["inspect", "--format", "{{.State.Status}} {{.State.Pid}} {{.State.ExitCode}}", "web"], "exited 0 137"),
        (["logs", "web"], "hello"),
        (["logs", "-f", "web"], "hello"),
        (["wait", "web"], "137"),
        (["start", "web"], "web"),
        (["rm", "web"], "web"),
        (["port", "web"], ""),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_the_command_after_a_lost_shim_tells_the_truth(primed: Host, words: list[str], says: str) -> None:
    """And cleans up: ports, addresses and names are free, and the policy brings it back."""
    before = Snapshot.of(primed)
    flags = ["--restart=always", "--name", "web", "-p", "8080:80"]
    primed.minirun("run", "-d", *flags, "busybox", "sh", "-c", "echo hello; exec sleep 1000")
    shim = primed.minirun("inspect", "--format", "{{.State.MonitorPid}}", "web").stdout.strip()
    eventually(lambda: primed.minirun("logs", "web").stdout == "hello\n")
    primed.sh(f"kill -9 {shim}")
    eventually(lambda: not primed.sh("pgrep -f '[s]leep 1000'", check=False))
    assert says in primed.minirun(*words, timeout=10).stdout
    if words[0] == "start":
        primed.minirun("stop", "-t", "0", "web")
    if words[0] != "rm":
        primed.minirun("run", "--rm", "-p", "8080:80", "busybox", "true")
        primed.minirun("system", "start")  # a command before it may have begun to start it again, in the background
        eventually(lambda: "Up" in primed.minirun("ps").stdout)
        primed.minirun("rm", "-f", "web")
    assert_same(primed, before)
