"""--userns: root in the container is nobody on the host, and everything works as it does without."""

import io
import json
import sys
import tarfile
from collections.abc import Iterator

import pytest

from tests.harness import Host, Snapshot, Terminal, assert_same, eventually

FIRST = 524288
OWNERS = "find /var/lib/minirun/{} -printf '%U:%G\\n' | sort -u"

_OWNED = """
import fcntl, os, sys
here = f"/proc/{sys.argv[1]}/ns/"
users = os.stat(here + "user").st_ino
assert users != os.stat("/proc/self/ns/user").st_ino
for kind in ("mnt", "pid", "uts", "ipc", "net", "cgroup"):
    owner = fcntl.ioctl(os.open(here + kind, os.O_RDONLY), 0xB701)  # NS_GET_USERNS, ioctl_nsfs(2)
    if os.fstat(owner).st_ino == users:
        print(kind)
"""


@pytest.fixture
def web(primed: Host) -> Host:
    """With a container `web` in a user namespace."""
    script = "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www"
    words = ["-d", "--name", "web", "--userns=auto", "-p", "8080:80", "-v", "data:/data", "busybox", "sh", "-c", script]
    primed.minirun("run", *words)
    eventually(lambda: "hello" in primed.minirun("exec", "web", "cat", "/www/index.html").stdout)
    return primed


def inside(host: Host, script: str, *words: str) -> str:
    """What a script says in a container of its own, with a user namespace unless `words` say otherwise."""
    return str(host.minirun("run", "--rm", "--net=none", "--userns=auto", *words, "busybox", "sh", "-c", script).stdout)


def refusal(host: Host, *words: str) -> str:
    done = host.minirun("run", "--rm", *words, "busybox", "true", check=False)
    assert done.returncode == 125
    return str(done.stderr)


# --- who it is


def test_root_in_the_container_is_nobody_on_the_host(web: Host) -> None:
    assert web.minirun("exec", "web", "id", "-u").stdout == "0\n"
    assert web.minirun("exec", "web", "cat", "/proc/self/uid_map").stdout.split() == ["0", str(FIRST), "65536"]
    pid = web.minirun("inspect", "-f", "{{.State.Pid}}", "web").stdout.strip()
    status = web.sh(f"cat /proc/{pid}/status")
    for kind in ("Uid", "Gid"):
        assert f"{kind}:\t{FIRST}\t{FIRST}\t{FIRST}\t{FIRST}\n" in status
    # Every namespace of its own belongs to that of its users, so it has no rights in another.
    assert web.run([sys.executable, "-c", _OWNED, pid]).stdout.split() == ["mnt", "pid", "uts", "ipc", "net", "cgroup"]


def test_its_files_are_kept_as_those_of_any_container(web: Host) -> None:
    """Nothing is copied or given away: image and layer hold the ids that the container sees."""
    web.minirun("exec", "web", "sh", "-c", "mkdir /srv; touch /root/a /srv/b; chown 1000 /srv/b")
    layer = web.sh("ls -d /var/lib/minirun/containers/*/upper").strip().removeprefix("/var/lib/minirun/")
    assert set(web.sh(OWNERS.format(layer)).split()) <= {"0:0", "1000:0", "1000:1000", "65534:65534"}
    assert str(FIRST) not in web.sh(OWNERS.format("layers"))
    image = web.minirun("commit", "web").stdout.strip()
    words = ["--userns=host", "--entrypoint", "stat", image, "-c", "%u", "/srv/b", "/root/a", "/www"]
    assert web.minirun("run", "--rm", *words).stdout.split() == ["1000", "0", "0"]
    words = ["--userns=200000:70000", "--entrypoint", "stat", image, "-c", "%u", "/srv/b", "/root/a", "/www"]
    assert web.minirun("run", "--rm", *words).stdout.split() == ["1000", "0", "0"]
    changed = web.minirun("diff", "web").stdout.split("\n")
    assert "A /root/a" in changed


def test_rights_end_at_its_own_namespaces(primed: Host) -> None:
    script = """
        mkdir /m; mount -t tmpfs none /m && echo mounted
        hostname other && hostname
        ip link set lo down && echo lo is down
        mknod /tmp/null c 1 3 || echo no node
        echo 1 > /proc/sys/kernel/panic || echo no sysctl
        chroot /proc/1/root true && echo own
        dmesg || echo no log
        """
    seen = inside(primed, f"({script}) 2>/dev/null", "--privileged").split("\n")
    assert seen[:-1] == ["mounted", "other", "lo is down", "no node", "no sysctl", "own", "no log"]


