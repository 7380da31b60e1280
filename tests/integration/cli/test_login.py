"""minirun login and logout, against Debian's docker-registry with a password, as a person or a script types them."""

import json
import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Host, Terminal, eventually
from tests.harness.false_registry import debian_registry
from tests.harness.host import MINIRUN

SERVER = "127.0.0.1:5000"
_HELPER = """#!/bin/sh
read -r line
echo "$1 $line" >>"$0.log"
case $1 in
get) cat "$0.kept" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
store) echo "$line" >"$0.kept" ;;
erase) rm -f "$0.kept" ;;
esac
"""


@pytest.fixture(scope="module")
def registry_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces")
    with Host() as made, debian_registry(tmp_path_factory.mktemp("registry"), made.popen, 5000, password=True):
        yield made


class Person:
    """Somebody on the host, with a configuration of Docker."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host, self.config = host, directory / "docker" / "config.json"
        self.env = {**os.environ, "DOCKER_CONFIG": str(self.config.parent), "PATH": f"{directory}:{os.environ['PATH']}"}

    def types(self, *words: str, stdin: str = "") -> Any:
        return self.host.minirun(*words, env=self.env, input=stdin, check=False)

    def has(self, data: Any) -> None:
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(data if isinstance(data, str) else json.dumps(data))

    @property
    def kept(self) -> Any:
        return json.loads(self.config.read_text())


@pytest.fixture
def person(registry_host: Host, tmp_path: Path) -> Person:
    return Person(registry_host, tmp_path)


def test_a_script_logs_in_and_out(person: Person) -> None:
    done = person.types("login", "-u", "me", "--password-stdin", SERVER, stdin="sesame\r\n")
    assert (done.returncode, done.stdout) == (0, "Login Succeeded\n"), done.stderr
    assert f"WARNING! Your credentials are stored unencrypted in '{person.config}'." in done.stderr
    assert person.kept == {"auths": {SERVER: {"auth": "bWU6c2VzYW1l"}}}
    assert [stat.S_IMODE(path.stat().st_mode) for path in (person.config, person.config.parent)] == [0o600, 0o700]
    done = person.types("login", f"https://{SERVER}/v2/")
    assert (done.returncode, done.stdout) == (0, "Login Succeeded\n")
    assert "Authenticating with existing credentials... [Username: me]" in done.stderr
    done = person.types("logout", SERVER)
    assert (done.returncode, done.stdout) == (0, f"Removing login credentials for {SERVER}\n")
    assert person.kept == {"auths": {}}
    assert person.types("logout").stdout == "Removing login credentials for https://index.docker.io/v1/\n"


@pytest.mark.parametrize(
    ("words", "stdin", "says"),
    [
        (
            ["-u", "me", "-p", "wrong", SERVER],
            "",
            f'Get "http://{SERVER}/v2/": unauthorized: incorrect username or pass',
        ),
        (["--username", "you", "--password", "sesame", SERVER], "", "unauthorized: incorrect username or password"),
        (["-u", "me", "-p", "x", "127.0.0.1:9"], "", "dial tcp 127.0.0.1:9: connect: connection refused"),
        (
            ["-u", "me", "-p", "x", "registry.invalid"],
            "",
            'Get "https://registry.invalid/v2/": dial tcp: lookup registry',
        ),
        (["-u", "me", "-p", "x", "a b"], "", "invalid registry 'a b'"),
        (["-u", "", SERVER], "", "username is empty"),
        (["-u", "me", "-p", "", SERVER], "", "password is empty"),
        (["-u", "me", "--password-stdin", SERVER], "\n", "password is empty"),
        (["--password-stdin", SERVER], "sesame", "the --password-stdin option requires --username to be set"),
        (["-u", "me", "-p", "x", "--password-stdin"], "", "cannot specify both --password and --password-stdin"),
        ([SERVER], "", "Cannot perform an interactive login from a non TTY device"),
        (["-u", "me"], "sesame", "Cannot perform an interactive login from a non TTY device"),
        (["a", "b"], "", "'minirun login' requires at most 1 argument"),
    ],
)
def test_what_cannot_be(person: Person, words: list[str], stdin: str, says: str) -> None:
    done = person.types("login", *words, stdin=stdin)
    assert says in done.stderr
    assert (done.returncode, done.stdout, person.config.exists()) == (1, "", False)


def test_a_person_is_asked(person: Person) -> None:
    os.environ["DOCKER_CONFIG"] = person.env["DOCKER_CONFIG"]
    try:
        with Terminal(person.host, "login", SERVER) as terminal:
            terminal.until(b"Username: ")
            terminal.type(b"me\n")
            terminal.until(b"Password: ")
            terminal.type(b"sesame\n")
            assert b"sesame" not in terminal.until(b"Login Succeeded")
            assert terminal.wait() == 0
        assert person.kept["auths"][SERVER] == {"auth": "bWU6c2VzYW1l"}
        person.has({"auths": {SERVER: {"auth": "bWU6d3Jvbmc="}}, "other": 1})
        with Terminal(person.host, "login", SERVER) as terminal:
            terminal.until(b"Login did not succeed, error: ")
            terminal.until(b"Username (me): ")
            terminal.type(b"\n")
            terminal.until(b"Password: ")
            terminal.type(b"\x03")
            assert terminal.wait() == 130
            assert terminal.settings() == terminal.before
        assert person.kept == {"auths": {SERVER: {"auth": "bWU6d3Jvbmc="}}, "other": 1}
    finally:
        del os.environ["DOCKER_CONFIG"]


def test_a_credential_helper_keeps_them(person: Person, tmp_path: Path) -> None:
    helper = tmp_path / "docker-credential-mine"
    helper.write_text(_HELPER)
    helper.chmod(0o755)
    person.has({"credHelpers": {SERVER: "mine"}, "credsStore": "lost"})
    done = person.types("login", "-u", "me", "-p", "sesame", SERVER)
    assert (done.returncode, done.stdout) == (0, "Login Succeeded\n"), done.stderr
    assert "stored unencrypted" not in done.stderr
    assert person.kept["auths"] == {SERVER: {}}
    assert "existing credentials... [Username: me]" in person.types("login", SERVER).stderr
    assert person.types("logout", SERVER).returncode == 0
    kept = '{"ServerURL": "127.0.0.1:5000", "Username": "me", "Secret": "sesame"}'
    asked = (tmp_path / "docker-credential-mine.log").read_text().splitlines()
    assert asked == [f"store {kept}", f"get {SERVER}", f"erase {SERVER}"]
    done = person.types("login", "-u", "me", "-p", "x", "127.0.0.1:9")
    assert "connection refused" in done.stderr  # nothing is kept, so that the other helper is not missed
    done = person.types("logout", "127.0.0.1:9")
    assert "credential helper docker-credential-lost: executable file not found in $PATH" in done.stderr
    assert f"{person.config} asks for it" in done.stderr
    helper.write_text("#!/bin/sh\necho locked >&2\nexit 3\n")
    assert "credential helper docker-credential-mine get: locked" in person.types("login", SERVER).stderr


def test_a_damaged_configuration_is_left_alone(person: Person) -> None:
    person.has("{bad")
    done = person.types("login", "-u", "me", "-p", "sesame", SERVER)
    assert f"invalid {person.config}: it is not JSON" in done.stderr
    assert (done.returncode, person.config.read_text()) == (1, "{bad")


def interrupt(person: Person, *words: str, after: Path | None = None) -> None:
    """Type Ctrl-C into a login: it ends within a second."""
    argv = ["env", "--default-signal", MINIRUN, "login", *words]
    login = person.host.popen(argv, env=person.env, stderr=-1, start_new_session=True)
    assert login.stderr is not None
    if after is None:
        assert b"insecure" in login.stderr.readline()
        time.sleep(0.5)
    else:
        eventually(after.exists, 20)
    started = time.monotonic()
    children = Path(f"/proc/{login.pid}/task/{login.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGINT)
    assert login.wait(5) == 130
    assert time.monotonic() - started < 1


def test_ctrl_c_ends_a_login_that_gets_no_answer(person: Person) -> None:
    silent = "import socket,time; s=socket.create_server(('127.0.0.1', 5001)); print(1, flush=True); time.sleep(60)"
    server = person.host.popen(["python3", "-c", silent], stdout=-1)
    assert server.stdout is not None
    assert server.stdout.readline() == b"1\n"
    interrupt(person, "-u", "me", "-p", "x", "127.0.0.1:5001")


def test_ctrl_c_ends_a_credential_helper(person: Person, tmp_path: Path) -> None:
    helper = tmp_path / "docker-credential-slow"
    helper.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; exec sleep 50\n")
    helper.chmod(0o755)
    person.has({"credsStore": "slow"})
    interrupt(person, SERVER, after=tmp_path / "pid")
    pid = (tmp_path / "pid").read_text().strip()
    assert person.host.run(["kill", "-0", pid], check=False).returncode == 1
