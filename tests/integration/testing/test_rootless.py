"""minirun.testing as an ordinary user: the fixtures, the example and the page's first test, in labs of their own."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Host, eventually
from tests.harness.host import REPO
from tests.harness.in_lab import USER, as_user, home
from tests.integration.testing.test_suites import ENV, HEAD, PLUGINS, SHARED


class Account:
    """A user who is not root, on a throwaway host."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host = host
        self.home = directory

    def python(self, *words: str, **kwargs: Any) -> Any:
        argv = as_user([sys.executable, "-B", *words], self.home)
        return self.host.run(argv, check=False, timeout=120, env=ENV, **kwargs)

    def start(self, script: str) -> "subprocess.Popen[bytes]":
        argv = as_user([sys.executable, "-B", "-c", script], self.home)
        return self.host.popen(argv, env=ENV, stdout=subprocess.PIPE)

    def processes(self) -> str:
        return str(self.host.sh(f"ps -wwu {USER} -o pid=,args= || true"))

    def pids(self) -> list[str]:
        return [line.split()[0] for line in self.processes().splitlines()]


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with Host(own_server=True) as host, home() as directory:
        yield Account(host, directory)


def test_the_first_test_and_the_example_pass(account: Account) -> None:
    """No option: the fixtures are in a lab, and published ports are reached from the test process."""
    first = re.findall(r"```python\n(.*?)```", (REPO / "docs/testing.md").read_text(), re.S)[0]
    (account.home / "test_page.py").write_text(first)
    for path in (REPO / "examples/shop").glob("*"):
        if path.is_file():
            (account.home / path.name).write_text(path.read_text())
    done = account.python(
        "-m", "pytest", "-q", *PLUGINS, f"--rootdir={account.home}", "-c", "/dev/null", str(account.home)
    )
    assert "8 passed" in done.stdout, done.stdout + done.stderr
    assert account.processes() == ""


def test_the_workers_of_a_run_share_a_lab(account: Account) -> None:
    """Its container is reached from each worker, and the lab ends with the run."""
    path = account.home / "shared"
    path.mkdir()
    (path / "test_suite.py").write_text(HEAD + SHARED.replace('os.environ["SEEN"]', f'"{account.home}/seen"'))
    (account.home / "seen").touch()
    (account.home / "seen").chmod(0o666)
    done = account.python(
        *("-m", "pytest", "-q", *PLUGINS, "-p", "xdist", "-n", "2", f"--rootdir={path}", "-c", "/dev/null", str(path))
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in (account.home / "seen").read_text().splitlines()]
    assert (len(lines), len({line[0] for line in lines}), len({line[1] for line in lines})) == (8, 1, 2)
    eventually(lambda: account.processes() == "", 10)


def test_what_a_rootless_host_is(account: Account) -> None:
    script = r"""
import os, socket, threading
from pathlib import Path
from minirun.testing import *
try:
    Host().run("busybox")
except NoPermissionError as error:
    assert "Host.rootless()" in str(error)
with Host.throwaway() as host, Host.rootless() as other:
    back = host.network("back")
    echo = host.run("busybox", ["nc", "-ll", "-p", "7", "-e", "cat"], name="echo", ports=[7, "9/udp"], networks=[back],
                    ready=listening(7))
    client = host.run("busybox", ["sleep", "99"], networks=[back])
    assert_reaches(client, echo, 7)
    assert other.client.text("ps", "-q") == "" and client.exec("id", "-u").stdout == "0\n"
    os.chdir(os.environ["HOME"])
    Path("in").write_text("here")
    echo.copy_in("in", "/tmp/in")
    assert echo.snapshot().run().exec("cat", "/tmp/in").stdout == "here"
    made, big = echo.port(7), bytes(range(256)) * 8000  # more than all buffers on the way
    with socket.create_connection(("127.0.0.1", made), 10) as channel:
        threading.Thread(target=lambda: (channel.sendall(big), channel.shutdown(socket.SHUT_WR))).start()
        got = b""
        while data := channel.recv(65536):
            got += data
        assert got == big
    try:
        echo.port(9, "udp")
    except CommandError as error:
        assert "only TCP" in str(error)
    try:
        client.connect(80)
    except ConnectionRefusedError:
        pass
    echo.kill(); echo.wait()
    with socket.create_connection(("127.0.0.1", made), 10) as channel:
        try:
            channel.recv(1)
            raise SystemExit("not reset")
        except ConnectionResetError:
            pass
host.close()
try:
    socket.create_connection(("127.0.0.1", made), 1)
    raise SystemExit("still forwarded")
except ConnectionRefusedError:
    print("all of it")
"""
    done = account.python("-c", script)
    assert done.stdout == "all of it\n", done.stdout + done.stderr
    assert account.processes() == ""


def test_it_ends_with_its_process(account: Account) -> None:
    """Killed, while a child that it has forked lives on with all of its descriptors."""
    script = """
import os, time
from minirun.testing import Host
host = Host.rootless()
host.run("busybox", ["sleep", "99"])
child = os.fork()
if not child:
    time.sleep(99)
print(os.getpid(), child, flush=True)
time.sleep(99)
"""
    process = account.start(script)
    assert process.stdout is not None
    pid, child = process.stdout.readline().split()
    assert "sleep 99" in account.processes()
    account.host.sh(f"kill -9 {pid.decode()}")
    eventually(lambda: account.pids() == [child.decode()], 10)
    account.host.sh(f"kill -9 {child.decode()}")
    process.wait(10)


def test_a_machine_without_labs_says_why(account: Account) -> None:
    """In a user namespace of the test's own, whose setting this is."""
    script = "from minirun.testing import Host; Host.rootless()"
    inner = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"]
    limited = [*inner, "sh", "-c", 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"', "sh"]
    argv = as_user([*limited, sys.executable, "-B", "-c", script], account.home)
    done = account.host.run(argv, check=False, env=ENV)
    assert "HostError" in done.stderr
    assert "user.max_user_namespaces is 0" in done.stderr
