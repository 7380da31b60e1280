"""What is no server, what is no launcher, and a server that does not answer: the command runs all the same, soon."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.harness import eventually
from tests.integration.forkserver.served import SERVER, Outcome, ServedHost, outcome_of

_CLIENT = """
import array, os, socket, struct, sys, time
channel = socket.socket(socket.AF_UNIX)
channel.settimeout(5)
channel.connect(sys.argv[1])

def header(body=0, files=3, words=1, variables=0, magic=b"minirun1"):
    return struct.pack("=8sIIIIQQ", magic, body, files, words, variables, 0, 0)

def send(data, fds=()):
    try:
        channel.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused already

def reply():
    # all that comes: HELLO, and PLAIN's text
    data = b""
    try:
        while more := channel.recv(1 << 16):
            data += more
    except ConnectionResetError:
        pass
    print(data)
"""
PRIVATE = "/run/minirun is not a directory that only root can enter"


def client(served: ServedHost, code: str, *prefix: str) -> str:
    """Run Python code on the host that speaks with the server as a launcher does."""
    return str(served.host.run(client_command(served, code, *prefix)).stdout)


def client_command(served: ServedHost, code: str, *prefix: str) -> list[str]:
    path = next((served.run_directory / "minirun").glob("*.socket")).name
    return [*prefix, sys.executable, "-ISc", _CLIENT + code, f"/run/minirun/{path}"]


def runs_soon(served: ServedHost, way: str, seconds: float = 8) -> Outcome:
    start = time.monotonic()
    done = served.run("run", "--rm", "--net=none", "busybox", "sh", "-c", "echo done; exit 4")
    assert (done.way, done.code, done.output) == (way, 4, b"done\n")
    assert time.monotonic() - start < seconds
    return done


@pytest.mark.parametrize(
    ("code", "answer"),
    [  # E is the status of the worker
        ("send(header(100 << 20)); reply()", "it is not a request of this version"),
        ("send(header(magic=b'minirun0')); reply()", "it is not a request of this version"),
        ("send(header(files=2)); reply()", "it is not a request of this version"),
        ("send(header(files=1 << 31)); reply()", "it is not a request of this version"),
        ("send(header(body=1)); channel.shutdown(1); reply()", "it ends early"),
        ("send(header(2), [0, 0, 0]); send(b'a\\0'); reply()", "no process was handed over"),
        ("send(header(1), [0, 0, 0]); send(b'a'); reply()", "its parts do not fit together"),
        ("send(header(2, words=0), [0, 0, 0]); send(b'a\\0'); reply()", "its parts do not fit together"),
        ("send(header(2), [0, 0, 0, 0]); send(b'a\\0'); reply()", "its parts do not fit together"),
        ("send(header(2), [os.pidfd_open(1)] * 3); send(b'a\\0'); reply()", "it speaks for another process"),
        ("send(b'x'); channel.shutdown(1); reply()", "b'E"),
        ("channel.shutdown(1); reply()", "b'E"),
        ("send(header(2), [os.pidfd_open(os.getpid()), 0, 0]); send(b'a\\0'); reply()", "Not a directory"),
    ],
)
def test_what_is_no_request(served: ServedHost, code: str, answer: str) -> None:
    server = served.server()
    assert answer in client(served, code)
    assert served.server() == server
    assert served.way() == SERVER


def test_a_request_of_100_megabytes(served: ServedHost) -> None:
    code = """
try:
    for _ in range(100):
        channel.sendall(os.urandom(1 << 20))
except OSError as error:
    print(type(error).__name__)
"""
    assert client(served, code).strip() in ("BrokenPipeError", "ConnectionResetError")
    assert served.way() == SERVER


def test_many_files_and_no_end(served: ServedHost) -> None:
    """A body that brings files with each byte: they end at the limit, and only for its own worker."""
    code = """
fds = [os.dup(0) for _ in range(250)]
send(header(15 << 20, files=4000), fds)
try:
    for _ in range(400):
        send(b"x", fds)
    reply()
except OSError as error:
    print(type(error).__name__)
