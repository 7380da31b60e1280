"""Which system calls a container may make: each is made, by each way into the kernel, and its errno looked at."""

import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Host
from tests.harness.debian_packages import DOCKER as DOCKER_PACKAGES
from tests.harness.debian_packages import overlay_packages
from tests.harness.docker_engine import DOCKER, start_docker
from tests.harness.host import MINIRUN, REPO

EPERM, ENOSYS, EINVAL, EBADF, ENOTTY = errno.EPERM, errno.ENOSYS, errno.EINVAL, errno.EBADF, errno.ENOTTY


KEPT = "/var/lib/minirun/cache/seccomp"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("call") / "call"
    source = REPO / "tests/harness/syscall.c"
    subprocess.run(["gcc", "-static", "-O1", "-Wall", "-o", str(made), str(source)], check=True)
    return made


@pytest.fixture(scope="module")
def box(program: Path) -> Iterator[Host]:
    """`base` runs there; every container may have the program at /t/call."""
    with Host() as host:
        host.sh("mkdir /run/t")
        host.run(["sh", "-c", "cat > /run/t/call; chmod 755 /run/t/call"], input=program.read_bytes(), text=False)
        host.minirun("run", "-d", "--name", "base", "--net=none", "-v", "/run/t:/t", "busybox", "sleep", "1000")
        yield host


def call(host: Host, *words: object, flags: tuple[str, ...] = ()) -> int:
    """The error's number, 0 for none, of a call in a container of its own; without flags in `base`."""
    asked = ["/t/call", *map(str, words)]
    if flags:
        done = host.minirun("run", "--rm", "--net=none", "-v", "/run/t:/t", *flags, "busybox", *asked)
    else:
        done = host.minirun("exec", "base", *asked)
    return int(done.stdout)


_NEWNS, _NEWUSER = 0x20000, 0x10000000


@pytest.mark.parametrize(
    ("words", "result"),
    [
        (("x86-64", 39), 0),  # getpid
        (("x86-64", 250, 0), EPERM),  # keyctl
        (("x86-64", 248), EPERM),  # add_key
        (("x86-64", 246), EPERM),  # kexec_load
        (("x86-64", 320), EPERM),  # kexec_file_load
        (("x86-64", 425), EPERM),  # io_uring_setup
        (("x86-64", 323), EPERM),  # userfaultfd
        (("x86-64", 321), EPERM),  # bpf
        (("x86-64", 298), EPERM),  # perf_event_open
        (("x86-64", 155), EPERM),  # pivot_root
        (("x86-64", 165), EPERM),  # mount
        (("x86-64", 428), EPERM),  # open_tree
        (("x86-64", 272, _NEWUSER), EPERM),  # unshare
        (("x86-64", 308), EPERM),  # setns
        (("x86-64", 304), EPERM),  # open_by_handle_at
        (("x86-64", 175), EPERM),  # init_module
        (("x86-64", 169), EPERM),  # reboot
        (("x86-64", 56, _NEWUSER | 17), EPERM),  # clone
        (("x86-64", 56, _NEWNS | 17), EPERM),
        (("x86-64", 435), ENOSYS),  # clone3: the C library goes on with clone
        (("x86-64", 101, 9999), EPERM),  # ptrace: the filter lets it through, and the kernel has no such request
        (("x86-64", 135, 0xFFFFFFFF), 0),  # personality
        (("x86-64", 135, 0), 0),
        (("x86-64", 135, 0x0040000), EPERM),  # without address space randomization
        (("x86-64", 41, 2, 1), 0),  # socket
        (("x86-64", 41, 40, 1), EPERM),  # AF_VSOCK
        (("x86-64", 41, 38, 5), EPERM),  # AF_ALG
        (("x86-64", 41, 0x100000028, 1), EPERM),  # the kernel looks at 32 bits
        (("x86-64", 41, 0x100000026, 5), EPERM),
        (("x86-64", 41, 0x100000002, 1), 0),
        (("x86-64", 16, 0, 0x5412), EPERM),  # ioctl: TIOCSTI
        (("x86-64", 16, 0, 0x541C), EPERM),  # TIOCLINUX
        (("x86-64", 16, 0, 0x100005412), EPERM),  # the kernel looks at 32 bits
        (("x86-64", 16, 0, 0xFFFFFFFF0000541C), EPERM),
        (("x86-64", 16, 0, 0x5410), ENOTTY),
        (("x86-64", 16, 0, 0x5413), ENOTTY),  # TIOCGWINSZ
        (("x86-64", 16, 0, 0x541E), ENOTTY),
        (("x86-64", 16, 0, 0x80005412), ENOTTY),
        (("x86-64", 16, 0, 0), ENOTTY),
        (("x86-64", 500), ENOSYS),  # newer than the profile
        (("x86-64", 0x3FFFFFFF), ENOSYS),
        (("i386", 20), 0),  # getpid
        (("i386", 288, 0), EPERM),  # keyctl
        (("i386", 310, _NEWUSER), EPERM),  # unshare
        (("i386", 120, _NEWUSER | 17), EPERM),  # clone
        (("i386", 102, 1), ENOSYS),  # socketcall
        (("i386", 359, 40, 1), EPERM),  # socket
        (("i386", 359, 2, 1), 0),
        (("i386", 425), EPERM),  # io_uring_setup
        (("i386", 166), EPERM),  # vm86
        (("i386", 500), ENOSYS),
        (("x32", 250, 0), EPERM),  # whether this kernel has x32 or not
        (("x32", 1000), ENOSYS),
    ],
)
def test_what_is_allowed_where_nothing_is_said(box: Host, words: tuple[object, ...], result: int) -> None:
    found = call(box, *words)
    if words[:2] == ("x86-64", 101):
        assert found in (errno.EIO, errno.ESRCH)
    else:
        assert found == result


