"""minirun.testing and its pytest plugin, as a user's test suite has them: pytest runs on a throwaway host."""

import importlib
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Host, eventually
from tests.harness.host import MINIRUN, REPO

PLUGINS = ["-p", "minirun.testing.plugin", "-p", "no:cacheprovider"]
ENV = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "MINIRUN_BIN": MINIRUN, "PYTHONPATH": str(REPO)}
HEAD = """
import os
import threading
import pytest
from minirun.testing import *
from minirun.testing.plugin import container_fixture

HTTPD = ["sh", "-c", "echo serving; exec httpd -f -p 80 -h /var/www"]
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Host]:
    with Host() as host:
        host.minirun("run", "--rm", "busybox", "true")
        yield host


@pytest.fixture
def town(site: Host) -> Iterator[Host]:
    yield site
    eventually(lambda: site.minirun("ps", "-aq").stdout == "", 15)
    assert site.minirun("network", "ls", "--format", "{{.Name}}").stdout.split() == ["bridge", "host", "none"]
    assert len(site.minirun("images", "-aq").stdout.split()) == 1


def suite(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "test_suite.py").write_text(HEAD + text)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return [sys.executable, "-m", "pytest", "-q", *PLUGINS, f"--rootdir={tmp_path}", str(tmp_path)]


def run(host: Host, tmp_path: Path, text: str, *flags: str) -> Any:
    return host.run([*suite(tmp_path, text), *flags], check=False, timeout=120, env=ENV)


def test_the_example_passes(town: Host) -> None:
    """examples/shop, as docs/testing.md says; the plugin is found by its entry point elsewhere."""
    shop = REPO / "examples/shop"
    argv = [sys.executable, "-m", "pytest", "-q", *PLUGINS, f"--rootdir={shop}", "-c", "/dev/null", str(shop)]
    done = town.run(argv, check=False, timeout=120, env={**ENV, "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_is_true(town: Host, tmp_path: Path) -> None:
    """The tests, the script and the commands that docs/testing.md prints."""
    page = (REPO / "docs/testing.md").read_text()
    first, fixtures, script, asynchronous, faults = re.findall(r"```python\n(.*?)```", page, re.S)
    (tmp_path / "test_page.py").write_text(f"{first}\n{fixtures}\n{faults}\ndef test_shared(cache, queue):\n    pass\n")
    argv = [sys.executable, "-m", "pytest", "-q", *PLUGINS, f"--rootdir={tmp_path}", str(tmp_path)]
    done = town.run(argv, check=False, timeout=60, env=ENV)
    assert "3 passed" in done.stdout, done.stdout + done.stderr
    town.run([sys.executable, "-c", script], timeout=60, env=ENV)
    assert town.run([sys.executable, "-c", asynchronous], timeout=60, env=ENV).stdout in ("0\n", "1\n")
    commands = re.findall(r"<!-- run -->\n```\n(.*?)```", page, re.S)[0]
    assert len(commands.splitlines()) == 2
    town.sh(f'PATH="{Path(MINIRUN).parent}:$PATH"\nset -e\n{commands}\nminirun ps --filter name=mine --quiet | grep .')


def test_the_plugin_is_an_entry_point() -> None:
    found = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    assert importlib.import_module(found["minirun"]).container


def test_faults_heal_with_their_block_and_with_the_test(town: Host, tmp_path: Path) -> None:
    """All of them; the last one is in force when the test process is killed, with containers that are not its own."""
    town.minirun("run", "-d", "--name", "stays", "busybox", "sleep", "1000")
    done = run(
        town,
        tmp_path,
        """
import signal
import time

def rules():
    return os.popen("nft list ruleset; tc qdisc").read()

def test_faults(container, network, host):
    net = network("back")
    db = container("busybox", HTTPD, name="db", networks=[net], ready=listening(80))
    web = container("busybox", ["sleep", "60"], name="web", networks=[net])
    before = rules()
    with net.loss(1), pytest.raises(UnreachableError, match="dropped by fault .*: loss 100%, in, on all cables"):
        assert_reaches(web, db, 80)
    with web.loss(1, direction="out"):
        assert_blocked(web, db, 80)
    with db.blackhole(80, "53/udp"):
        assert_blocked(web, db, 80)
        web.exec("ping", "-c", "1", db.address())
    with net.bandwidth(1_000_000), web.bandwidth(64_000, direction="in"):
        assert_reaches(web, db, 80)
        assert "rate 64Kbit" in rules() and "rate 1Mbit" in rules()
    with net.dns.answer("db", "192.0.2.9"):
        assert "192.0.2.9" in web.exec("nslookup", "db").stdout
    with net.dns.fail("db"):
        assert web.exec("nslookup", "db", check=False).code
    with db.connect(80) as connection, db.connect(80) as other:
        assert db.reset(connection) == 1
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        assert net.reset(port=80) == 1
    with db.pause():
        assert db.state().status == "paused"
        db.unpause()
    assert db.state().status == "running"
    try:
        with db.delay(10, jitter=1):
            assert_reaches(web, db, 80)
    except CommandError as error:
        assert "CONFIG_NET_SCH_NETEM" in error.text
    fault = net.partition(web, db)
    assert_blocked(web, db, 80)
    fault.heal()
    fault.heal()
    assert_reaches(web, db, 80)
    assert [line for line in rules().splitlines() if "counter" not in line] == [
        line for line in before.splitlines() if "counter" not in line
    ]
    os.system("$MINIRUN_BIN fault loss --percent 50 stays --owner-pid %d" % os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)
