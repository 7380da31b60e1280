"""minirun lab, with one user and nothing installed for it."""

import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from minirun.kernel import cgroups
from tests.harness import Terminal, eventually
from tests.harness.host import MINIRUN
from tests.harness.in_lab import USER, as_user, delegated_group
from tests.integration.lab.conftest import Machine

_LOOK = (
    "ip -d link; ip address; ip route; nft list ruleset; cat /proc/sys/net/ipv4/ip_forward; ls /run /run/netns 2>&1;"
    " grep -v proc /proc/1/mountinfo; find /var/lib/minirun /sys/fs/cgroup -maxdepth 1;"
    " find /etc /usr/local/bin -xdev -printf '%p %T@ %s %u\\n'"
)


def _processes(machine: Machine) -> list[str]:
    """What is left of a user's processes."""
    return str(machine.host.sh(f"ps -wwu {USER} -o pid=,args= || true")).splitlines()


def _lab_pid(machine: Machine) -> str:
    return next(line.split()[0] for line in _processes(machine) if "minirun lab" in line)


def test_containers_ports_and_names(machine: Machine) -> None:
    script = """
    set -e
    minirun run -d --name web -p 8080:80 busybox sh -c 'echo welcome > /var/www/x; exec httpd -f -h /var/www'
    minirun exec web true; minirun wait --listening 80 web; busybox wget -qO- http://127.0.0.1:8080/x
    minirun network create town
    minirun run -d --name shop --net town busybox sleep 60
    minirun run --rm --net town busybox ping -c 1 shop
    minirun exec web id
    minirun run --rm --read-only -v /etc:/host:ro --tmpfs /t busybox test -e /host/passwd
    minirun map
    minirun trace shop example.com || true
    """
    output = machine.lab(script).stdout
    assert "welcome" in output
    assert "1 packets received" in output
    assert "uid=0(root) gid=0(root)" in output
    assert "0.0.0.0:8080 → 80/tcp" in output


def test_minirun_is_found_in_the_lab_when_it_is_not_on_the_path(machine: Machine) -> None:
    words = machine.words("lab", "minirun", "run", "--rm", "--net=none", "busybox", "echo", "found")
    assert machine.host.run(words, env={"PATH": "/usr/bin:/bin"}).stdout == "found\n"


def test_image_directories_can_be_replaced(machine: Machine) -> None:
    """Whiteouts and opaque directories: the marks of overlayfs are user attributes there."""
    script = """
    set -e
    minirun run --name change busybox sh -c 'rm -r /var/www; mkdir /var/www; echo new > /var/www/new'
    minirun diff change; minirun commit change changed >/dev/null
    minirun save -o ~/i.tar changed; minirun rmi changed >/dev/null
    minirun load -i ~/i.tar >/dev/null; minirun run --rm changed ls /var/www; rm ~/i.tar
    minirun run --rm changed sh -c 'rm -r /var/www && mkdir /var/www && ls /var/www && echo empty'
    """
    output = machine.lab(script).stdout.splitlines()
    assert output[-2:] == ["new", "empty"]
    assert any("D /var/www/index.html" in line or "C /var/www" in line for line in output)


def test_the_host_stays_as_it_is(machine: Machine) -> None:
    before = machine.host.sh(_LOOK)
    machine.lab("minirun run -d -p 80:80 --restart always busybox sleep 60; minirun volume create v; minirun ps")
    assert machine.host.sh(_LOOK) == before
    assert _processes(machine) == []
    lab = machine.start("lab", "sh", "-c", f"{MINIRUN} run -d --net none busybox sleep 60; echo ready; sleep 60")
    assert lab.stdout is not None
    while b"ready" not in lab.stdout.readline():
        pass
    assert len(_processes(machine)) > 3
    machine.host.sh(f"kill -KILL {_lab_pid(machine)}")
    eventually(lambda: _processes(machine) == [])
    assert machine.host.sh(_LOOK) == before


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -9 $$"], 137),
        (["none"], 127),
        (["/etc"], 126),
    ],
)
def test_the_exit_code_is_the_commands(machine: Machine, command: list[str], code: int) -> None:
    assert machine.minirun("lab", *command, check=False).returncode == code