@pytest.mark.parametrize(
    ("flags", "words", "result"),
    [
        (("--cap-add", "SYS_ADMIN"), ("x86-64", 272, _NEWNS), 0),
        (("--cap-add", "SYS_ADMIN"), ("x86-64", 435), EINVAL),
        (("--cap-add", "SYS_ADMIN"), ("x86-64", 250, 0), EPERM),
        (("--cap-add", "SYS_TIME"), ("x86-64", 227, 99), EINVAL),  # clock_settime
        (("--cap-drop", "SYS_CHROOT"), ("x86-64", 161), EPERM),
        (("--security-opt", "seccomp=unconfined"), ("x86-64", 250, 99), errno.EOPNOTSUPP),
        (("--security-opt", "seccomp:unconfined"), ("x86-64", 250, 99), errno.EOPNOTSUPP),
        (("--security-opt", "seccomp=builtin"), ("x86-64", 250, 99), EPERM),
        (("--privileged",), ("x86-64", 250, 99), errno.EOPNOTSUPP),
        (("--privileged", "--security-opt", "seccomp=builtin"), ("x86-64", 250, 99), errno.EOPNOTSUPP),
        (("--security-opt", "no-new-privileges"), ("x86-64", 250, 99), EPERM),
        (("-u", "1000"), ("x86-64", 250, 99), EPERM),
        (("-u", "1000", "--security-opt", "no-new-privileges"), ("x86-64", 250, 99), EPERM),
        (("--init",), ("x86-64", 250, 99), EPERM),
    ],
)
def test_what_flags_change(box: Host, flags: tuple[str, ...], words: tuple[object, ...], result: int) -> None:
    assert call(box, *words, flags=flags) == result


def test_the_first_process_exec_and_health_checks_are_filtered_alike(box: Host) -> None:
    status = "grep -h ^Seccomp: /proc/1/status /proc/self/status"
    assert box.minirun("exec", "base", "sh", "-c", status).stdout == "Seccomp:\t2\n" * 2
    assert box.minirun("exec", "--privileged", "base", "sh", "-c", status).stdout == "Seccomp:\t2\n" * 2
    check = "/t/call x86-64 250 99 > /tmp/health"
    words = ("--health-cmd", check, "--health-interval", "100ms", "-v", "/run/t:/t", "busybox", "sleep", "99")
    box.minirun("run", "-d", "--wait", "--name", "ill", "--net=none", *words)
    assert box.minirun("exec", "ill", "cat", "/tmp/health").stdout == f"{EPERM}\n"
    box.minirun("rm", "-f", "ill")


