"""A DNS client, as a program of its own that shares no code with what it tests.

`ask` sends one question from inside a network namespace, by UDP or TCP, and returns the reply.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.harness.host import Host

SERVER = "127.0.0.11"
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