"""
    client(served, code)
    assert served.way() == SERVER


def test_half_a_request(served: ServedHost) -> None:
    """It is waited for in a worker of its own, and not forever."""
    halves = ["time.sleep(60)", "send(b'min'); time.sleep(60)", "send(header(1000), [0, 0, 0]); time.sleep(60)"]
    processes = [served.host.popen(client_command(served, code)) for code in halves]
    server = served.server()
    eventually(lambda: len(children(served, server)) >= 4)
    runs_soon(served, SERVER)
    eventually(lambda: len(children(served, server)) == 1, 15)
    assert [process.poll() for process in processes] == [None] * 3


def children(served: ServedHost, pid: int) -> list[int]:
    """The one that waits for the next command, and those that have one."""
    return [one for one in served.processes_with("minirun") if served.parent(one) == pid]


def waiting_for(served: ServedHost, container: str) -> list[int]:
    return served.processes_with(f"wait\0{container}")


def test_a_launcher_that_gives_up_before_it_says_go(served: ServedHost) -> None:
    code = """
root = os.open("/", os.O_RDONLY)
send(header(10, files=3, words=2), [os.pidfd_open(os.getpid()), root, root])
send(b"x\\0version\\0")
print(channel.recv(1), channel.recv(1))
"""
    assert client(served, code) == "b'H' b'R'\n"
    eventually(lambda: len(children(served, served.server())) == 1)
    assert served.way() == SERVER


def test_data_on_the_connection_ends_no_command(served: ServedHost) -> None:
    """Only the launcher's end does, by SIGHUP: the kernel may send a signal for its last word after that was read."""
    code = """
import time
root, null = os.open("/", os.O_RDONLY), os.open("/dev/null", os.O_RDWR)
words = b"minirun run --rm --net=none busybox sleep 0.5".replace(b" ", b"\\0") + b"\\0"
body = struct.pack("3I", 0, 1, 2) + words
send(header(len(body), files=6, words=7), [os.pidfd_open(os.getpid()), root, root, null, null, null])
send(body)
assert channel.recv(1) == b"H"
ready, fds, _, _ = socket.recv_fds(channel, 128, 3)
send(b"G")
for _ in range(10):
    time.sleep(0.02)
    send(b"G")
kind, value = struct.unpack_from("=c3xi", channel.recv(128))
print(kind, value)
"""
    assert client(served, code) == "b'D' 0\n"


def test_a_peer_that_is_not_root(served: ServedHost) -> None:
    """It cannot reach the socket; and if it could, it would not be listened to."""
    code = "send(header(100 << 20)); reply()"
    command = client_command(served, code, "setpriv", "--reuid=1000", "--clear-groups")
    assert "PermissionError" in served.host.run(command, check=False).stderr
    served.host.sh("chmod 755 /run/minirun; chmod 666 /run/minirun/*.socket")
    try:
        assert served.host.run(command).stdout == "b''\n"
    finally:
        served.host.sh("chmod 700 /run/minirun; chmod 600 /run/minirun/*.socket")
    assert served.way() == SERVER


def test_a_peer_that_cannot_be_seen(served: ServedHost) -> None:
    """A process outside of the server's pid namespace has no pid there, so nothing of it can be copied."""
    socket_path = next((served.run_directory / "minirun").glob("*.socket"))
    code = _CLIENT + "send(header(100 << 20)); reply()"
    argv = [sys.executable, "-ISc", code, str(socket_path)]
    assert subprocess.run(argv, capture_output=True, check=True).stdout == b"b''\n"


@contextmanager
def aside(served: ServedHost) -> Iterator[None]:
    """Meanwhile the server's directory has another name."""
    served.host.sh("mv /run/minirun /run/aside")
    try:
        yield
    finally:
        served.host.sh("rm -rf /run/minirun; mv /run/aside /run/minirun")


@pytest.mark.parametrize(
    "script",
    [
        "cp -a /run/aside /run/minirun; chmod 750 /run/minirun",
        "mkdir -m 777 /run/minirun",
        "cp -a /run/aside /run/minirun; chown 1000 /run/minirun",
        "ln -s /run/aside /run/minirun",
        "touch /run/minirun",
    ],
)
def test_a_directory_that_others_could_enter(served: ServedHost, script: str) -> None:
    with aside(served):
        served.host.sh(script)
        runs_soon(served, PRIVATE)
        pids = served.processes_with("minirun-forkserver")
        assert len([pid for pid in pids if served.parent(pid) not in pids]) == 1  # no other server
    runs_soon(served, SERVER)


