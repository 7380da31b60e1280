"""Mistakes that other runtimes made, tried on this one. docs/security.md says which test stands for which."""

import os
import sys
import sysconfig
import time

import pytest

from tests.harness import Host, Terminal, eventually
from tests.harness.host import REPO

ONCE = ("run", "--rm", "--net=none")


@pytest.mark.parametrize("capability", ["", "SYS_PTRACE"])
def test_who_comes_by_exec_cannot_be_looked_into(crowded: Host, capability: str) -> None:
    """CVE-2016-9962: the container's root sees the new process come, and opens its program or its files. It tries
    without a pause, also with the right to trace any process."""
    look = (
        "while [ ! -e /tmp/stop ]; do for p in /proc/[0-9]*; do ls -l $p/exe $p/cwd $p/root $p/fd/; done; done"
        " 2>/dev/null | sed -n 's/.* -> //p' > /tmp/seen; echo over > /tmp/over; sleep 99"
    )
    spy = f"spy{capability}"
    flags = ("--cap-add", capability) if capability else ()
    crowded.minirun("run", "-d", "--name", spy, "--net=none", *flags, "busybox", "sh", "-c", look)
    for _ in range(12):
        crowded.minirun("exec", spy, "sleep", "0.05")  # `true` may be over before it is looked at
    crowded.minirun("exec", spy, "touch", "/tmp/stop")
    eventually(lambda: crowded.minirun("exec", spy, "cat", "/tmp/over", check=False).stdout)
    seen = set(crowded.minirun("exec", spy, "cat", "/tmp/seen").stdout.splitlines())
    assert {"/bin/sh", "/bin/sleep"} <= seen
    interpreter = {os.path.realpath(sys.executable)} if capability else set()  # to be read, and no more than that
    assert not [one for one in seen - interpreter if "python" in one or "state.db" in one or str(REPO) in one], seen
    assert not [one for one in seen if "minirun" in one and not one.startswith("/memfd:minirun-stub")], seen
    crowded.minirun("rm", "-f", spy)


PLACES = [*(f"/proc/self/fd/{fd}" for fd in range(3, 13)), "/proc/self/cwd", "/proc/1/root/.."]


@pytest.mark.parametrize("place", PLACES)
def test_no_working_directory_is_outside_the_root(crowded: Host, place: str) -> None:
    """CVE-2024-21626: an open directory of the host's as the working directory. Whatever comes of it, it is inside."""
    for words in ((*ONCE, "-w", place, "busybox"), ("exec", "-w", place, "base")):
        done = crowded.minirun(*words, "sh", "-c", "pwd -P; ls -d ../../../../var/lib/minirun", check=False)
        assert "/var/lib/minirun" not in done.stdout
        assert done.stdout == "" or done.stdout.startswith("/")


# The directories that this Python reads its modules from.
_OWN = [*{sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), *filter(os.path.isdir, sys.path)}]


@pytest.fixture
def trap(primed: Host) -> Host:
    """An image that has something at every place where the runtime's own interpreter, or the C library, looks. To open
    one is to wait for ever."""
    modules = "".join(
        f"mkdir -p .{path}/encodings; for n in os io traceback linecache encodings/idna pwd socket; do"
        f" mkfifo .{path}/$n.py 2>/dev/null; done; "
        for path in _OWN
    )
    libraries = "mkdir -p lib64 usr/lib; for n in lib64/libnss_files.so.2 usr/lib/libnss_dns.so.2; do mkfifo $n; done; "
    files = "rm -f etc/nsswitch.conf; mkfifo etc/nsswitch.conf etc/ld.so.cache etc/ld.so.preload"
    primed.image("trap", modules + libraries + files)
    return primed


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["trap", "/bin/echo", "fine"], 0),
        (["trap", "/no/such/program"], 127),
        (["-w", "/etc/nsswitch.conf", "trap", "/bin/true"], 126),
        (["-u", "somebody", "trap", "/bin/true"], 125),
        (["--tmpfs", "/etc/nsswitch.conf/x", "trap", "/bin/true"], 125),
        (["-e", "PYTHONPATH=/", "-e", "PYTHONHOME=/", "-e", "LD_PRELOAD=/bin/busybox", "trap", "/bin/echo", "fine"], 0),
    ],
)
def test_nothing_of_the_image_is_opened_or_run_on_its_way(trap: Host, words: list[str], code: int) -> None:
    """CVE-2019-14271, CVE-2022-1227, and what is Python's alone: modules, tracebacks, the C library's plug-ins."""
    began = time.monotonic()
    done = trap.minirun(*ONCE, *words, check=False)
    assert time.monotonic() - began < 5
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert (done.stdout == "fine\n") == (code == 0 and "fine" in words)


