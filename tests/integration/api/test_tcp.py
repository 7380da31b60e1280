"""The service by TCP, with and without TLS, and as systemd starts it."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.harness import Host, eventually
from tests.harness.debian_packages import DOCKER, overlay_packages
from tests.harness.host import MINIRUN, REPO

_KEYS = REPO / "tests/harness/certificates"
_TLS = ["--tlscacert", f"{_KEYS}/ca.crt", "--tlscert", f"{_KEYS}/server.pem", "--tlskey", f"{_KEYS}/server.pem"]
_CLIENT = ["--tlscacert", f"{_KEYS}/ca.crt", "--tlscert", f"{_KEYS}/client.pem", "--tlskey", f"{_KEYS}/client.pem"]
# What systemd does for a socket unit: listen, and pass descriptor 3 to the service with its pid in LISTEN_PID.
_AS_SYSTEMD = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.bind("/run/binding.sock")
sock.listen()
os.rename("/run/binding.sock", "/run/passed.sock")
os.dup2(sock.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "MINIRUN_FORKSERVER": "off"}
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Host() as made:
        overlay_packages(made, DOCKER)
        made.minirun("run", "--rm", "busybox", "true")
        yield made


def _serve(host: Host, *words: str) -> "subprocess.Popen[bytes]":
    return host.popen([MINIRUN, "system", "service", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _relays(host: Host) -> int:
    """Processes of the service, without the one that started it."""
    return len(host.sh("pgrep -f '[s]ystem service' || true").split())


def test_with_tls_only_those_who_have_a_certificate_are_served(host: Host) -> None:
    address = "tcp://127.0.0.1:2376"
    _serve(host, *_TLS, address)
    docker = ["docker", "-H", address, "--tlsverify", *_CLIENT]
    eventually(lambda: host.run([*docker, "version"], check=False).returncode == 0, 20)
    before = min(_relays(host) for _ in range(50))  # that of the client before may end a moment later
    sent = "x" * 300_000
    # Streams both ways, of which the client closes one: `cat` ends when its input does.
    assert host.run([*docker, "run", "-i", "--rm", "--net=none", "busybox", "cat"], input=sent).stdout == sent
    for certificates in ([], ["--cert", f"{_KEYS}/expired.pem"]):
        asked = ["curl", "-sS", "--cacert", f"{_KEYS}/ca.crt", *certificates, "https://127.0.0.1:2376/_ping"]
        refused = host.run(asked, check=False)
        assert (refused.stdout, "alert" in refused.stderr) == ("", True), refused.stderr
    plain = host.run(["curl", "-sS", "http://127.0.0.1:2376/_ping"], check=False)
    assert plain.returncode
    following = host.popen([*docker, "events", "--since", "1h", "--filter", "type=volume"], stdout=subprocess.PIPE)
    host.run([*docker, "volume", "create", "seen"])
    assert following.stdout is not None
    assert b"volume create seen" in following.stdout.readline()
    assert _relays(host) > before
    host.sh("pkill -f '[d]ocker.* events'")
    eventually(lambda: _relays(host) == before)
    host.sh("pkill -f '[s]ystem service'")


def test_without_tls_it_is_for_this_host_and_no_web_page(host: Host) -> None:
    _serve(host, "tcp://127.0.0.1:2375")  # a bare machine may have no name for it
    docker = ["docker", "-H", "tcp://127.0.0.1:2375"]
    eventually(lambda: host.run([*docker, "version"], check=False).returncode == 0, 20)
    assert host.run([*docker, "run", "--rm", "--net=none", "busybox", "echo", "hi"]).stdout == "hi\n"

    def status(*words: str) -> str:
        asked = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *words, "http://127.0.0.1:2375/info"]
        return str(host.run(asked).stdout)

    headers = ("Accept: */*", "Origin: http://a.example", "Host: a.example:2375", "Host: [::1]:2375")
    assert [status("-H", header) for header in headers] == ["200", "403", "403", "200"]
    host.sh("pkill -f '[s]ystem service'")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tcp://0.0.0.0:2375"], "the API is not served at 0.0.0.0 without TLS"),
        (["tcp://[::]:2375"], "the API is not served at :: without TLS"),
        (["tcp://127.0.0.1"], "invalid address"),
        (["tcp://127.0.0.1:99999"], "invalid address"),
        ([*_TLS[:4], "tcp://0.0.0.0:2376"], "--tlscacert, --tlscert and --tlskey are needed together"),
        ([*_TLS, "unix:///run/x.sock"], "TLS is for tcp://HOST:PORT"),
        ([*_TLS[:5], f"{_KEYS}/ca.crt", "tcp://0.0.0.0:2376"], "cannot use the certificates"),
        (["--group", "1000"], "only root can enter /run/minirun"),
        (["fd://"], "fd:// is for a service that systemd starts"),
    ],
)
def test_what_is_not_served(host: Host, words: list[str], says: str) -> None:
    done = host.minirun("system", "service", *words, check=False)
    assert (done.returncode, says in done.stderr) == (1, True), done.stderr
    assert host.sh("ss -Hltn 'sport = :2376 or sport = :2375'") == ""


def test_a_service_that_systemd_starts_ends_when_it_is_idle(host: Host) -> None:
    unit = (REPO / "packaging/minirun-api.service").read_text()
    words = next(line for line in unit.splitlines() if line.startswith("ExecStart=")).split()[1:]
    words[words.index("--time") + 1] = "1"
    service = host.popen([sys.executable, "-c", _AS_SYSTEMD, MINIRUN, *words], stderr=subprocess.DEVNULL)
    eventually(lambda: host.sh("ls /run/passed.sock", check=False))
    assert host.run(["curl", "-s", "--unix-socket", "/run/passed.sock", "http://d/_ping"]).stdout == "OK"
    assert service.wait(20) == 0
    assert host.sh("ls /run/passed.sock") == "/run/passed.sock\n", "the socket is systemd's"
