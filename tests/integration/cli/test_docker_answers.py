"""Where minirun answered otherwise than Docker does, each by its input."""

import os
import re
import signal
import time

import pytest

from tests.harness import Host, eventually
from tests.harness.host import MINIRUN


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--net=bridge", "--ip=172.17.0.77"], "user specified IP address is supported on user defined networks only"),
        (["--ip=172.17.0.77"], "user specified IP address is supported on user defined networks only"),
        (["--net=name=bridge,ip=172.17.0.77"], "user specified IP address is supported on user defined networks only"),
        (
            ["--net=bridge", "--network-alias=x"],
            "network-scoped alias is supported only for containers in user",
        ),
        (["--net=container:base", "-P"], "port publishing and the container type network mode"),
        (["--net=container:base", "-p", "80"], "port publishing and the container type network mode"),
        (["--net=container:base", "--mac-address=02:42:ac:11:00:09"], "mac-address and the network mode"),
        (["--net=container:base", "--link=base"], "container type network can't be used with links"),
        (["--net=host", "--link=base"], "host type networking can't be used with links"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "create"])
def test_conflicting_network_options_are_refused(crowded: Host, verb: str, flags: list[str], message: str) -> None:
    done = crowded.minirun(verb, *flags, "busybox", "true", check=False)
    assert message in done.stderr
    assert done.returncode == (125 if verb == "run" else done.returncode)
    assert crowded.minirun("ps", "-aq").stdout.count("\n") == 1