def test_signals_are_for_the_command(machine: Machine) -> None:
    lab = machine.start(
        "lab", "sh", "-c", "trap 'echo got it; exit 5' TERM USR1; echo ready; while :; do sleep 0.05; done"
    )
    assert lab.stdout is not None
    assert lab.stdout.readline() == b"ready\n"
    machine.host.sh(f"kill -USR1 {_lab_pid(machine)}")
    assert lab.stdout.readline() == b"got it\n"
    assert lab.wait(10) == 5


def test_orphans_are_reaped(machine: Machine) -> None:
    """The lab's first process is their parent."""
    assert machine.lab("(sleep 0.01 &) ; sleep 0.3; ps -eo stat= | grep -c Z || true").stdout.strip() == "0"


def test_a_shell_is_explained(machine: Machine) -> None:
    done = machine.minirun("lab", input="minirun_is=here; id -u; exit 3\n", check=False)
    assert (done.returncode, done.stdout) == (3, "0\n")
    assert f"This is a lab of {USER}" in done.stderr
    assert "root is the only user" in done.stderr
    assert "it has no way out" in done.stderr


def test_a_terminal_is_the_shells_and_then_the_callers_again(machine: Machine) -> None:
    script = f"{MINIRUN} lab bash --norc -i; echo ended with $?; read line; echo read $line"
    with Terminal(machine.host, *as_user(["bash", "-c", script], machine.home), program=()) as terminal:
        terminal.until(b"# ")
        terminal.type(b"sleep 100\n")
        time.sleep(0.3)
        terminal.type(b"\x03")
        terminal.until(b"^C")
        terminal.until(b"# ")
        terminal.type(b"cat & fg\n")
        terminal.until(b"[1] ")
        time.sleep(0.3)  # until cat has the terminal
        terminal.type(b"\x04echo $((6*7))\n")
        terminal.until(b"42")
        terminal.type(b"exit 3\n")
        terminal.until(b"ended with 3")
        terminal.type(b"more\n")
        terminal.until(b"read more")
        assert terminal.wait() == 0


def test_state_is_kept_where_it_is_asked_for(machine: Machine) -> None:
    state = f"{machine.home}/state"
    machine.lab("minirun run -d --name web busybox sleep 60; minirun volume create data", "--state", state)
    output = machine.lab(
        "minirun ps -a --format '{{.Names}} {{.State}}'; minirun volume ls -q", "--state", state
    ).stdout
    assert output.split() == ["web", "exited", "data"]
    assert (
        "web running"
        in machine.lab("minirun start web; minirun ps --format '{{.Names}} {{.State}}'", "--state", state).stdout
    )
    holder = machine.start("lab", "--state", state, "sh", "-c", "echo ready; sleep 60")
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"ready\n"
    refused = machine.lab("true", "--state", state, check=False)
    assert (refused.returncode, f"another lab uses {state}" in refused.stderr) == (125, True)
    assert machine.lab("minirun ps -aq").stdout == "", "in memory, a lab starts empty"
    machine.host.sh(f"kill {_lab_pid(machine)}")
    holder.wait(10)
    machine.lab("minirun system reset --force; ls -A /var/lib/minirun", "--state", state)
    assert os.listdir(f"{state}/state") == []