def test_a_process_that_got_out_would_find_nothing_open(web: Host) -> None:
    """With the ids of the container's root, as if it had left its root: state, logs and sockets stay shut."""
    me = f"setpriv --reuid {FIRST} --regid {FIRST} --clear-groups"
    for path in ("state.db", "containers", "volumes/data/_data", "layers"):
        done = web.run(["sh", "-c", f"{me} ls /var/lib/minirun/{path}"], check=False)
        assert "Permission denied" in done.stderr, path
    pid = web.minirun("inspect", "-f", "{{.State.Pid}}", "web").stdout.strip()
    ended = web.run(["sh", "-c", f"{me} kill -9 1"], check=False)
    assert ended.returncode != 0
    assert web.sh(f"cat /proc/{pid}/comm").strip() == "httpd"


# --- what works as without


def test_networks_and_ports(web: Host) -> None:
    assert web.sh("busybox wget -qO- http://127.0.0.1:8080/") == "hello\n"
    web.minirun("network", "create", "own")
    web.minirun("network", "connect", "own", "web")
    words = ["run", "--rm", "--userns=auto", "--net=own", "busybox", "wget", "-qO-", "http://web/"]
    assert web.minirun(*words).stdout == "hello\n"
    web.minirun("port", "add", "web", "8081:80")
    assert web.sh("busybox wget -qO- http://127.0.0.1:8081/") == "hello\n"
    assert inside(web, "cat /proc/sys/net/ipv4/ping_group_range").split() == ["0", "65535"]


def test_sharing_the_namespaces_of_another(web: Host) -> None:
    joined, page = ["run", "--rm", "--userns=container:web"], ["busybox", "wget", "-qO-", "http://127.0.0.1/"]
    assert (
        web.minirun(*joined, "--net=container:web", "busybox", "wget", "-qO-", "http://127.0.0.1/").stdout == "hello\n"
    )
    seen = web.minirun(*joined, "--pid=container:web", "busybox", "sh", "-c", "cat /proc/1/comm; kill -0 1 && echo can")
    assert seen.stdout == "httpd\ncan\n"
    assert web.minirun(*joined, "busybox", "cat", "/proc/self/uid_map").stdout.split()[1] == str(FIRST)
    # One with the host's users may join what belongs to others, as root may.
    assert web.minirun("run", "--rm", "--net=container:web", *page).stdout == "hello\n"
    web.minirun("run", "-d", "--name", "base", "--userns=auto", "--ipc=shareable", "busybox", "sleep", "1000")
    script = "echo x > /dev/shm/x; stat -c %u /dev/shm/x"
    words = ["run", "--rm", "--userns=container:base", "--ipc=container:base", "busybox", "sh", "-c", script]
    assert web.minirun(*words).stdout == "0\n"
    assert web.minirun("exec", "base", "cat", "/dev/shm/x").stdout == "x\n"


def test_volumes_binds_and_tmpfs(primed: Host) -> None:
    primed.sh("mkdir -m 700 /run/b; echo host > /run/b/old; chown 1000:50 /run/b/old")
    script = (
        "stat -c %u:%g /b/old /v /t; cat /b/old; touch /b/new /v/new; chown 33 /v/new; touch /t/new; stat -c %u /t/new"
    )
    words = ["-v", "/run/b:/b", "-v", "vv:/v", "--tmpfs", "/t:uid=33,gid=44,mode=777"]
    assert inside(primed, script, *words).split() == ["1000:50", "0:0", "33:44", "host", "0"]
    assert primed.sh("stat -c %u:%g /run/b/new /var/lib/minirun/volumes/vv/_data/new").split() == ["0:0", "33:0"]
    # The same volume in a range of its own, and in none.
    for userns in ("auto", "300000", "host"):
        assert inside(primed, "stat -c %u /v/new", "-v", "vv:/v", f"--userns={userns}") == "33\n"
    assert inside(primed, "touch /v/x || echo refused", "-v", "vv:/v:ro") == "refused\n"


def test_users_and_streams(primed: Host) -> None:
    script = "id -u; echo out > /dev/stdout; echo err > /dev/stderr; cat /dev/stdin"
    for user, number in (("", "0"), ("1000", "1000"), ("65534:50", "65534")):
        words = ["run", "-i", "--rm", "--userns=auto", *(["-u", user] if user else []), "busybox", "sh", "-c", script]
        done = primed.minirun(*words, input="in\n")
        assert (done.stdout, done.stderr) == (f"{number}\nout\nin\n", "err\n")
    assert "unable to find user" in refusal(primed, "--userns=auto", "-u", "nobody-knows")


