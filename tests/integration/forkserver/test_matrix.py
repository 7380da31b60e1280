"""Each attribute of a process set oddly, one at a time: a command and its container show the same of themselves whether
the server or plain Python runs it. Each case says which of the two ways the command goes by default, and why."""

import ctypes
import sys

import pytest

from tests.harness import eventually
from tests.integration.forkserver.served import SERVER, ServedHost

# What a container shows of itself; a few values differ between any two processes.
REPORT = """
grep -vE '^(Vm|Rss|State|SigQ|Threads|Hugetlb|[a-z]+_ctxt)' /proc/self/status; ulimit -a; env | sort; id; pwd
cat /proc/self/oom_score_adj /proc/self/timerslack_ns; ls /proc/self/fd | wc -l; cat /proc/net/dev | cut -d: -f1
"""


def changed(setup: str) -> str:
    """Shell text: a process that changes itself in Python, and becomes the command."""
    code = f"import ctypes, os, sys; libc = ctypes.CDLL(None); {setup}; os.execv(sys.argv[1], sys.argv[1:])"
    return f"exec {sys.executable} -ISc '{code}'"


RESOURCES = {
    "cpu": "1000:2000",
    "fsize": "100000000:200000000",
    "data": "3000000000:4000000000",
    "stack": "1000000:2000000",
    "core": "1:2",
    "rss": "100000000:200000000",
    "nproc": "2000:3000",
    "nofile": "60:70",
    "memlock": "70000:80000",
    "as": "3000000000:4000000000",
    "locks": "100:200",
    "sigpending": "1000:2000",
    "msgqueue": "1000:2000",
    "nice": "0:0",
    "rtprio": "0:0",
    "rttime": "1000000:2000000",
}

TAKEN_OVER = {
    "nothing": "exec",
    **{f"limit of {name}": f"exec prlimit --{name}={values}" for name, values in RESOURCES.items()},
    "umask": "umask 027; exec",
    "ignored signals": "trap '' INT USR1; exec",
    "nohup": "exec nohup",
    "signal mask": "exec env --block-signal=TERM,USR2",
    "cgroup v2": "echo $$ > /sys/fs/cgroup/odd/cgroup.procs; exec",
    "cpu affinity": "exec taskset 1",
    "nice": "exec nice -n 5",
    "less nice": "exec nice -n -5",
    "io priority": "exec ionice -c 2 -n 7",
    "idle io priority": "exec ionice -c 3",
    "batch scheduling": "exec chrt -b 0",
    "oom score": "exec choom -n 500 --",
    "supplementary groups": "exec setpriv --groups 5,7",
    "no groups": "exec setpriv --clear-groups",
    "root directory": "exec chroot /run/tree",
    "working directory": "cd /run; exec",
    "deleted working directory": "mkdir /run/gone$$; cd /run/gone$$; rmdir /run/gone$$; exec",
    "closed stdin": "exec 0<&-; exec",
    "closed stdout": "exec 1>&-; exec",
    "closed stderr": "exec 2>&-; exec",
    "all closed": "exec 0<&- 1>&- 2>&-; exec",
    "open files": "exec 3</etc/passwd 9</etc/group 200</etc/hostname; exec",
    "process substitution": "exec 7< <(echo hello); exec",
    "mount namespace": "exec unshare --mount",
    "net namespace": "exec unshare --net",
    "uts namespace": "exec unshare --uts",
    "ipc namespace": "exec unshare --ipc",
    "cgroup namespace": "exec unshare --cgroup",
    "time namespace": "exec unshare --time",
    "pid namespace": "exec unshare --pid --fork --mount-proc",
    "all namespaces": "exec unshare --mount --net --uts --ipc --cgroup --time --pid --fork --mount-proc",
    "timer slack": changed("libc.prctl(29, 12345678)"),
    "core dump filter": "echo 0x7 > /proc/self/coredump_filter; exec",
    "time zone": "export TZ=Asia/Tokyo; exec",
    "no environment": "exec env -i MINIRUN_FORKSERVER=$MINIRUN_FORKSERVER MINIRUN_DEBUG=1 PATH=$PATH",
    "LC_ALL=C": "export LC_ALL=C; exec",
    "LC_ALL=POSIX": "export LC_ALL=POSIX; exec",
    "LANG=C.UTF-8": "export LC_ALL= LANG=C.UTF-8; exec",
    "a locale that is not installed": "export LC_ALL=xx_YY.UTF-8; exec",
}