def test_a_socket_of_somebody_else(served: ServedHost) -> None:
    listen = """
import socket, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
channel, _ = listener.accept()
print(channel.recv(100), flush=True)
"""
    name = next((served.run_directory / "minirun").glob("*.socket")).name
    with aside(served):
        served.host.sh("mkdir -m 777 /run/minirun")
        argv = ["setpriv", "--reuid=1000", "--clear-groups", sys.executable, "-ISc", listen, f"/run/minirun/{name}"]
        process = served.host.popen(argv, stdout=-1)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        served.host.sh("chmod 700 /run/minirun")
        runs_soon(served, "what listens there is not root's")
        assert process.stdout.readline() == b"b''\n"  # it was told nothing


def test_a_server_that_never_answers(served: ServedHost) -> None:
    """What listens is root's, and stopped: a command waits a moment and goes on alone."""
    listen = "import socket, sys, time; a = socket.socket(socket.AF_UNIX); a.bind(sys.argv[1]); a.listen()"
    listen += "; print(flush=True); time.sleep(60)"
    name = next((served.run_directory / "minirun").glob("*.socket")).name
    with aside(served):
        served.host.sh("mkdir -m 700 /run/minirun; cp -p /run/aside/*.code /run/minirun")
        process = served.host.popen([sys.executable, "-ISc", listen, f"/run/minirun/{name}"], stdout=-1)
        assert process.stdout is not None
        process.stdout.readline()
        pid = served.processes_with(listen)[0]
        served.send("STOP", pid)
        eventually(lambda: served.state(pid) == "T")
        runs_soon(served, "it does not answer", 5)
        served.send("KILL", pid)


def test_a_stopped_server(served: ServedHost) -> None:
    """The next commands go on alone, and none hangs at its end."""
    server = served.server()
    started = served.start("run", "--rm", "--net=none", "--name", "before", "busybox", "sh", "-c", "sleep 2; exit 6")
    eventually(lambda: served.processes_with("minirun-init") or served.processes_with("sleep 2"))
    served.send("STOP", server)
    try:
        runs_soon(served, "it does not answer")
        runs_soon(served, "it does not answer")
        assert outcome_of(started, 8).code == 6
    finally:
        served.send("CONT", server)
    eventually(lambda: served.way() == SERVER)


def test_a_launcher_that_gives_up_without_reading(served: ServedHost) -> None:
    """Its end resets the connection. It has started Python itself: the worker has nothing to say on its terminal."""
    code = """
root = os.open("/", os.O_RDONLY)
send(header(14, files=4, words=2), [os.pidfd_open(os.getpid()), root, root, 2])
send(b"\\2\\0\\0\\0" + b"x\\0version\\0")
print(channel.recv(1), channel.recv(1))
"""
    done = served.host.run(client_command(served, code))
    assert (done.stdout, done.stderr) == ("b'H' b'R'\n", "")
    assert served.way() == SERVER


def test_a_worker_that_ends_by_a_signal_while_the_server_is_stopped(served: ServedHost) -> None:
    assert served.run("run", "-d", "--name", "awaited", "--net=none", "busybox", "sleep", "1000").code == 0
    process = served.start("wait", "awaited")
    worker = eventually(
        lambda: next(
            iter(w for w in children(served, served.server()) if w in served.processes_with("wait\0awaited")), 0
        )
    )
    time.sleep(0.3)
    served.send("STOP", served.server())
    try:
        served.send("TERM", worker)
        assert outcome_of(process, 10).code in (-9, -15)
    finally:
        served.send("CONT", served.server())
    served.run("rm", "-f", "awaited")


def test_a_stopped_worker_that_waits(served: ServedHost) -> None:
    """Somebody stops it by a name that is too broad: launchers would wait for it."""
    waiting = eventually(served.waiting)[0]
    served.send("STOP", waiting)
    runs_soon(served, SERVER)
    assert not served.state(waiting)
