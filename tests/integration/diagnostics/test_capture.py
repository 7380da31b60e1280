"""capture: packets as lines, and as a file that other programs open."""

import json
import re
import struct
import subprocess
from collections.abc import Iterator

import pytest

from tests.harness import Host, Snapshot, Terminal, assert_same, eventually
from tests.harness.host import MINIRUN

SERVE = ("busybox", "httpd", "-f", "-p", "80", "-h", "/var/www")
FETCH = "busybox wget -qO- http://127.0.0.1:8080/ > /dev/null"


@pytest.fixture(scope="module")
def machine() -> Iterator[Host]:
    with Host() as host:
        host.minirun("run", "-d", "--name", "web", "-p", "8080:80", *SERVE)
        host.minirun("run", "-d", "--name", "two", "busybox", "sleep", "1000")
        eventually(lambda: host.sh(f"{FETCH} && echo ok", check=False) == "ok\n")
        yield host


def captured(host: Host, what: str, *flags: str, script: str = FETCH) -> tuple[str, str]:
    """What a capture says while a script runs again and again."""
    process = host.popen([MINIRUN, "capture", *flags, what], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def ended() -> bool:
        host.sh(script, check=False)
        return process.poll() is not None

    eventually(ended, 20)
    out, errors = process.communicate(timeout=5)
    return out.decode(), errors.decode()


def test_a_container(machine: Host) -> None:
    before = Snapshot.of(machine)
    lines, errors = captured(machine, "web", "-c", "9", "--protocol", "tcp")
    assert errors == (
        "listening on eth0 (172.17.0.2) of web, filter: tcp, Ctrl-C to stop\n"
        "9 packets captured (until the limit of --count)\n"
    )
    assert len(lines.splitlines()) == 9
    inward = [line for line in lines.splitlines() if " eth0 < 172.17.0.1:" in line]
    outward = [line for line in lines.splitlines() if " eth0 > 172.17.0.2:80 > 172.17.0.1:" in line]
    assert len(inward) + len(outward) == 9
    assert all(" > 172.17.0.2:80 tcp [" in line for line in inward)
    assert all(line.partition(" len ")[2].isdecimal() for line in outward)
    assert_same(machine, before)


def test_a_published_port_and_a_network(machine: Host) -> None:
    lines, _ = captured(machine, "8080", "-c", "5", script=f"{FETCH}; {MINIRUN} exec two ping -c1 172.17.0.2")
    assert all(":80 " in line for line in lines.splitlines())
    # Between two containers, which the bridge itself has no part in.
    lines, _ = captured(
        machine, "bridge", "-c", "2", "--protocol", "icmp", script=f"{MINIRUN} exec two ping -c1 172.17.0.2"
    )
    assert "minirun0 < 172.17.0.3 > 172.17.0.2 icmp echo request" in lines
    lines, _ = captured(machine, "bridge", "-c", "3", "-p", "80")
    assert len(lines.splitlines()) == 3


def test_as_json(machine: Host) -> None:
    lines, _ = captured(machine, "8080", "-c", "3", "--json")
    packets = [json.loads(line) for line in lines.splitlines()]
    assert len(packets) == 3
    assert all(packet["protocol"] == "tcp" and 80 in (packet["port"], packet["source_port"]) for packet in packets)
    assert {packet["interface"] for packet in packets} == {"eth0"}


def test_a_file(machine: Host) -> None:
    lines, _ = captured(machine, "web", "-c", "6", "--protocol", "tcp", "-w", "/run/web.pcap")
    data = machine.run(["cat", "/run/web.pcap"], text=False).stdout
    magic, major, minor, _, _, _, link = struct.unpack_from("<IHHIIII", data)
    assert (magic, major, minor, link) == (0xA1B23C4D, 2, 4, 1)
    at, frames = 24, []
    while at < len(data):
        seconds, nanoseconds, kept, size = struct.unpack_from("<IIII", data, at)
        assert kept == size
        assert seconds > 1_700_000_000
        assert nanoseconds < 1_000_000_000
        frames.append(data[at + 16 : at + 16 + kept])
        at += 16 + kept
    assert len(frames) == len(lines.splitlines()) == 6
    assert all(frame[12:14] == b"\x08\x00" for frame in frames)
    assert oct(int(machine.sh("stat -c %a /run/web.pcap"), 8)) == oct(0o600)
    done = machine.minirun("capture", "-w", "/run/web.pcap", "web", check=False)
    assert "File exists" in done.stderr


@pytest.mark.parametrize("number", ["INT", "TERM"])
def test_the_end_by_a_signal_tells_the_number(machine: Host, number: str) -> None:
    path = f"/run/{number}.pcap"
    out = machine.sh(
        f"env --default-signal {MINIRUN} capture -p 80 -q -w {path} bridge 2>/run/errors & capture=$!\n"
        f"until [ -s /run/errors ]; do sleep 0.05; done; cat /run/errors; {FETCH}; sleep 0.3\n"
        f"kill -{number} $capture; wait $capture; echo $?; cat /run/errors; rm /run/errors"
    )
    first, code, *errors = out.splitlines()
    assert first == "listening on bridge minirun0 (172.17.0.1) of network bridge, filter: port 80, Ctrl-C to stop"
    assert (code, errors[0]) == ("0", first)
    assert re.fullmatch(rf"[1-9]\d* packets captured, written to {path}", errors[1])
    assert int(machine.sh(f"stat -c %s {path}")) > 500


def test_no_binary_to_a_terminal(machine: Host) -> None:
    with Terminal(machine, "capture", "-w", "-", "web") as terminal:
        terminal.until(b"standard output is a terminal")
    out = machine.sh(f"{MINIRUN} capture -t 1 -w - web | od -An -tx4 -N4")
    assert out.strip() == "a1b23c4d"


def test_it_ends_by_itself(machine: Host) -> None:
    assert machine.minirun("capture", "-t", "1", "-p", "9", "web").stdout == ""
    out, _ = captured(machine, "web", "-t", "20", "--size", "1k", "-q", "-w", "/run/small.pcap")
    assert out == ""
    assert int(machine.sh("stat -c %s /run/small.pcap")) < 70_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nosuch"], "there is no container or network nosuch"),
        (["web:80"], "invalid address in 'web:80'"),
        (["99999"], "invalid port"),
        (["-p", "99999", "web"], "--port 99999: from 1 to 65535"),
        (["-p", "80", "8080"], "8080 is a port already"),
        (["-p", "80", "--protocol", "arp", "web"], "arp packets have no ports"),
        (["--size", "1m", "web"], "--size is for the file"),
        (["--json", "-w", "-", "web"], "--json has no place"),
        (["9999"], "no container publishes port 9999"),
        (["-c", "0", "web"], "1 at least"),
        (["--protocol", "sctp", "web"], "one of tcp, udp"),
        (["-w", "/run/x", "--size", "x", "web"], "--size"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refused(machine: Host, words: list[str], message: str) -> None:
    done = machine.minirun("capture", *words, check=False)
    assert done.returncode in (1, 125)
    assert message in done.stderr
    assert "listening" not in done.stderr