def test_a_terminal(primed: Host) -> None:
    script = "tty; stat -c %u:%g /dev/pts/0; id -u; read x; echo got $x"
    with Terminal(primed, "run", "-it", "--rm", "--userns=auto", "busybox", "sh", "-c", script) as terminal:
        terminal.until(b"/dev/pts/0")
        terminal.until(b"0:5")
        terminal.type(b"word\n")
        terminal.until(b"got word")


def test_exec_and_health_checks_join_it(web: Host) -> None:
    script = "cat /proc/self/uid_map; id -u; echo out > /dev/stdout; touch /e; stat -c %u /e"
    seen = web.minirun("exec", "web", "sh", "-c", script).stdout.split()
    assert seen == ["0", str(FIRST), "65536", "0", "out", "0"]
    assert web.minirun("exec", "-u", "1000", "web", "sh", "-c", "echo o > /dev/stdout; id -u").stdout == "o\n1000\n"
    with Terminal(web, "exec", "-it", "web", "tty") as terminal:
        terminal.until(b"/dev/pts/0")
    check = f'test "$(cat /proc/self/uid_map | tr -s " " | cut -d" " -f3)" = {FIRST + 65536} && test $(id -u) = 0'
    words = ["--health-cmd", check, "--health-interval", "100ms", "busybox", "sleep", "1000"]
    web.minirun("run", "-d", "--name", "checked", "--userns=auto", *words)
    eventually(lambda: web.minirun("inspect", "-f", "{{.State.Health.Status}}", "checked").stdout == "healthy\n")


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_cp_gives_files_to_its_root(web: Host, state: str) -> None:
    if state == "stopped":
        web.minirun("stop", "-t", "0", "web")
    web.sh("echo one > /run/one")
    web.minirun("cp", "/run/one", "web:/one")
    web.minirun("cp", "/run/one", "web:/data/one")
    packed = io.BytesIO(web.minirun("cp", "web:/one", "-", text=False).stdout)
    with tarfile.open(fileobj=packed) as archive:
        assert [(one.uid, one.gid) for one in archive] == [(0, 0)]
    if state == "stopped":
        web.minirun("start", "web")
    assert web.minirun("exec", "web", "stat", "-c", "%u:%g", "/one", "/data/one").stdout == "0:0\n0:0\n"
    assert web.sh("stat -c %u /var/lib/minirun/volumes/data/_data/one").strip() == "0"


def test_sysctls_hostname_and_restarts(primed: Host) -> None:
    flags = ["--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.msgmax=1000", "--domainname", "dom", "-h", "box"]
    script = "cd /proc/sys; cat net/ipv4/ip_forward kernel/msgmax kernel/domainname kernel/hostname"
    assert inside(primed, script, *flags).split() == ["1", "1000", "dom", "box"]
    script = "cat /proc/self/uid_map >> /data/maps; exit 1"
    words = ["--restart=on-failure:2", "-v", "data:/data", "--userns=auto", "busybox", "sh", "-c", script]
    primed.minirun("run", "-d", "--name", "again", *words)
    maps = "cat /var/lib/minirun/volumes/data/_data/maps"
    eventually(lambda: len(primed.sh(maps).splitlines()) == 3)
    assert len(set(primed.sh(maps).splitlines())) == 1


def test_nothing_is_left(primed: Host) -> None:
    before = Snapshot.of(primed)
    primed.minirun("run", "--rm", "--userns=auto", "-p", "8080:80", "busybox", "true")
    assert_same(primed, before)
    assert primed.sh("lsns -n -t user | wc -l").strip() == "1"


# --- which ids


def ids_of(host: Host, name: str) -> str:
    return str(host.minirun("inspect", "-f", "{{index .HostConfig.IDMappings.UidMap 0}}", name).stdout.strip())


