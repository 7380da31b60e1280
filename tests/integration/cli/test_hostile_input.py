"""Words, archives and state files that nobody sane would give: a sentence for each, no traceback, no hang, no leak."""

import base64
import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import Host, Snapshot, assert_same
from tests.harness.host import MINIRUN, REPO

_SERVER = [sys.executable, str(REPO / "tests/harness/command_fuzzer.py")]
WORK = "/run/work"


class Shell:
    """Command lines on a throwaway host, quickly."""

    def __init__(self, host: Host) -> None:
        self.host = host
        host.sh(f"mkdir {WORK}; echo hello > {WORK}/in")
        argv = ["env", "-C", WORK, f"PYTHONPATH={REPO}", *_SERVER]  # what is made in passing is made there
        self._server = host.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, *words: str, files: dict[str, bytes] | None = None) -> tuple[int, str]:
        coded = {path: base64.b64encode(content).decode() for path, content in (files or {}).items()}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps({"words": words, "files": coded}).encode() + b"\n")
        self._server.stdin.flush()
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer["code"], answer["said"]

    def survives(self, *words: str, files: dict[str, bytes] | None = None) -> tuple[int, str]:
        """A code of its own, and not of a signal; some sentence where it is not 0."""
        code, said = self.run(*words, files=files)
        assert 0 <= code < 255, (words, code, said)
        assert "Traceback" not in said, (words, said)
        assert "Error:" not in said, (words, said)  # the name of an exception that nobody foresaw
        assert code == 0 or said, words
        return code, said


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    with Host() as host:
        host.minirun("run", "--rm", "busybox", "true")
        host.minirun("network", "create", "--ipv6", "other")
        host.minirun("network", "rm", "other")
        host.minirun("volume", "create", "other")
        host.minirun("volume", "rm", "other")
        host.minirun("create", "--name", "known", "busybox")
        made = Shell(host)
        made.run("ps")
        before = Snapshot.of(host)
        yield made
        host.minirun("volume", "prune", "-af")
        assert_same(host, before)


def many(examples: int) -> Any:
    return settings(
        max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
    )


# What the kernel passes on as an argument: anything without NUL.
_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
_ODD = st.sampled_from(
    [
        "",
        "-",
        "--",
        "=",
        ":",
        "::",
        ",",
        "/",
        "..",
        "../../etc",
        "a" * 5000,
        "\x1b[2J",
        "\n",
        "$(reboot)",
        "%s%n",
        "{{.}}",
        "0",
        "-1",
        "99999999999999999999",
        "1e9",
        "٣",
        "[::1]",
        "[::",
        "::ffff:1.2.3.4",
        "256.1.1.1",
        "0x10",
        "nan",
    ]
)
_GOOD = st.sampled_from(
    [
        "8080:80/tcp",
        "127.0.0.1:80-90:80-90/udp",
        "[::1]:8080:80",
        "/tmp:/data:ro",
        "type=bind,source=/tmp,target=/x,readonly",
        "type=volume,target=/x,volume-nocopy",
        "type=tmpfs,target=/x,tmpfs-size=1m",
        "KEY=value",
        "nofile=10:20",
        "net.ipv4.ip_forward=1",
        "/dev/null:/dev/x:rwm",
        "name=net,ip=10.0.0.2,alias=a",
        "on-failure:3",
        "max-size=10m",
        "no-new-privileges",
        "64m",
        "0-3",
        "1000:1000",
        "host:192.0.2.1",
        "container:known",
    ]
)


@st.composite
def mangled(draw: st.DrawFn) -> str:
    """A good value with a piece cut out, doubled, or replaced."""
    text = draw(_GOOD)
    first = draw(st.integers(0, len(text)))
    last = draw(st.integers(first, len(text)))
    return text[:first] + draw(st.just("") | _ODD | _TEXT | st.just(text)) + text[last:]


VALUE = _TEXT | _ODD | _GOOD | mangled()
FLAGS = (
    *("--name", "-p", "-v", "--mount", "--tmpfs", "-e", "-l", "--hostname", "-w", "-u", "--network", "--ip", "--ip6"),
    *("--add-host", "--dns", "--dns-search", "--ulimit", "--sysctl", "--device", "--cap-add", "--cap-drop", "-m"),
    *("--security-opt", "--cpus", "--cpuset-cpus", "--pids-limit", "--restart", "--log-driver", "--log-opt"),
    "--expose",
    *("--entrypoint", "--stop-signal", "--stop-timeout", "--health-cmd", "--health-interval", "--link", "--shm-size"),
    *("--mac-address", "--network-alias", "--volumes-from", "--group-add", "--pid", "--ipc", "--uts", "--cidfile"),
    *("--env-file", "--label-file", "--oom-score-adj", "--blkio-weight", "--domainname", "--pull", "--platform"),
)


@given(st.lists(st.tuples(st.sampled_from(FLAGS), VALUE), min_size=1, max_size=4), VALUE)
@many(400)
def test_create(shell: Shell, flags: list[tuple[str, str]], last: str) -> None:
    words = [word for flag in flags for word in flag if flag[0] != "--cidfile" or "/" not in flag[1]]
    code, said = shell.survives("create", *words, "busybox", last)
    if code == 0:
        shell.survives("inspect", said.split()[-1])
        assert shell.run("rm", said.split()[-1])[0] == 0


VERBS = (
    *("ps", "inspect", "logs", "exec", "rm", "port", "rename", "update", "wait", "diff", "images", "tag"),
    *("history", "rmi", "events", "stats", "top", "kill", "network", "volume"),
)


