"""A DNS server for tests, as a program of its own that shares no code with what it tests.

`Upstream` answers every A question with one address, and keeps a list of the questions.
"""

import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.harness.host import Host, Neighbour

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


def use_resolv_conf(host: "Host", text: str) -> None:
    """The throwaway host's /etc/resolv.conf, from now on."""
    host.run(
        [
            "sh",
            "-c",
            "cat > /run/resolv.conf; mountpoint -q /etc/resolv.conf || mount -B /run/resolv.conf /etc/resolv.conf",
        ],
        input=text,
    )