USERS = (
    *("4294967295", "4294967296", "-1", "0x0", "1e3", "+0", " 0", "0 ", "1000:4294967295", "1000:-1"),
    "\u0660",  # a digit, but none of a number here
    *("evil", "wrapped", "minus", "huge", "0:evil", "a:b:c"),
)


@pytest.fixture(scope="module")
def odd_users(crowded: Host) -> Host:
    lines = ["evil:x:0x0:0::/:/bin/sh", "wrapped:x:4294967296:0::/:/bin/sh", "minus:x:-1:0::/:/bin/sh"]
    text = "\n".join([*lines, f"huge:x:{'9' * 40}:0::/:/bin/sh", "1e3:x::0::/:/bin/sh"])
    crowded.image("odd-users", f"cat > etc/passwd <<'END'\n{text}\nEND\necho 'evil:x:4294967296:' > etc/group")
    return crowded


@pytest.mark.parametrize("user", USERS)
def test_a_user_is_who_was_meant_or_nobody(odd_users: Host, user: str) -> None:
    """CVE-2016-3697, CVE-2026-46680: a number taken for a name, or one that wraps around to root."""
    done = odd_users.minirun(*ONCE, "-u", user, "odd-users", "id", "-u", check=False)
    assert done.returncode in (125, 126), done.stdout
    assert done.stdout == ""


SYSCTLS = (
    *("kernel.core_pattern", "net/../kernel/core_pattern", "net.ipv4/../../kernel.core_pattern", "vm.swappiness"),
    *("net.ipv4.ip_forward\nkernel.core_pattern", "fs.mqueue/../../vm.overcommit_memory", "net.+.x", ".."),
    *("kernel.shm_rmid_forced+kernel.core_pattern", "net.ipv4.conf.*.forwarding", "kernel.msgmax/../core_pattern"),
)


@pytest.mark.parametrize("name", SYSCTLS)
def test_no_sysctl_of_the_hosts_is_set(crowded: Host, name: str) -> None:
    """CVE-2022-0811: one within another's name."""
    values = "cat /proc/sys/kernel/core_pattern /proc/sys/vm/overcommit_memory /proc/sys/vm/swappiness"
    before = crowded.sh(values)
    done = crowded.minirun(*ONCE, "--sysctl", f"{name}=1", "busybox", "true", check=False)
    assert done.returncode == 125
    assert crowded.sh(values) == before


@pytest.mark.parametrize("flags", [(), ("-i",)])
def test_the_callers_terminal_is_never_the_containers(crowded: Host, flags: tuple[str, ...]) -> None:
    """TIOCSTI: whoever has the terminal types into the shell that started it."""
    script = (
        "[ -t 0 ] || [ -t 1 ] || [ -t 2 ] || echo none; (: > /dev/tty) 2>/dev/null || echo without;"
        " [ $(cut -d' ' -f6 /proc/self/stat) = 1 ] && echo own"
    )
    with Terminal(crowded, *ONCE, *flags, "busybox", "sh", "-c", script) as terminal:
        said = terminal.until(b"own").decode().split()
        assert terminal.wait() == 0
    assert said == ["none", "without", "own"]


def test_what_a_container_calls_itself_cannot_write_to_the_terminal(crowded: Host) -> None:
    """Names, labels and commands in tables; a log has every byte, for it is the program's own output."""
    evil = "\x1b]0;owned\x07\x1b[2J"
    words = ("--name", "loud", "-l", f"a={evil}", "--net=none", "busybox", "sh", "-c", f"echo '{evil}'; sleep 99")
    crowded.minirun("run", "-d", *words)
    table = "table {{.Names}}\t{{.Labels}}\t{{.Command}}"
    for words in (("ps", "--no-trunc"), ("ps", "--format", table)):
        shown = crowded.minirun(*words).stdout
        assert "owned" in shown
        assert "\x1b" not in shown
        assert "\x07" not in shown
    assert "\x1b" not in crowded.minirun("inspect", "loud").stdout
    eventually(lambda: evil in crowded.minirun("logs", "loud").stdout)
    crowded.minirun("rm", "-f", "loud")


def test_the_host_takes_no_router_advertisements_from_a_bridge(primed: Host) -> None:
    """CVE-2020-13401."""
    primed.minirun("network", "create", "--ipv6", "six")
    primed.minirun("run", "-d", "--name", "web", "--net", "six", "busybox", "sleep", "1000")
    links = [one for one in primed.sh("ls /proc/sys/net/ipv6/conf").split() if one.startswith(("veth", "mr-"))]
    assert len(links) == 2
    for link in links:
        values = primed.sh(f"cd /proc/sys/net/ipv6/conf/{link}; cat accept_ra disable_ipv6").split()
        assert values[0] == "0" or values[1] == "1", (link, values)