def test_each_container_has_ids_of_its_own_until_it_is_removed(primed: Host) -> None:
    for name in ("aa", "bb", "cc"):
        primed.minirun("create", "--name", name, "--userns=auto", "busybox", "sleep", "1000")
    assert [ids_of(primed, name) for name in ("aa", "bb", "cc")] == [
        f"0:{FIRST}:65536",
        f"0:{FIRST + 65536}:65536",
        f"0:{FIRST + 2 * 65536}:65536",
    ]
    primed.minirun("start", "bb")
    primed.minirun("rm", "aa")
    primed.minirun("restart", "-t", "0", "bb")
    assert ids_of(primed, "bb") == f"0:{FIRST + 65536}:65536"
    primed.minirun("create", "--name", "dd", "--userns=auto", "busybox")
    assert ids_of(primed, "dd") == f"0:{FIRST}:65536"
    found = json.loads(primed.minirun("inspect", "bb").stdout)[0]["HostConfig"]
    assert found["UsernsMode"] == "auto"
    assert (
        json.loads(primed.minirun("inspect", primed.minirun("create", "busybox").stdout.strip()).stdout)[0][
            "HostConfig"
        ]["IDMappings"]
        is None
    )


@pytest.mark.parametrize(
    ("subuid", "subgid", "expected"),
    [
        ("lxd:524288:65536\n", "", 589824),
        ("", "other:500000:100000\n", 600000),
        ("minirun:900000:131072\n", "minirun:900000:131072\n", 900000),
        ("minirun:900000:131072\n", "", FIRST),
        ("rubbish\n:::\nminirun:x:y\n", "", FIRST),
    ],
)
def test_where_ids_come_from(primed: Host, subuid: str, subgid: str, expected: int) -> None:
    for name, text in (("subuid", subuid), ("subgid", subgid)):
        primed.run(["sh", "-c", f"cat > /run/{name}; mount --bind /run/{name} /etc/{name}"], input=text)
    primed.minirun("create", "--name", "one", "--userns=auto", "busybox")
    assert ids_of(primed, "one") == f"0:{expected}:65536"


def test_ids_run_out(primed: Host) -> None:
    for name in ("subuid", "subgid"):
        line = "minirun:900000:131072"
        primed.sh(f"echo {line} > /run/{name}; mount --bind /run/{name} /etc/{name}")
    for name in ("aa", "bb"):
        primed.minirun("create", "--name", name, "--userns=auto", "busybox")
    before = Snapshot.of(primed)
    assert "no 65536 consecutive ids are free" in refusal(primed, "--userns=auto")
    assert_same(primed, before)
    primed.minirun("rm", "aa")
    assert inside(primed, "cat /proc/self/uid_map").split()[1] == "900000"


def test_a_range_of_ones_own(primed: Host) -> None:
    assert inside(primed, "cat /proc/self/gid_map", "--userns=100000").split() == ["0", "100000", "65536"]
    assert inside(primed, "cat /proc/self/uid_map", "--userns=70000:10", "-u", "9").split() == ["0", "70000", "10"]
    said = refusal(primed, "--userns=70000:10", "-u", "10")
    assert "user 10 with group 0 is not among the ids of the container's user namespace" in said
    # Ids beyond its end are shown as nobody's, and the kernel lets nobody make files as theirs.
    assert inside(primed, "stat -c %u /home", "--userns=70000:1000") == "65534\n"


# --- what cannot be


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--net=host"], "--net=host is not supported with --userns=auto"),
        (["--pid=host"], "--pid=host is not supported with --userns=auto"),
        (["--ipc=host"], "--ipc=host is not supported with --userns=auto"),
        (["--uts=host"], "--uts=host is not supported with --userns=auto"),
        (["--net=container:plain"], "belongs to another user namespace"),
        (["--pid=container:plain"], "belongs to another user namespace"),
        (["--userns=container:plain"], "has no user namespace of its own"),
        (["--userns=container:nobody"], "No such container: nobody"),
        (["--userns=0:65536"], "would be root on the host"),
        (["--userns=1:4294967295"], "ids must be between"),
        (["--userns=1:0"], "ids must be between"),
        (["--userns=keep-id"], "invalid USER mode: keep-id"),
        (["--userns=1:2:3"], "invalid USER mode"),
        (["-v", "/proc:/p"], "cannot show its files under other ids: /proc"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refused(shared: Host, flags: list[str], said: str) -> None:
    before = Snapshot.of(shared)
    assert said in refusal(shared, "--userns=auto", *flags)
    assert_same(shared, before)


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    with Host() as host:
        host.minirun("run", "-d", "--name", "plain", "busybox", "sleep", "1000")
        yield host


def test_who_is_joined_has_to_run(web: Host) -> None:
    web.minirun("create", "--name", "late", "--userns=container:web", "busybox", "true")
    web.minirun("stop", "-t", "0", "web")
    done = web.minirun("start", "-a", "late", check=False)
    assert "cannot join the user namespace of a non running container: web" in done.stderr
    web.minirun("start", "web")
    web.minirun("start", "-a", "late")
