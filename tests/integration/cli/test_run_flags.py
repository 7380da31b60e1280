"""The flags of run and create, each by what the container's own program sees."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.harness import Host, Snapshot, assert_same, eventually

CASES: list[tuple[str, list[str], str, str]] = [
    # name, flags, what runs, what it prints
    ("env", ["-e", "A=1", "--env=B=x y"], 'echo "$A$B"', "1x y"),
    ("env-file", ["--env-file", "/run/env", "-e", "B=2"], 'echo "$A,$B,$C"', "one,2,"),
    ("label", ["-l", "a=b", "--label", "c"], "echo ok", "ok"),
    ("hostname", ["-h", "box"], "hostname; tail -2 /etc/hosts | head -1 | cut -f2", "box\nbox"),
    (
        "domainname",
        ["--hostname=box", "--domainname=a.org"],
        "hostname -f; cat /proc/sys/kernel/domainname",
        "box.a.org\na.org",
    ),
    ("add-host", ["--add-host", "db:10.1.2.3"], "grep -w db /etc/hosts", "10.1.2.3\tdb"),
    ("add-host v6", ["--add-host", "db=[fd00::1]"], "grep -w db /etc/hosts", "fd00::1\tdb"),
    (
        "host-gateway",
        ["--add-host", "up:host-gateway"],
        "grep up /etc/hosts; ip route | cut -d' ' -f3 | head -1",
        "172.17.0.1\tup\n172.17.0.1",
    ),
    ("add-host on host", ["--net=host", "--add-host", "db:10.1.2.3"], "grep -w db /etc/hosts", "10.1.2.3\tdb"),
    (
        "dns",
        ["--dns=1.2.3.4", "--dns-search=a.b", "--dns-opt=ndots:2"],
        "cat /etc/resolv.conf",
        "nameserver 1.2.3.4\nsearch a.b\noptions ndots:2",
    ),
    ("dns-search none", ["--dns=1.2.3.4", "--dns-search=."], "cat /etc/resolv.conf", "nameserver 1.2.3.4"),
    ("workdir", ["-w", "/a/b"], "pwd", "/a/b"),
    ("user", ["-u", "nobody:mail"], "id -un; id -g", "nobody\n8"),
    ("group-add", ["-u", "1000", "--group-add", "mail", "--group-add=7"], "id -G", "0 7 8"),
    (
        "read-only",
        ["--read-only"],
        "touch /x 2>&1; touch /dev/shm/x && ls /dev/shm",
        "touch: /x: Read-only file system\nx",
    ),
    ("read-only workdir", ["--read-only", "-w", "/new"], "pwd; touch x 2>/dev/null || echo no", "/new\nno"),
    ("device", ["--device=/dev/null:/dev/nothing"], "echo x > /dev/nothing && stat -c %t,%T /dev/nothing", "1,3"),
    (
        "shm-size",
        ["--shm-size=1m"],
        "dd if=/dev/zero of=/dev/shm/x bs=1M count=2 2>/dev/null; stat -c %s /dev/shm/x",
        "1048576",
    ),
    ("ulimit", ["--ulimit", "nofile=100:200", "--ulimit=core=0"], "ulimit -n; ulimit -Hn; ulimit -c", "100\n200\n0"),
    (
        "sysctl",
        ["--sysctl=kernel.msgmax=4096", "--sysctl", "net/ipv4/ip_default_ttl=70"],
        "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_default_ttl",
        "4096\n70",
    ),
    ("oom-score-adj", ["--oom-score-adj=300"], "cat /proc/self/oom_score_adj", "300"),
    (
        "cap-drop",
        ["--cap-drop=ALL", "--cap-add=CAP_NET_ADMIN"],
        "grep CapEff /proc/self/status | cut -f2",
        "0000000000001000",
    ),
    ("cap-add", ["--cap-add=net_admin"], "ip link set lo mtu 1400 && echo made", "made"),
    ("no cap", [], "ip link set lo mtu 1400 2>/dev/null || echo no", "no"),
    ("no-new-privileges", ["--security-opt=no-new-privileges"], "grep NoNewPrivs /proc/self/status | cut -f2", "1"),
    (
        "privileged",
        ["--privileged"],
        "mkdir /m; mount -t tmpfs t /m && echo mounted; test -e /dev/kmsg && echo all",
        "mounted\nall",
    ),
    ("unmasked", ["--security-opt", "systempaths=unconfined"], "grep -c ' /proc/' /proc/mounts || true", "0"),
    ("ipc none", ["--ipc=none"], "test -e /dev/shm || echo none", "none"),
    ("mac", ["--mac-address=92:D0:c6:0a:29:33"], "cat /sys/class/net/eth0/address", "92:d0:c6:0a:29:33"),
    ("init", ["--init"], "echo $$; tr '\\0' ' ' < /proc/1/cmdline | cut -d' ' -f1", "2\nminirun-init"),
    ("entrypoint", ["--entrypoint=echo"], "hello", "-c hello"),
    ("sig-proxy", ["--sig-proxy=false"], "echo ok", "ok"),
    ("rm=false", ["--rm=false"], "echo ok", "ok"),
    ("pull never", ["--pull=never"], "echo ok", "ok"),
    ("platform", ["--platform", "linux/amd64"], "echo ok", "ok"),
    ("log none", ["--log-driver", "none"], "echo ok", "ok"),
]


@pytest.fixture(scope="module")
def box() -> Iterator[Host]:
    with Host() as host:
        host.sh("printf '# comment\\nA=one\\n  B=1\\n\\nC\\n' > /run/env; mknod /dev/kmsg c 1 11 2>/dev/null; true")
        host.minirun("run", "--rm", "busybox", "true")
        yield host


@pytest.mark.parametrize(("name", "flags", "script", "printed"), CASES, ids=[case[0] for case in CASES])
def test_a_flag(box: Host, name: str, flags: list[str], script: str, printed: str) -> None:
    words = [script] if name == "entrypoint" else ["sh", "-c", script]
    words = ["-c", *words] if name == "entrypoint" else words
    done = box.minirun("run", "--rm", *flags, "busybox", *words)
    assert done.stdout.strip() == printed


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--ip6", "fd00::1"], "supported on user defined networks only"),
        (["--network-alias", "x"], "only for containers in user defined networks"),
        (["--pull", "always"], "lookup registry-1.docker.io"),
        (["--pull", "x"], "invalid pull option: 'x'"),
        (["--platform", "linux/s390x"], "lookup registry-1.docker.io"),
        (["--env-file", "/nowhere"], "open /nowhere: no such file or directory"),
        (["--label", "=x"], "invalid label '=x': empty name"),
        (["--add-host", "x"], 'bad format for add-host: "x"'),
        (["--add-host", "x:1.2.3"], 'invalid IP address in add-host: "1.2.3"'),
        (["--add-host", "a b:1.2.3.4"], "is not a host name"),
        (["--dns", "x"], "IP address is not correctly formatted"),
        (["--mac-address", "x"], "x is not a valid mac address"),
        (["--mac-address", "01:00:00:00:00:01"], "multicast"),
        (["--link", "base:"], ""),
        (["--link", "nobody"], "No such container: nobody"),
        (["--expose", "x"], "invalid range format for --expose: x"),
        (["--ulimit", "x=1"], "invalid ulimit type: x"),
        (["--ulimit", "nofile=2:1"], "soft limit must be less than or equal to hard limit: 2 > 1"),
        (["--sysctl", "kernel.panic=1"], "sysctl 'kernel.panic=1' is not allowed"),
        (["--sysctl", "net.nosuch=1"], "--sysctl net.nosuch=1: No such file or directory"),
        (["--sysctl", "net.ipv4.ip_forward=1", "--net=host"], "is not allowed in host network mode"),
        (["--sysctl", "net/../kernel/panic=1"], "is not allowed"),
        (["--device", "/dev/nosuch"], 'error gathering device information while adding custom device "/dev/nosuch"'),
        (["--device", "/etc/passwd"], "not a device node"),
        (["--device", "/dev/null:/x:q"], "bad mode specified: q"),
        (["--cap-add", "x"], 'invalid CapAdd: unknown capability: "CAP_X"'),
        (["--security-opt", "seccomp=/x.json"], "opening seccomp profile (/x.json) failed"),
        (["--security-opt", "apparmor=mine"], "AppArmor is not enabled on this host"),
        (["--security-opt", "x"], "invalid --security-opt"),
        (["--pid", "x"], "--pid: invalid PID mode"),
        (["--pid", "container:nobody"], "No such container: nobody"),
        (["--ipc", "container:base"], "non-shareable IPC"),
        (["--uts", "host", "--hostname", "x"], "conflicting options: hostname and the UTS mode"),
        (["--oom-score-adj", "1001"], "range for oom score adj is [-1000, 1000]"),
        (["--oom-score-adj", "x"], 'invalid argument "x" for "--oom-score-adj" flag'),
        (["--shm-size", "x"], 'invalid argument "x" for --shm-size: invalid size'),
        (["--memory", "1k"], "Minimum memory limit allowed is 6MB"),
        (["--cpus", "x"], 'invalid argument "x" for --cpus'),
        (["--health-interval", "x", "--health-cmd", "true"], 'time: invalid duration "x"'),
        (["--health-cmd", "true", "--no-healthcheck"], "--no-healthcheck conflicts with --health-* options"),
        (["--log-driver", "syslog"], 'plugin "syslog" not found'),
        (["--log-opt", "max-file=0"], "max-file cannot be less than 1"),
        (["--log-opt", "colour=red"], "unknown log opt 'colour'"),
        (["--log-driver=local", "--log-opt", "labels=x"], "unknown log opt 'labels' for local log driver"),
        (["--log-opt", "env-regex=("], "invalid log opt env-regex=("),
        (["--log-opt", "tag={{.Name"], "template parsing error"),
        (["--stop-signal", "x"], "Invalid signal: x"),
        (["--rm=x"], 'invalid argument "x" for "--rm" flag: strconv.ParseBool'),
        (["-e"], "flag needs an argument: 'e' in -e"),
        (["--name"], "flag needs an argument: --name"),
        (["-Z"], "unknown shorthand flag: 'Z' in -Z"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused_and_leaves_nothing(crowded: Host, flags: list[str], says: str) -> None:
    before = Snapshot.of(crowded)
    containers = crowded.minirun("ps", "-aq").stdout
    flagless = flags[-1] in ("-e", "--name")
    done = crowded.minirun("run", *flags, *([] if flagless else ["busybox", "true"]), check=False)
    if says:
        assert says in done.stderr
        assert done.returncode == 125, done.stderr
    assert "Traceback" not in done.stderr
    crowded.minirun("ps")
    if done.returncode:
        assert crowded.minirun("ps", "-aq").stdout == containers
        eventually(lambda: assert_same(crowded, before) is None)


def test_bundled_letters(primed: Host) -> None:
    primed.minirun("run", "-dip8080:80", "-eA=1", "-e=B=2", "--name=web", "busybox", "cat")
    state = json.loads(primed.minirun("inspect", "web").stdout)[0]
    assert state["Config"]["Env"] == ["A=1", "B=2"]
    assert primed.minirun("port", "web").stdout == "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n"
    primed.minirun("container", "rm", "-f", "web")


def test_flags_after_the_image_are_the_programs(primed: Host) -> None:
    assert primed.minirun("run", "--rm", "busybox", "echo", "--rm", "-d").stdout == "--rm -d\n"


def test_shared_namespaces(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "one", "--ipc=shareable", "busybox", "sleep", "1000")
    assert primed.minirun("run", "--rm", "--pid=container:one", "busybox", "cat", "/proc/1/cmdline").stdout.startswith(
        "sleep\0"
    )
    primed.minirun("run", "--rm", "--ipc=container:one", "busybox", "touch", "/dev/shm/seen")
    assert primed.minirun("exec", "one", "ls", "/dev/shm").stdout == "seen\n"
    same = primed.minirun("run", "--rm", "--ipc=container:one", "busybox", "readlink", "/proc/self/ns/ipc").stdout
    assert same == primed.minirun("exec", "one", "readlink", "/proc/self/ns/ipc").stdout
    for kind in ("pid", "ipc", "uts"):
        link = primed.minirun("run", "--rm", f"--{kind}=host", "busybox", "readlink", f"/proc/self/ns/{kind}").stdout
        assert link == primed.sh(f"readlink /proc/self/ns/{kind}")
    primed.minirun("run", "-d", "--name", "guest", "--pid=container:one", "busybox", "sleep", "1000")
    primed.minirun("rm", "-f", "one")  # with the namespace's pid 1, all in it ends
    eventually(lambda: primed.minirun("wait", "guest").stdout == "137\n")


def test_the_end_of_a_container_in_the_hosts_pid_namespace_ends_all_of_it(primed: Host) -> None:
    script = "sleep 4321 & sleep 4321"
    primed.minirun("run", "-d", "--name", "web", "--pid=host", "busybox", "sh", "-c", script)
    eventually(lambda: primed.sh("pgrep -fc '[s]leep 4321' || true").strip() == "3")
    primed.minirun("rm", "-f", "web")
    assert primed.sh("pgrep -fc '[s]leep 4321' || true").strip() == "0"
    primed.minirun("run", "--rm", "--pid=host", "busybox", "sh", "-c", "sleep 4322 & exit 0")
    assert primed.sh("pgrep -fc '[s]leep 4322' || true").strip() == "0"


def test_link(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "db", "busybox", "sleep", "1000")
    address = json.loads(primed.minirun("inspect", "db").stdout)[0]["NetworkSettings"]["IPAddress"]
    line = primed.minirun("run", "--rm", "--link", "db:store", "busybox", "grep", "store", "/etc/hosts").stdout
    assert line.split()[:2] == [address, "store"]
    assert primed.minirun("run", "--rm", "--link", "db", "busybox", "ping", "-c1", "-W1", "db").returncode == 0
    primed.minirun("stop", "-t0", "db")
    done = primed.minirun("run", "--rm", "--link", "db", "busybox", "true", check=False)
    assert (done.returncode, "Cannot link to a non running container: db" in done.stderr) == (125, True)


def test_exposed_ports_are_published_with_capital_p(primed: Host) -> None:
    primed.minirun(
        "run", "-dP", "--name", "web", "--expose=80", "--expose=90-91/udp", "-p8080:80", "busybox", "sleep", "9"
    )
    lines = primed.minirun("port", "web").stdout.splitlines()
    places = [line.split() for line in lines if "[::]" not in line]
    assert sorted(place[0] for place in places) == ["80/tcp", "90/udp", "91/udp"]
    assert len(lines) == 2 * len(places)  # on IPv6 by the same numbers
    primed.minirun("rm", "-f", "web")


def test_cidfile(primed: Host) -> None:
    printed = primed.minirun("run", "-d", "--rm", "--cidfile=/run/id", "busybox", "sleep", "1000").stdout.strip()
    assert primed.sh("cat /run/id") == printed
    done = primed.minirun("run", "--rm", "--cidfile=/run/id", "busybox", "true", check=False)
    assert (done.returncode, "container ID file found" in done.stderr) == (125, True)
    primed.minirun("kill", printed)


def test_create_then_start(primed: Host) -> None:
    before = Snapshot.of(primed)
    made = primed.minirun(
        "create", "--name", "web", "-p", "8080:80", "-e", "A=1", "busybox", "sh", "-c", "echo $A"
    ).stdout
    assert "Created" in primed.minirun("ps", "-a").stdout
    after = Snapshot.of(primed)
    assert (after.links, after.rules) == (before.links, before.rules)
    assert primed.minirun("start", "-a", made.strip()).stdout == "1\n"
    assert primed.minirun("start", "-a", "web").stdout == "1\n"
    done = primed.minirun("create", "--name", "web", "busybox", check=False)
    assert (done.returncode, 'The container name "/web" is already in use' in done.stderr) == (1, True)
    primed.minirun("rm", "web")


def test_stop_signal_and_timeout(primed: Host) -> None:
    script = "trap 'exit 7' INT; trap '' TERM; while :; do sleep 0.05; done"
    primed.minirun("run", "-d", "--name", "web", "--stop-signal=INT", "busybox", "sh", "-c", script)
    time.sleep(0.2)
    primed.minirun("stop", "web")
    assert primed.minirun("wait", "web").stdout == "7\n"
    primed.minirun(
        "run", "-d", "--name", "deaf", "--stop-timeout=1", "busybox", "sh", "-c", script.replace("INT", "HUP")
    )
    time.sleep(0.2)
    began = time.monotonic()
    primed.minirun("stop", "deaf")
    assert 0.9 < time.monotonic() - began < 4
    assert primed.minirun("wait", "deaf").stdout == "137\n"


def test_logs_are_rotated(primed: Host) -> None:
    script = "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); done"
    flags = ["--log-opt", "max-size=2k", "--log-opt", "max-file=3"]
    primed.minirun("run", "--name", "web", *flags, "busybox", "sh", "-c", script)
    sizes = [int(size) for size in primed.sh("stat -c %s /var/lib/minirun/containers/*/log*").split()]
    assert len(sizes) == 3
    assert max(sizes) < 2048 + 60  # one line more than the limit at most, however much of it came at once
    assert sorted(sizes)[1] >= 2048
    assert primed.minirun("logs", "-n1", "web").stdout == "line 399\n"
    assert primed.minirun("logs", "-n1", "--details", "web").stdout == " line 399\n"  # as Docker without any
    primed.minirun("run", "--name", "mute", "--log-driver=none", "busybox", "echo", "x")
    done = primed.minirun("logs", "mute", check=False)
    assert (done.returncode, "configured logging driver does not support reading" in done.stderr) == (1, True)


def test_logs_with_details(primed: Host) -> None:
    options = ("labels=tier,none", "labels-regex=^co", "env=LEVEL", "tag={{.Name}}/{{.ImageName}}")
    flags = [word for option in options for word in ("--log-opt", option)]
    values = ["-l", "tier=front end", "-l", "color=a,b", "-l", "x=y", "-e", "LEVEL=3", "-e", "OTHER=4"]
    script = "echo one; printf tw; sleep 0.1; echo o"
    primed.minirun("run", "--quiet", "--name", "web", *flags, *values, "busybox", "sh", "-c", script)
    details = "LEVEL=3,color=a%2Cb,tag=web%2Fbusybox,tier=front+end"
    assert primed.minirun("logs", "--details", "web").stdout == f"{details} one\n{details} two\n"
    stamped = primed.minirun("logs", "--details", "-t", "-n1", "web").stdout
    assert stamped.split(" ", 1)[1] == f"{details} two\n"
    config = json.loads(primed.minirun("inspect", "web").stdout)[0]["HostConfig"]["LogConfig"]["Config"]
    assert config == dict(option.split("=", 1) for option in options)