def _may_mean(word: str, name: str) -> bool:
    """By its name, or by the beginning of its id."""
    return word.partition(":")[0] == name or re.fullmatch("[0-9a-f]+", word) is not None


KNOWN = st.sampled_from(["known", "busybox", "create", "inspect", "ls", "-f", "--filter", "--format"])


@given(st.sampled_from(VERBS), st.lists(VALUE | KNOWN, max_size=4))
@many(400)
def test_other_verbs(shell: Shell, verb: str, words: list[str]) -> None:
    if verb in ("events", "stats"):
        words = ["--until=0s" if verb == "events" else "--no-stream", *words]
    if verb in ("rm", "rmi", "rename") and any(_may_mean(word, one) for word in words for one in ("known", "busybox")):
        return
    shell.survives(verb, *words)
    if verb in ("network", "volume", "tag"):
        shell.run("network", "prune", "-f")


@given(VALUE)
@many(100)
def test_cp(shell: Shell, path: str) -> None:
    """To and from any place of the container's, and one of the host's."""
    shell.survives("cp", f"known:{path}", f"{WORK}/out")
    shell.survives("cp", f"{WORK}/in", f"known:{path}")
    shell.host.sh(f"rm -rf {WORK}/out")


NETWORK_FLAGS = st.sampled_from(["--subnet", "--gateway", "--ip-range", "--aux-address", "-o", "-e", "--label", "-d"])
POOLS = st.sampled_from(["10.9.0.0/24", "fd09::/64", "10.9.0.1", "a=10.9.0.5"])


@given(st.lists(st.tuples(NETWORK_FLAGS, VALUE | POOLS), max_size=4), st.sampled_from(["--ipv6", "--internal"]), VALUE)
@many(200)
def test_network_create(shell: Shell, flags: list[tuple[str, str]], switch: str, name: str) -> None:
    words = [word for flag in flags for word in flag]
    code, _ = shell.survives("network", "create", switch, *words, "--", name)
    if code == 0:
        assert shell.run("network", "rm", "--", name)[0] == 0


def _archive() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, kind in (("dir", tarfile.DIRTYPE), ("dir/file", tarfile.REGTYPE), ("link", tarfile.SYMTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, "../../etc/passwd", 5 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"hello"))
    return stream.getvalue()


ARCHIVE = _archive()


CHANGES = st.lists(st.tuples(st.integers(0, len(ARCHIVE) - 1), st.binary(min_size=1, max_size=12)), max_size=5)


@given(CHANGES, st.integers(0, len(ARCHIVE)))
@many(150)
def test_archives(shell: Shell, changes: list[tuple[int, bytes]], length: int) -> None:
    data = bytearray(ARCHIVE)
    for place, piece in changes:
        data[place : place + len(piece)] = piece
    code, said = shell.survives("import", "/run/hostile.tar", "odd", files={"/run/hostile.tar": bytes(data[:length])})
    if code == 0:
        assert shell.run("rmi", "odd")[0] == 0, said


class Content(bytes):
    """Said shortly where a failure is told."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


@pytest.fixture(scope="module")
def database(shell: Shell) -> Content:
    """Of a host where something was done."""
    shell.host.minirun("--root", "/run/other", "create", "--name", "one", "-p", "80", "-v", "data:/d", "busybox")
    script = "import sqlite3; sqlite3.connect('/run/other/state.db').execute('pragma wal_checkpoint(truncate)')"
    shell.host.run([sys.executable, "-c", script])
    found: bytes = shell.host.run(["cat", "/run/other/state.db"], text=False).stdout
    return Content(found)


PARTS = st.integers(0, 999_999)  # of a million


@given(
    st.lists(st.tuples(PARTS, st.binary(min_size=1, max_size=20)), min_size=1, max_size=4), PARTS | st.just(1_000_000)
)
@many(150)
def test_state_files(shell: Shell, database: Content, changes: list[tuple[int, bytes]], kept: int) -> None:
    """Bytes changed, or cut off: what is read is true, or refused."""
    changed = bytearray(database)
    for part, piece in changes:
        place = len(database) * part // 1_000_000
        changed[place : place + len(piece)] = piece
    data = bytes(changed[: len(database) * kept // 1_000_000])
    files = {"/run/odd/state.db": data, "/run/odd/state.db-wal": b"", "/run/odd/state.db-shm": b""}
    shell.survives("--root", "/run/odd", "ps", "-a", files=files)
    shell.survives("--root", "/run/odd", "inspect", "one")


_PLANTED = """
import sys
sys.path += ["/opt/planted", {repo!r}]
from minirun.init import program
found = program.find_program

def finds(name, env):
    # As a line would that imports what it seldom needs: this one runs inside the container's root.
    try:
        import planted
    except ImportError:
        pass
    return found(name, env)

program.find_program = finds
from minirun.__main__ import main
sys.argv[0] = "minirun"
main()
"""


def test_no_module_of_the_image_is_imported(primed: Host) -> None:
    """It would run as the host's root, with the host's files open."""
    primed.image("evil", 'mkdir -p opt/planted; echo \'open("/pwned", "w")\' > opt/planted/planted.py')
    primed.minirun("run", "-d", "--name", "victim", "evil", "sleep", "1000")
    minirun = [str(Path(MINIRUN).with_name("python")), "-c", _PLANTED.format(repo=str(REPO))]
    for words in (["run", "--rm", "evil"], ["exec", "victim"]):
        shown = primed.run([*minirun, *words, "ls", "/", "/opt/planted"]).stdout
        assert "planted.py" in shown
        assert "pwned" not in shown, words