_BESIDE = {  # the call, what minirun says, what Docker says; None: whatever the kernel itself answers
    "AF_VSOCK": (("x86-64", 41, 40, 1), EPERM, None),
    "AF_VSOCK, rubbish above": (("x86-64", 41, 0x100000028, 1), EPERM, None),
    "AF_ALG": (("x86-64", 41, 38, 5), EPERM, None),
    "io_uring": (("x86-64", 425), EPERM, None),
    "TIOCSTI": (("x86-64", 16, 0, 0x5412), EPERM, None),
    "socketcall": (("i386", 102, 1), ENOSYS, None),
    "process_vm_readv": (("x86-64", 310), None, EPERM),
    "keyctl": (("x86-64", 250, 99), EPERM, EPERM),
    "unshare": (("x86-64", 272, _NEWUSER), EPERM, EPERM),
    "clone3": (("x86-64", 435), ENOSYS, ENOSYS),
    "newer": (("x86-64", 500), ENOSYS, ENOSYS),
    "name_to_handle_at": (("x86-64", 303), EPERM, EPERM),
    "bpf": (("x86-64", 321), EPERM, EPERM),
    "personality": (("x86-64", 135, 0x40000), EPERM, EPERM),
}


def test_where_docker_answers_otherwise(host: Host, program: Path) -> None:
    """docs/security.md tells of these."""
    overlay_packages(host, DOCKER_PACKAGES)
    start_docker(host)
    host.sh("mkdir /run/t")
    host.run(["sh", "-c", "cat > /run/t/call; chmod 755 /run/t/call"], input=program.read_bytes(), text=False)
    each = "; ".join(f"/t/call {' '.join(map(str, words))}" for words, _, _ in _BESIDE.values())
    docker = host.sh(f"{DOCKER} run --rm --network none -v /run/t:/t box /bin/sh -c '{each}'", timeout=60)
    ours = host.minirun("run", "--rm", "--net=none", "-v", "/run/t:/t", "busybox", "sh", "-c", each).stdout
    for (name, (_, ours_wanted, dockers_wanted)), found, dockers in zip(
        _BESIDE.items(), ours.split(), docker.split(), strict=True
    ):
        for wanted, answer in ((ours_wanted, int(found)), (dockers_wanted, int(dockers))):
            assert answer == wanted if wanted is not None else answer not in (EPERM, ENOSYS), name


def own(host: Host, profile: object) -> str:
    host.run(["tee", "/run/profile.json"], input=profile if isinstance(profile, str) else json.dumps(profile))
    return "seccomp=/run/profile.json"


_MKDIR = {"names": ["mkdir", "mkdirat", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EXDEV}


_OPEN: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
}


def test_a_profile_of_ones_own_is_kept_with_the_container(box: Host) -> None:
    option = own(box, {**_OPEN, "syscalls": [_MKDIR]})
    words = ("--security-opt", option, "busybox", "sh", "-c", "mkdir /x; sleep 99")
    box.minirun("run", "-d", "--name", "own", "--net=none", *words)
    box.sh("rm /run/profile.json")
    box.minirun("restart", "-t", "0", "own")
    assert "cross-device" in box.minirun("exec", "own", "mkdir", "/y", check=False).stderr
    assert '"errnoRet": 18' in json.loads(box.minirun("inspect", "own").stdout)[0]["HostConfig"]["SecurityOpt"][0]
    box.minirun("rm", "-f", "own")