def test_one_that_shares_a_network_may_be_created_before_the_other_runs(primed: Host) -> None:
    primed.minirun("create", "--name", "owner", "busybox", "sleep", "1000")
    primed.minirun("create", "--name", "guest", "--net=container:owner", "busybox", "hostname", "-i")
    done = primed.minirun("start", "-a", "guest", check=False)
    assert "cannot join network of a non running container: owner (created)" in done.stderr
    primed.minirun("start", "owner")
    address = primed.minirun("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "owner").stdout
    assert primed.minirun("start", "-a", "guest").stdout == address


@pytest.mark.parametrize("flags", [["--net=none"], [], ["--net=named"]])
def test_names_of_64_bytes(crowded: Host, flags: list[str]) -> None:
    crowded.minirun("network", "create", "named", check=False)
    name, domain = "h" * 64, "d" * 64
    script = "hostname; cat /proc/sys/kernel/domainname"
    words = ["--hostname", name, "--domainname", domain, "busybox", "sh", "-c", script]
    assert crowded.minirun("run", "--rm", *flags, *words).stdout.split() == [name, domain]
    done = crowded.minirun("run", "--rm", "--hostname", "h" * 65, "busybox", "true", check=False)
    assert (done.returncode, "invalid hostname format" in done.stderr) == (125, True)


@pytest.mark.parametrize("name", ["SIGRTMIN+3", "rtmin+3", "RTMIN+3", "37"])
def test_real_time_signals(crowded: Host, name: str) -> None:
    trap = "trap 'echo got; exit 5' 37; echo up; while :; do sleep 0.05; done"
    for verb in (["kill", "-s", name], ["stop", "-s", name], ["restart", "-s", name], ["stop"]):
        flags = ["--stop-signal", name] if verb == ["stop"] else []
        crowded.minirun("run", "-d", "--name", "trapped", *flags, "busybox", "sh", "-c", trap)
        eventually(lambda: "up" in crowded.minirun("logs", "trapped").stdout)
        crowded.minirun(*verb, "trapped")
        eventually(lambda: "got" in crowded.minirun("logs", "trapped").stdout)
        crowded.minirun("rm", "-f", "trapped")
    assert signal.SIGRTMIN + 3 == 37


@pytest.mark.parametrize("name", ["SIGRTMIN+31", "rtmax+1", "rtmin-1", "SIG9", "SIGSIGKILL", "0", "65", "9" * 5000])
def test_what_is_no_signal(crowded: Host, name: str) -> None:
    for words in (["kill", "-s", name, "base"], ["run", "--rm", "--stop-signal", name, "busybox", "true"]):
        assert "Invalid signal: " in crowded.minirun(*words, check=False).stderr


def test_logs_come_in_their_order_where_both_streams_lead_to_one_file(primed: Host) -> None:
    script = "for n in 1 2 3; do echo out$n; sleep 0.02; echo err$n >&2; sleep 0.02; done"
    primed.minirun("run", "--name", "talks", "busybox", "sh", "-c", script)
    wanted = ["out1", "err1", "out2", "err2", "out3", "err3"]
    for flags in ("", "-f", "--tail 6"):
        assert primed.sh(f"{MINIRUN} logs {flags} talks 2>&1").split() == wanted
    stamped = primed.sh(f"{MINIRUN} logs -t talks 2>&1").splitlines()
    assert [line.split()[1] for line in stamped] == wanted
    assert primed.minirun("logs", "talks").stdout.split() == ["out1", "out2", "out3"]


def test_a_line_is_stamped_once_however_it_was_written(primed: Host) -> None:
    script = "printf a; sleep 0.1; printf b >&2; sleep 0.1; printf 'c\\n'; printf 'd\\n' >&2; echo e; printf f"
    primed.minirun("run", "--name", "pieces", "busybox", "sh", "-c", script)
    done = primed.minirun("logs", "-t", "pieces")
    stamp = r"\d{4}-\d\d-\d\dT[\d:.]+Z"
    assert re.fullmatch(f"{stamp} ac\n{stamp} e\n{stamp} f", done.stdout)
    assert re.fullmatch(f"{stamp} bd\n", done.stderr)
    dots = "for n in 1 2 3 4 5; do printf .; sleep 0.05; done; echo; echo end"
    primed.minirun("run", "-d", "--name", "dots", "busybox", "sh", "-c", dots)
    for flags in (["-f", "-t"], ["-t"]):
        assert re.fullmatch(f"{stamp} \\.{{5}}\n{stamp} end\n", primed.minirun("logs", *flags, "dots").stdout)
    primed.minirun("run", "-d", "-t", "--name", "tty", "busybox", "sh", "-c", dots)
    shown = primed.minirun("logs", "-f", "-t", "tty").stdout
    assert re.fullmatch(f"{stamp} \\.{{5}}\n{stamp} end\n", shown)


@pytest.mark.parametrize("until", ["-1s", "0.2s"])
def test_following_ends_at_until(primed: Host, until: str) -> None:
    """A negative duration is in the future."""
    primed.minirun("run", "-d", "--name", "ticks", "busybox", "sh", "-c", "while :; do date; sleep 0.1; done")
    began = time.monotonic()
    primed.minirun("logs", "-f", "--until", until, "ticks")
    took = time.monotonic() - began
    assert (1 <= took < 3) if until == "-1s" else took < 1.5
    began = time.monotonic()
    primed.minirun("events", "--since", "1m", "--until", until)
    assert (1 <= time.monotonic() - began < 3) if until == "-1s" else True


@pytest.mark.parametrize("verb", ["stop", "restart"])
def test_stubborn_ones_are_stopped_at_the_same_time(primed: Host, verb: str) -> None:
    names = ["aa", "bb", "cc", "dd"]
    for name in names:
        primed.minirun("run", "-d", "--name", name, "busybox", "sh", "-c", "trap '' TERM; sleep 1000")
    began = time.monotonic()
    done = primed.minirun(verb, "-t", "2", *names, "nobody", check=False)
    assert 2 <= time.monotonic() - began < 2 * len(names)
    assert done.stdout.split() == names
    assert (done.returncode, "No such container: nobody" in done.stderr) == (1, True)
    running = primed.minirun("ps", "-q").stdout.count("\n")
    assert running == (0 if verb == "stop" else 4)


def test_joining_the_pid_namespace_of_one_that_has_the_hosts(primed: Host) -> None:
    """Directly, and by one more."""
    primed.minirun("run", "-d", "--name", "first", "--pid=host", "busybox", "sleep", "1000")
    primed.minirun("run", "-d", "--name", "second", "--pid=container:first", "busybox", "sleep", "1000")
    for name in ("first", "second"):
        assert primed.minirun("run", "--rm", f"--pid=container:{name}", "busybox", "echo", "here").stdout == "here\n"
        assert primed.minirun("exec", name, "echo", "there").stdout == "there\n"
    assert primed.minirun("ps", "-q").stdout.count("\n") == 2


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("noatime", "rw,nosuid,nodev,noexec,noatime"),
        ("relatime", "rw,nosuid,nodev,noexec,relatime"),
        ("noatime,relatime", "rw,nosuid,nodev,noexec,relatime"),
        ("strictatime", "rw,nosuid,nodev,noexec"),
        ("nodiratime", "rw,nosuid,nodev,noexec,nodiratime,relatime"),
        ("sync", "rw,sync,nosuid,nodev,noexec,relatime"),
        ("dirsync", "rw,dirsync,nosuid,nodev,noexec,relatime"),
        ("defaults", "rw,nosuid,nodev,noexec,relatime"),
        ("rprivate", "rw,nosuid,nodev,noexec,relatime"),
        ("defaults,exec,async,size=1m", "rw,nosuid,nodev,relatime,size=1024k"),
    ],
)
def test_words_of_a_tmpfs(crowded: Host, words: str, shown: str) -> None:
    done = crowded.minirun(
        "run", "--rm", "--net=none", "--tmpfs", f"/t:{words}", "busybox", "grep", " /t ", "/proc/mounts"
    )
    options = done.stdout.split()[3].split(",")
    assert [option for option in options if not option.startswith(("mode=", "inode", "uid=", "gid="))] == shown.split(
        ","
    )


