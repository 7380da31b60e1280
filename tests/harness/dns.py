"""Asking a DNS server, and pretending to be one: programs of their own, written without the code that they test.

`ask` sends one question from within a network namespace, by UDP or TCP, and returns what came back. `Upstream` answers
every A question with one address, and keeps a list of what it was asked.
"""

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.harness.host import Host, Neighbour

SERVER = "169.254.53.53"
_ASK = r"""
import json, socket, struct, sys
server, name, kind, stream, size, patience = json.loads(sys.argv[1])
kinds = {"A": 1, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "ANY": 255}
labels = b"".join(bytes([len(one)]) + one.encode() for one in name.split(".")) + b"\0"
question = struct.pack(">6H", 4242, 0x100, 1, 0, 0, 1 if size else 0) + labels + struct.pack(">HH", kinds[kind], 1)
if size:
    question += b"\0" + struct.pack(">HHIH", 41, size, 0, 0)
channel = socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
channel.settimeout(patience)
channel.connect((server, 53))
if stream:
    channel.sendall(struct.pack(">H", len(question)) + question)
    data = b""
    while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
        data += channel.recv(70000) or sys.exit("closed")
    data = data[2:]
else:
    channel.send(question)
    data = b""
    while data[:2] != question[:2]:
        data = channel.recv(70000)

def name_at(at):
    found = []
    while data[at]:
        if data[at] >= 0xC0:
            return found + name_at(int.from_bytes(data[at:at + 2], "big") & 0x3FFF)[0], at + 2
        found.append(data[at + 1:at + 1 + data[at]].decode())
        at += data[at] + 1
    return found, at + 1

number, flags, _, answers, _, extra = struct.unpack(">6H", data[:12])
assert number == 4242 and flags & 0x8080 == 0x8080
at = name_at(12)[1] + 4
found = []
for _ in range(answers):
    at = name_at(at)[1]
    kind, _, ttl, length = struct.unpack(">HHIH", data[at:at + 10])
    at += 10
    value = data[at:at + length]
    if kind == 12:
        found.append(".".join(name_at(at)[0]))
    else:
        found.append(socket.inet_ntop({4: socket.AF_INET, 16: socket.AF_INET6}[length], value))
    at += length
print(json.dumps([flags & 15, bool(flags & 0x200), found, len(data), extra]))
"""
# big.example has 100 addresses and is cut short by UDP; broken.example fails; silent.example is never answered.
_UPSTREAM = r"""
import select, socket, struct, sys
where, address, log = sys.argv[1:]
one, many = (socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM))
for each in (one, many):
    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    each.bind((where, 53))
many.listen(8)

def answer(data, limit):
    at, labels = 12, []
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode())
        at += data[at] + 1
    name, question = ".".join(labels), data[12:at + 5]
    kind = int.from_bytes(data[at + 1:at + 3], "big")
    with open(log, "a") as file:
        print(name, kind, "tcp" if limit > 600 else "udp", file=file)
    if name == "silent.example":
        return b""
    count = (100 if name == "big.example" else 1) if kind == 1 and name != "broken.example" else 0
    record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(address)
    cut = 12 + len(question) + count * len(record) > limit
    code = 2 if name == "broken.example" else 0
    head = struct.pack(">HHHHHH", int.from_bytes(data[:2], "big"), 0x8180 | code | (0x200 if cut else 0), 1,
                       0 if cut else count, 0, 0)
    return head + question + (b"" if cut else record * count)

print("ready", flush=True)
while True:
    for each in select.select([one, many], [], [])[0]:
        if each is one:
            data, client = one.recvfrom(9999)
            told = answer(data, 512)
            # First what somebody would send who cannot see the question: it must not be taken for the answer.
            forged = bytearray(told)
            if forged:
                forged[0] ^= 255
                forged[-4:] = b"\6\6\6\6"
                one.sendto(forged, client)
                one.sendto(told, client)
        else:
            channel = many.accept()[0]
            channel.settimeout(5)
            data = channel.recv(9999)
            while len(data) < 2 + int.from_bytes(data[:2], "big"):
                data += channel.recv(9999)
            told = answer(data[2:], 65535)
            channel.sendall(struct.pack(">H", len(told)) + told)
            channel.close()
"""


@dataclass(frozen=True)
class Reply:
    code: int  # 0 NOERROR, 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED
    is_cut: bool
    found: list[str]
    length: int
    extra: int


def ask(
    host: "Host",
    netns: str,
    name: str,
    kind: str = "A",
    *,
    stream: bool = False,
    size: int = 0,
    server: str = SERVER,
    patience: float = 8,
) -> Reply:
    """From within the namespace that is pinned as `netns`, which is a container's name."""
    words = json.dumps([server, name, kind, stream, size, patience])
    argv = ["nsenter", f"--net=/run/netns/{netns}", "python3", "-c", _ASK, words]
    return Reply(*json.loads(host.run(argv).stdout))


class Upstream:
    """A pretend resolver on the host or on a neighbour, or in the namespace of a container, at an address of its."""

    def __init__(self, place: "Host | Neighbour", at: str, address: str, netns: str = "") -> None:
        host: Any = getattr(place, "host", place)
        self._host = host
        self._log = f"/run/upstream-{at}"
        host.sh(f": > {self._log}")
        enter = ["nsenter", f"--net=/run/netns/{netns}"] if netns else []
        process = place.popen([*enter, "python3", "-c", _UPSTREAM, at, address, self._log], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"

    def asked(self) -> list[str]:
        """`name kind tcp|udp` of each question since the last call."""
        return str(self._host.sh(f"cat {self._log}; : > {self._log}")).splitlines()


def use(host: "Host", text: str) -> None:
    """The throwaway host's /etc/resolv.conf, from now on."""
    host.run(
        [
            "sh",
            "-c",
            "cat > /run/resolv.conf; mountpoint -q /etc/resolv.conf || mount -B /run/resolv.conf /etc/resolv.conf",
        ],
        input=text,
    )