@pytest.mark.parametrize(
    ("rule", "words", "result"),
    [
        ({"names": ["getpid"], "action": "SCMP_ACT_ERRNO"}, ("x86-64", 39), EPERM),
        ({"name": "getpid", "action": "SCMP_ACT_ERRNO", "errnoRet": 0}, ("x86-64", 39), 0),
        ({"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_SYS_ADMIN"]}}, ("x86-64", 39), 0),
        ({"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_CHOWN"]}}, ("x86-64", 39), 0),
        ({"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "includes": {"arches": ["amd64"]}}, ("x86-64", 39), EPERM),
        ({"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "excludes": {"arches": ["amd64"]}}, ("x86-64", 39), 0),
        ({"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "includes": {"minKernel": "99.0"}}, ("x86-64", 39), 0),
        ({"names": ["getpid"], "action": "SCMP_ACT_LOG"}, ("x86-64", 39), 0),
        *(
            (
                {
                    "names": ["dup"],
                    "action": "SCMP_ACT_ERRNO",
                    "errnoRet": 18,
                    "args": [{"index": 0, "value": value, "valueTwo": two, "op": f"SCMP_CMP_{operator}"}],
                },
                ("x86-64", 32, given),
                18 if holds else EBADF,
            )
            for operator, value, two, given, holds in (
                ("EQ", 77, 0, 77, True),
                ("EQ", 77, 0, 78, False),
                ("NE", 77, 0, 77, False),
                ("NE", 77, 0, 78, True),
                ("LT", 77, 0, 76, True),
                ("LT", 77, 0, 77, False),
                ("LE", 77, 0, 77, True),
                ("GE", 77, 0, 77, True),
                ("GT", 77, 0, 77, False),
                ("GT", 77, 0, 78, True),
                ("MASKED_EQ", 0xF0, 0x40, 0x47, True),
                ("MASKED_EQ", 0xF0, 0x40, 0x57, False),
            )
        ),
        (  # several about one argument: any of them
            {
                "names": ["dup"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": 18,
                "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in (77, 88)],
            },
            ("x86-64", 32, 88),
            18,
        ),
    ],
)
def test_the_format_means_what_it_does_in_docker(
    box: Host, rule: dict[str, Any], words: tuple[object, ...], result: int
) -> None:
    assert call(box, *words, flags=("--security-opt", own(box, {**_OPEN, "syscalls": [rule]}))) == result


@pytest.mark.parametrize(("action", "code"), [("KILL_PROCESS", 159), ("TRAP", 159), ("KILL", 159)])
def test_a_call_may_be_the_last(box: Host, action: str, code: int) -> None:
    option = own(box, {**_OPEN, "syscalls": [{"names": ["getpgid"], "action": f"SCMP_ACT_{action}"}]})
    words = ("--security-opt", option, "-v", "/run/t:/t", "busybox", "/t/call", "x86-64", "121")
    assert box.minirun("run", "--rm", "--init", "--net=none", *words, check=False).returncode == code


def test_what_starts_the_program_is_filtered_too(box: Host) -> None:
    """As in Docker: a profile that forbids what a start needs ends it, with one sentence."""
    option = own(box, {**_OPEN, "syscalls": [{"names": ["execve", "execveat"], "action": "SCMP_ACT_ERRNO"}]})
    done = box.minirun("run", "--rm", "--net=none", "--security-opt", option, "busybox", "true", check=False)
    assert done.returncode in (125, 126)
    assert "Operation not permitted" in done.stderr
    assert "Traceback" not in done.stderr


def test_programs_are_kept_whole_and_private(box: Host) -> None:
    box.sh(f"rm -rf {KEPT}")
    words = ("run", "--rm", "--net=none", "-v", "/run/t:/t", "busybox", "/t/call", "x86-64", "250", "99")
    assert box.minirun(*words).stdout == f"{EPERM}\n"
    assert box.sh(f"stat -c %a {KEPT} {KEPT}/*").split() == ["700", "600"]
    when = box.sh(f"stat -c '%n %y' {KEPT}/*")
    assert box.minirun(*words).stdout == f"{EPERM}\n"
    assert box.sh(f"stat -c '%n %y' {KEPT}/*") == when
    for size in (0, 13, 4096):  # the last is whole instructions, as a disk that fills up leaves them
        box.sh(f"for f in {KEPT}/*; do head -c {size} $f > /run/cut; cat /run/cut > $f; done")
        assert box.minirun(*words).stdout == f"{EPERM}\n"
        assert int(box.sh(f"cat {KEPT}/* | wc -c")) > 4096  # made anew
    box.sh(f"rm -rf {KEPT}; mkdir -p {KEPT}; mount -t tmpfs -o size=4k full {KEPT}")  # room for a part
    assert box.minirun(*words).stdout == f"{EPERM}\n"  # on a full disk too
    assert box.sh(f"ls {KEPT}") == ""
    box.sh(f"umount {KEPT}")


def rule(**values: object) -> dict[str, object]:
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", **values}]}


@pytest.mark.parametrize(
    ("profile", "says"),
    [
        ("", "it is not JSON"),
        ("[" * 100000, "it is not JSON"),
        ("[]", "the profile is not an object"),
        ("{}", "defaultAction is None"),
        ({"defaultAction": "ALLOW"}, "defaultAction is 'ALLOW'; minirun knows SCMP_ACT_ALLOW"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "defaultAction is 'SCMP_ACT_NOTIFY'"),
        ({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}, "the invalid error number 5000"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x"}, "'listenerPath', which minirun does not know"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}, "syscalls is not a list"),
        (rule(names=[]), "syscalls[0] names no system call"),
        (rule(names=["a b"]), "'a b' is not the name of a system call"),
        (rule(names=[1]), "names is not a list of strings"),
        (rule(action="SCMP_ACT_ERNO"), "syscalls[0].action is 'SCMP_ACT_ERNO'"),
        (rule(args=[{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]), "syscalls[0].args[0].index is 6, not a number"),
        (rule(args=[{"index": 0, "value": 1 << 64, "op": "SCMP_CMP_EQ"}]), ".value is 18446744073709551616"),
        (rule(args=[{"index": 0, "value": True, "op": "SCMP_CMP_EQ"}]), ".value is True"),
        (rule(args=[{"index": 0, "value": 0, "op": "EQUAL"}]), ".op is 'EQUAL'"),
        (rule(includes={"minKernel": "new"}), "includes.minKernel is 'new'"),
        (rule(includes={"cap": []}), "includes has 'cap'"),
        (rule(condition={}), "syscalls[0] has 'condition'"),
        ("x" * (1 << 21), "longer than"),
    ],
)
def test_what_is_no_profile_is_told_where(box: Host, profile: object, says: str) -> None:
    option = own(box, profile)
    done = box.minirun("run", "--rm", "--net=none", "--security-opt", option, "busybox", "true", check=False)
    assert done.returncode == 125
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("place", ["/nowhere", "/run", "/run/fifo", "/run/t/call"])
def test_what_is_no_file_of_text_is_refused(box: Host, place: str) -> None:
    box.sh("[ -p /run/fifo ] || mkfifo /run/fifo")
    words = ("run", "--rm", "--net=none", "--security-opt", f"seccomp={place}", "busybox", "true")
    done = box.minirun(*words, check=False, timeout=10)
    assert done.returncode == 125
    assert "seccomp" in done.stderr
    assert "Traceback" not in done.stderr


_WITH_KEY = """
import ctypes, subprocess, sys
syscall = ctypes.CDLL(None, use_errno=True).syscall
syscall(250, 1, None)  # keyctl(KEYCTL_JOIN_SESSION_KEYRING)
key = syscall(248, b"user", b"minirun-test", b"secret", 6, -3)  # add_key(..., KEY_SPEC_SESSION_KEYRING)
if key < 0:
    sys.exit(77)
read = ["/t/call", "x86-64", "250", "11", str(key), "0", "0"]  # keyctl(KEYCTL_READ)
print(subprocess.run(["/run/t/call", *read[1:]], capture_output=True, text=True).stdout.strip(), end=" ", flush=True)
sys.exit(subprocess.run([*sys.argv[1:], *read]).returncode)
"""


def test_the_callers_keys_are_not_the_containers(box: Host) -> None:
    """Not even where keyctl is allowed: the session's keyring is its own."""
    flags = ["run", "--rm", "--net=none", "--security-opt=seccomp=unconfined", "-v", "/run/t:/t", "busybox"]
    done = box.run([sys.executable, "-c", _WITH_KEY, MINIRUN, *flags], check=False)
    if done.returncode == 77:
        pytest.skip("no keys can be made here")
    assert done.stdout.split() == ["0", str(errno.EACCES)]