def test_the_same_volume_twice_counts_once(crowded: Host) -> None:
    twice = ["-v", "/run:/a:ro", "-v", "/run:/a:ro", "-v", "data:/b", "-v", "data:/b"]
    assert crowded.minirun("run", "--rm", *twice, "busybox", "ls", "-d", "/a", "/b").stdout == "/a\n/b\n"
    done = crowded.minirun("run", "--rm", "-v", "/run:/a", "-v", "/run:/a:ro", "busybox", "true", check=False)
    assert (done.returncode, "Duplicate mount point: /a" in done.stderr) == (125, True)


def test_names_without_a_value(crowded: Host) -> None:
    """With -e they unset what the caller lacks; in an env file they mean nothing then."""
    crowded.minirun("run", "-d", "--name", "has", "-e", "K=own", "busybox", "sleep", "1000")
    crowded.sh("echo K > /run/names")
    show = ("sh", "-c", "echo ${K-unset}")
    script = 'unset K; exec "$0" "$@"'

    def shown(*words: str) -> str:
        return str(crowded.run(["sh", "-c", script, MINIRUN, *words, *show]).stdout.strip())

    assert shown("exec", "has") == "own"
    assert shown("exec", "-e", "K", "has") == "unset"
    assert shown("exec", "--env-file", "/run/names", "has") == "own"
    crowded.minirun("commit", "has", "with-k")
    assert shown("run", "--rm", "with-k") == "own"
    assert shown("run", "--rm", "-e", "K", "with-k") == "unset"
    assert shown("run", "--rm", "--env-file", "/run/names", "with-k") == "own"
    assert crowded.minirun("exec", "-e", "K", "has", *show, env={**os.environ, "K": "callers"}).stdout == "callers\n"
    crowded.minirun("rm", "-f", "has")


@pytest.mark.parametrize(
    ("ports", "conflict"),
    [
        (["8078:80", "8078:81"], "0.0.0.0:8078"),
        (["8078:80", "8078:80"], "0.0.0.0:8078"),
        (["8070-8079:80-89", "127.0.0.1:8078:81"], "127.0.0.1:8078"),
        (["8078:80", "8078:80/udp"], ""),
        (["127.0.0.1:8078:80", "127.0.0.2:8078:80"], ""),
    ],
)
def test_a_port_that_is_published_twice_is_nobody_elses_fault(crowded: Host, ports: list[str], conflict: str) -> None:
    flags = [word for port in ports for word in ("-p", port)]
    done = crowded.minirun("run", "--rm", *flags, "busybox", "true", check=False)
    assert done.returncode == (125 if conflict else 0)
    said = f"Bind for {conflict} failed: port is already allocated: address already in use"
    assert not conflict or (said in done.stderr and "by another -p of this container" in done.stderr)


def test_the_network_mode_is_one_name(primed: Host) -> None:
    primed.minirun("network", "create", "one")
    primed.minirun("network", "create", "two")
    primed.minirun("create", "--name", "both", "--net=one", "--net=two", "busybox", "true")
    assert primed.minirun("inspect", "-f", "{{.HostConfig.NetworkMode}}", "both").stdout == "one\n"