def test_minirun_needs_no_directory_of_its_own_on_the_host(machine: Machine) -> None:
    """Where /var/lib/minirun does not exist, what is beside it can still be used."""
    before = f"""
    set -e
    mount -t tmpfs lib /var/lib; mkdir /var/lib/jenkins; echo text > /var/lib/file; ln -s jenkins /var/lib/link
    chown {USER} /var/lib/jenkins; "$@"; ls /var/lib /var/lib/jenkins
    """
    words = machine.words("lab", "sh", "-c", "ls /var/lib; touch /var/lib/link/made; cat /var/lib/file")
    done = machine.host.run(["unshare", "--mount", "sh", "-c", before, "sh", *words])
    inside, outside = done.stdout.split("text\n")
    assert inside.split() == ["file", "jenkins", "link", "minirun"]
    assert outside.split() == ["/var/lib:", "file", "jenkins", "link", "/var/lib/jenkins:", "made"]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("run --rm -u 1000 busybox true", "user 1000 with group 0 does not exist: root is the only user of this lab"),
        ("run --rm --userns=auto busybox true", "--userns=auto is not supported here: root is the only user"),
        ("run --rm -m 100m busybox true", "systemd-run --user --scope -p Delegate=yes minirun lab"),
        ("run --rm --pid=host busybox true", "systemd-run --user --scope -p Delegate=yes minirun lab"),
        ("pull registry.example/none", "this lab has no way out: pasta is not installed"),
        ("run --rm --ulimit nofile=9999999 busybox true", "not allowed to raise maximum limit"),
        ("run --rm --sysctl kernel.shmmax=1 -u :7 busybox true", "does not exist"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(machine: Machine, command: str, reason: str) -> None:
    done = machine.lab(f"minirun {command}", check=False)
    assert done.returncode
    assert reason in done.stderr


def test_files_of_others_are_counted_not_lost(machine: Machine) -> None:
    machine.host.sh(f"cd {machine.home}; touch a b; tar --owner 5 -cf t.tar a b; chown {USER} t.tar")
    done = machine.lab("minirun import ~/t.tar foreign; minirun doctor; minirun info -f '{{.SecurityOptions}}'")
    assert "2 files of other users belong to root in this lab" in done.stderr
    assert "this lab: root is the only user" in done.stdout
    assert "name=rootless" in done.stdout


def test_a_device_node_in_an_image_is_refused(machine: Machine) -> None:
    """The archive is made by hand: nobody can make one here."""
    with tarfile.open(machine.home / "node.tar", "w") as archive:
        member = tarfile.TarInfo("null")
        member.type, member.devmajor, member.devminor = tarfile.CHRTYPE, 1, 3
        archive.addfile(member)
    done = machine.lab("minirun import ~/node.tar nodes", check=False)
    assert done.returncode
    assert '"null" is a device node, which only the machine\'s root can make' in done.stderr


def test_users_are_told_of_the_lab_and_root_is_not_let_in(machine: Machine) -> None:
    told = machine.minirun("ps", check=False)
    assert (told.returncode, "minirun lab" in told.stderr) == (1, True)
    refused = machine.host.minirun("lab", "true", check=False)
    assert (refused.returncode, "a lab is for users who are not root" in refused.stderr) == (125, True)
    assert machine.minirun("lab", "--bad", check=False).returncode == 125
    assert machine.minirun("--root", "/x", "lab", "true", check=False).returncode == 125
    assert machine.minirun("lab", "env", env={**os.environ, "MINIRUN_ROOT": "/x"}).stdout.count("MINIRUN_ROOT") == 0
    assert "--state DIR" in machine.minirun("lab", "--help").stdout


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ("echo 0 > /proc/sys/user/max_user_namespaces; exec", "user.max_user_namespaces is 0"),
        ("mount -t tmpfs none /proc/sys/fs; exec", "the lab cannot be set up"),
    ],
)
def test_a_host_without_labs_says_why(machine: Machine, before: str, reason: str) -> None:
    """In a user namespace of the test's own, whose settings and mounts these are."""
    words = machine.words("lab", "true")
    inner = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "--pid",
        "--fork",
        "--mount-proc",
        "sh",
        "-c",
        f'{before} "$@"',
    ]
    place = words.index(next(word for word in words if word.endswith("/minirun")))
    done = machine.host.run([*words[:place], *inner, "sh", *words[place:]], check=False)
    assert (done.returncode, reason in done.stderr) == (125, True), done.stderr


def test_a_cgroup_of_the_users_own_gives_pause_and_is_left_empty(machine: Machine) -> None:
    if cgroups.mounted() is None:
        pytest.skip("this machine has no v2 hierarchy")
    with delegated_group() as group:
        machine.group = group
        assert group is not None
        script = """
        set -e
        minirun run -d --name web busybox sleep 60
        minirun pause web; minirun ps --format '{{.State}}'; minirun unpause web
        minirun run --rm --pid=host busybox true; minirun info -f '{{.CgroupVersion}}'
        """
        try:
            words = machine.words("lab", "sh", "-c", f"PATH={Path(MINIRUN).parent}:$PATH; {script}")
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            assert "paused" in done.stdout, done.stderr
            eventually(lambda: not any(path.is_dir() for path in group.iterdir()))
            lab = subprocess.Popen(machine.words("lab", "sh", "-c", "echo ready; sleep 60"), stdout=subprocess.PIPE)
            assert lab.stdout is not None
            lab.stdout.readline()
            lab.send_signal(signal.SIGKILL)
            lab.communicate()
            eventually(lambda: not any(path.is_dir() for path in group.iterdir()))
        finally:
            machine.group = None