PLAIN = {
    "personality": ("exec setarch -R", "the personality differs"),
    "32 bits": ("exec linux32", "the personality differs"),
    "securebits": ("exec setpriv --securebits +noroot", "securebits are set"),
    "bounding set": ("exec setpriv --bounding-set -sys_boot", "CapPrm of /proc/PID/status differs"),
    "inheritable capability": ("exec setpriv --inh-caps +net_raw", "CapInh of /proc/PID/status differs"),
    "ambient capability": (
        "exec setpriv --inh-caps +net_raw --ambient-caps +net_raw",
        "CapInh of /proc/PID/status differs",
    ),
    "no_new_privs": ("exec setpriv --no-new-privs", "NoNewPrivs of /proc/PID/status differs"),
    # An empty program is refused, so: one instruction, "allow".
    "seccomp": (
        changed(
            "code = (ctypes.c_uint64 * 1)(6 | 0x7fff0000 << 32);"
            " program = (ctypes.c_uint64 * 2)(1, ctypes.addressof(code));"
            " assert libc.prctl(22, 2, program) == 0"
        ),
        "seccomp differs",
    ),
    "group": ("exec setpriv --regid 5 --keep-groups", "Gid of /proc/PID/status differs"),
    "user": ("exec setpriv --reuid 1 --clear-groups", "only root has one"),
    "user namespace": ("exec unshare --user --map-root-user", "it may not mount"),
    "pid namespace of children": ("exec unshare --pid", "the pid namespace of its children differs"),
    "memory policy": (
        changed("assert libc.syscall(238, 1, ctypes.byref(ctypes.c_ulong(1)), 64) == 0"),
        "a memory policy is set",
    ),
    "huge pages": (changed("libc.prctl(41, 1, 0, 0, 0)"), "huge pages are disabled"),
    "landlock": (
        changed(
            "rules = (ctypes.c_uint64 * 1)(4096); assert libc.syscall(446, libc.syscall(444, rules, 8, 0), 0) == 0"
        ),
        "it may not mount",
    ),
    "subreaper": (changed("libc.prctl(36, 1)"), "it is a child subreaper"),
    "a locale of one byte": ("LC_ALL=de_DE.ISO-8859-1 exec", "the locale's encoding is not UTF-8"),
}


@pytest.mark.parametrize("name", TAKEN_OVER)
def test_what_the_worker_takes_over(served: ServedHost, name: str) -> None:
    # A command ends when it cannot write what the container says.
    report = ":" if "1>&-" in TAKEN_OVER[name] else REPORT
    default, plain = served.observe(report, TAKEN_OVER[name], after=1 if name == "cgroup v2" else 0)
    is_told = "2>&-" not in TAKEN_OVER[name]
    assert (default.way, plain.way) == (SERVER, "MINIRUN_FORKSERVER=off" if is_told else SERVER)
    assert (default.code, default.output, default.errors) == (plain.code, plain.output, plain.errors)
    assert default.command
    shown = {*default.command, *plain.command}
    pairs = {one: (default.command.get(one), plain.command.get(one)) for one in shown}
    assert {one: pair for one, pair in pairs.items() if pair[0] != pair[1]} == {}


def test_a_command_that_lasts_is_moved_to_the_cgroup(served: ServedHost) -> None:
    """One that does not stays where the server is: a move waits for all processors. What it has started stays, too."""
    served.run("run", "-d", "--name", "db", "--net=none", "busybox", "sleep", "1000")
    enter = TAKEN_OVER["cgroup v2"]

    def members() -> set[int]:
        return set(map(int, served.host.sh("cat /sys/fs/cgroup/odd/cgroup.procs").split()))

    with served.start("exec", "db", "sleep", "4", before=enter) as process:
        eventually(lambda: len(served.processes_with("exec\0db")) >= 2)
        launcher, worker = served.launcher_with("exec\0db"), served.worker_with("exec\0db")
        assert members() == {launcher}
        eventually(lambda: members() == {launcher, worker}, 3)
        process.kill()
    served.run("rm", "-f", "db")


@pytest.mark.parametrize("name", PLAIN)
def test_what_python_is_started_for(served: ServedHost, name: str) -> None:
    before, reason = PLAIN[name]
    if name == "landlock" and ctypes.CDLL(None).syscall(444, None, 0, 1) < 0:
        pytest.skip("this machine has no Landlock")
    done = served.run("version", before=before)
    assert (done.way, done.code) == (reason, 0)
    assert done.output.startswith(b"minirun version")