""",
        "-p",
        "no:xdist",
    )
    assert done.returncode == -signal.SIGKILL or done.returncode == 128 + signal.SIGKILL, done.stdout + done.stderr
    eventually(lambda: "fault" not in town.sh("nft list ruleset"), 10)
    assert town.minirun("ps", "-a", "--format", "{{.Names}}").stdout == "stays\n"
    town.minirun("rm", "-f", "stays")


def test_what_a_container_can_do(town: Host, tmp_path: Path) -> None:
    done = run(
        town,
        tmp_path,
        """
def test_container(container, network, tmp_path):
    net = network("back")
    web = container("busybox", HTTPD, name="web", ports=[80], env={"COLOR": "red blue"}, networks=[net],
                    ready=all_of(listening(80), log("^serving$"), http("/"), lambda web: "serving" in web.logs()))
    assert web.exec("sh", "-c", "echo $COLOR; cat", input="text").stdout == "red blue\\ntext"
    assert web.exec("sh", "-c", "echo no >&2; exit 3", check=False) == Output(3, "", "no\\n")
    with pytest.raises(CommandError, match="exit code 3"):
        web.exec("sh", "-c", "exit 3")
    for connect in (lambda: web.connect(80), lambda: web.host.client.connect("127.0.0.1", web.port(80), 5)):
        with connect() as channel:
            channel.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            assert channel.recv(100).startswith(b"HTTP/1.")
    (tmp_path / "in").write_text("words")
    web.copy_in(tmp_path / "in", "/tmp/in")
    web.copy_out("/tmp/in", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "words"
    client = container("busybox", ["sleep", "99"], networks=[net])
    assert "ping statistics" in client.exec("ping", "-c", "1", "web").stdout
    assert_reaches(client, web, 80)
    alone = container("busybox", ["sleep", "99"])
    assert_blocked(alone, web, 80)
    with pytest.raises(UnreachableError, match="does not reach web:80"):
        assert_reaches(alone, web, 80)
    with pytest.raises(ReachedError, match="reaches web:80, which was to be blocked"):
        assert_blocked(client, web, 80)
    web.restart()
    web.pause()
    assert web.state().status == "paused"
    web.unpause()
    web.kill()
    assert web.wait() == 137
    web.start()
    web.stop(0)
    assert str(web.state()) == "exited with 137"

def test_failures(container, host):
    with pytest.raises(NotReadyError) as caught:
        container("busybox", ["sh", "-c", "echo no space; exit 4"], ready=listening(80))
    assert "exit code 4" in str(caught.value) and "no space" in str(caught.value)
    (ended,) = [each for each in host.containers() if "exited with 4" in str(each.state())]
    assert ended.logs() == "no space\\n"  # it ran once
    with pytest.raises(NotReadyError, match="is false after 0.2 s"):
        container("busybox", ["sleep", "99"], ready=all_of(lambda each: False), timeout=0.2)
    with pytest.raises(StartError, match="nosuch"):
        container("busybox", ["nosuch"])
    with pytest.raises(ImageNotFoundError, match="images.load"):
        container("nosuch:1", flags=["--pull=never"])

def test_snapshot(container):
    db = container("busybox", ["sh", "-c", "[ -e /db ] || echo 1 >/db; echo up; sleep 99"], ready=log("up"))
    snapshot = db.snapshot()
    clones = [snapshot.run() for _ in range(3)]
    clones[0].exec("sh", "-c", "echo 2 >/db")
    assert [each.exec("cat", "/db").stdout for each in (db, *clones)] == ["1\\n", "2\\n", "1\\n", "1\\n"]

def test_build(host, tmp_path):
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM busybox\\nARG WORD\\nRUN echo $WORD > /word\\nCMD cat /word; sleep 99")
    image = host.images.build(tmp_path, WORD="built")
    assert image == host.images.build(tmp_path, WORD="built")
    built = host.run(image, ready=log("built"))
    built.remove()
    host.client.text("rmi", image)
    dockerfile.write_text("FRM x")
    with pytest.raises(CommandError, match="Dockerfile:1"):
        host.images.build(tmp_path)

def test_threads(host):
    made = []
    threads = [threading.Thread(target=lambda: made.append(host.run("busybox", ["sleep", "99"], ports=[80], name="x")))
               for _ in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len({each.port(80) for each in made}) == len({each.name for each in made}) == 6
""",
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_throwaway_host_is_apart(town: Host, tmp_path: Path) -> None:
    done = run(
        town,
        tmp_path,
        """
def test_throwaway(minirun, host):
    with minirun.run("busybox", HTTPD, ports=[80], ready=listening(80)) as web:
        with web.connect(80) as channel:
            channel.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            assert channel.recv(100).startswith(b"HTTP/1.")
        assert host.client.text("ps", "-q") == ""
        with pytest.raises(OSError):
            host.client.connect("127.0.0.1", web.port(80), 1)
""",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert town.sh("pgrep -f '[t]hrowaway-host' || true") == ""


def test_a_throwaway_host_ends_with_its_input(town: Host) -> None:
    holder = town.popen([MINIRUN, "system", "throwaway-host"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    pid = int(holder.stdout.readline())
    assert holder.stdout.readline() == b"ready\n"
    enter = ["nsenter", "-t", str(pid), "-m", "-u", "-i", "-n", "-p", "-C"]
    links = town.run([*enter, "ip", "-o", "link"]).stdout.splitlines()
    assert len(links) == 1, "the loopback device alone"
    holder.stdin.close()
    holder.stdin = None
    assert holder.wait(10) == 0
    assert town.sh(f"[ -d /proc/{pid} ] || echo gone") == "gone\n"


def test_the_workers_of_a_run_share_a_container(town: Host, tmp_path: Path) -> None:
    done = run(
        town,
        tmp_path,
        """
db = container_fixture("busybox", ["sleep", "99"], scope="run", name="db")
other = container_fixture("busybox", ["sleep", "99"], scope="session")

@pytest.mark.parametrize("number", range(6))
def test_shared(db, other, number, worker_id):
    print(f"DB={db.id} OTHER={other.id} {worker_id}")
    assert db.exec("true").code == 0
""",
        *("-p", "xdist", "-n", "2", "-rP"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("DB=")]
    assert len({line[0] for line in lines}) == 1
    assert len({line[1] for line in lines}) == len({line[2] for line in lines}) == 2


SHARED = """
import time

db = container_fixture("busybox", HTTPD, scope="run", name="db", ports=[80], ready=listening(80))

@pytest.mark.parametrize("number", range(8))
def test_shared(db, host, number, worker_id):
    with db.connect(80) as channel:
        channel.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        assert channel.recv(100).startswith(b"HTTP/1.")
    assert db.exec("true").code == 0
    assert db.host.client.pid != host.client.pid or not host.client.pid
    with open(os.environ["SEEN"], "a") as seen:
        seen.write(f"{db.id} {worker_id}\\n")
    if os.environ.get("SLEEP"):
        open(os.environ["SEEN"] + f".{os.getpid()}", "w")
        time.sleep(60)
"""


def test_the_workers_of_a_run_share_a_throwaway_host(town: Host, tmp_path: Path) -> None:
    """The container is in none of the workers' own hosts, and the run's host ends with the run."""
    seen = tmp_path / "seen"
    argv = [*suite(tmp_path, SHARED), "-p", "xdist", "-n", "2", "--minirun-host=throwaway"]
    done = town.run(argv, check=False, timeout=120, env={**ENV, "SEEN": str(seen)})
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in seen.read_text().splitlines()]
    assert (len(lines), len({line[0] for line in lines}), len({line[1] for line in lines})) == (8, 1, 2)
    eventually(lambda: town.sh("pgrep -f '[t]hrowaway-host' || true") == "", 10)


def test_a_run_in_another_pid_namespace_keeps_its_records(town: Host) -> None:
    """They are in the same /tmp, and their processes cannot be seen."""
    script = """
import os
from minirun.testing.shared import Run
with Run(os.getpid(), 60)._record("one") as path:
    path.touch()
print(path, flush=True)
input()
print(path.exists())
"""
    argv = [sys.executable, "-c", script]
    first = town.popen(argv, env=ENV, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert first.stdout is not None
    assert first.stdout.readline()
    other = town.run(["unshare", "--fork", "--pid", "--mount-proc", *argv], input="\n", env=ENV)
    assert first.communicate(b"\n")[0].decode() == other.stdout.splitlines()[1] + "\n" == "True\n"


def test_a_shared_throwaway_host_outlives_its_maker_and_ends_with_the_run(town: Host, tmp_path: Path) -> None:
    """A worker is killed, and then the process of the run."""
    argv = [*suite(tmp_path, SHARED), "-p", "xdist", "-n", "2", "--minirun-host=throwaway"]
    env = {**ENV, "SEEN": str(tmp_path / "seen"), "SLEEP": "1"}
    process = town.popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: len(list(tmp_path.glob("seen.*"))) == 2, 60)
    holders = town.sh("pgrep -f '[t]hrowaway-host' | xargs ps -o ppid= -p").split()
    (maker,) = (path.suffix[1:] for path in tmp_path.glob("seen.*") if holders.count(path.suffix[1:]) == 2)
    parent = town.sh(f"ps -o ppid= -p {maker}").strip()
    town.sh(f"kill -9 {maker}")
    eventually(lambda: len(list(tmp_path.glob("seen.*"))) == 3, 20)  # the worker in its place has found the container
    assert len({line.split()[0] for line in (tmp_path / "seen").read_text().splitlines()}) == 1
    town.sh(f"kill -9 {parent}")
    eventually(lambda: town.sh("pgrep -f '[t]hrowaway-host' || true") == "", 10)
    process.send_signal(signal.SIGKILL)


def test_a_failing_test_reports_its_containers(town: Host, tmp_path: Path) -> None:
    text = """
def test_failing(container):
    web = container("busybox", ["sh", "-c", "echo out of paper; exit 3"], name="printer", ports=[80])
    web.wait()
    other = container("busybox", ["sleep", "99"])
    client = container("busybox", ["sleep", "99"])
    client.exec("ping", "-c", "1", other.address())
    assert not "right"

def test_passing(container):
    container("busybox", ["sleep", "99"], name="fine")

def test_not_ready(container):
    container("busybox", ["sh", "-c", "echo out of ink; sleep 99"], ready=listening(80), timeout=0.3)
"""
    done = run(town, tmp_path, text, "--minirun-keep", "--minirun-pcap=fail")
    assert done.returncode == 1
    for said in (": exited with 3\nout of paper\n", "minirun: map", "minirun0", "get in with", "exec -it printer-"):
        assert said in done.stdout, done.stdout
    assert "does not listen on 80/tcp; it listens on nothing" in done.stdout
    assert "out of ink" in done.stdout
    files = {path.name.partition("-")[0]: path for path in tmp_path.glob("*.pcap")}
    assert "busybox" in files
    assert "fine" not in files
    assert max(path.stat().st_size for path in tmp_path.glob("busybox-*.pcap")) > 200, "it has the ping"


def test_a_failed_connection_is_explained(town: Host, tmp_path: Path) -> None:
    text = """
import socket
import urllib.request

LOCAL = ["httpd", "-f", "-p", "127.0.0.1:80"]

def test_published(container):
    web = container("busybox", LOCAL, name="local", ports=[80])
    urllib.request.urlopen(f"http://127.0.0.1:{web.port(80)}")

def test_unpublished(container):
    container("busybox", LOCAL, name="silent").connect(81)

def test_another_failure(container):
    container("busybox", LOCAL, name="other", ports=[80])
    open("/nonexistent")
"""
    done = run(town, tmp_path, text)
    assert done.returncode == 1
    assert done.stdout.count("minirun: connections") == 2, done.stdout
    reason = "its program listens only on 127.0.0.1 inside the container"
    assert re.search(rf"the host to 127.0.0.1:\d+, which is local:80: arrived at local.*{reason}", done.stdout), (
        done.stdout
    )
    assert "make the program listen on 0.0.0.0" in done.stdout
    assert "the host to silent:81: arrived at silent" in done.stdout
    assert "no program listens on port 81" in done.stdout


def test_nothing_is_left_of_a_run_that_was_killed(town: Host, tmp_path: Path) -> None:
    """pytest itself, and one of its workers."""
    text = """
db = container_fixture("busybox", ["sleep", "99"], scope="run")

@pytest.mark.parametrize("number", range(2))
def test_sleeping(db, container, network, host, number):
    each = container("busybox", ["sleep", "99"], networks=[network()], ports=[80])
    each.snapshot()
    host.images.names()
    open(f"{os.environ['READY']}/{os.getpid()}", "w")
    each.wait()
"""
    (tmp_path / "ready").mkdir()
    argv = [*suite(tmp_path, text), "-p", "xdist", "-n", "2"]
    env = {**ENV, "READY": str(tmp_path / "ready")}
    process = town.popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: len(list((tmp_path / "ready").iterdir())) == 2, 40)
    assert len(town.minirun("ps", "-q").stdout.split()) == 3
    worker, other = (int(path.name) for path in (tmp_path / "ready").iterdir())
    town.sh(f"kill -9 {worker}")
    eventually(lambda: len(town.minirun("ps", "-q").stdout.split()) == 2, 15)
    parent = town.sh(f"ps -o ppid= -p {other}").strip()
    town.sh(f"kill -9 {parent}")
    eventually(lambda: town.sh("ls /var/lib/minirun/containers") == "", 15)
    process.send_signal(signal.SIGKILL)
