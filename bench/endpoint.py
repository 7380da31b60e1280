"""Both ends of a TCP connection, each a process in the network namespace where it is started.

endpoint.py serve PORT                          says the address of eth0, then serves one connection after another
endpoint.py speed ADDRESS PORT SECONDS          Gbit/s that arrived
endpoint.py trips ADDRESS PORT SECONDS          thousands of single bytes, there and back, a second
endpoint.py connect ADDRESS TIMES PORT [PORT...]  median microseconds of connect(2) to each port, in turn

The same Python on both ends for every engine: what differs is the way between them.
"""

import fcntl
import os
import socket
import statistics
import struct
import sys
import time

_CHUNK = 256 * 1024
_SIOCGIFADDR = 0x8915  # netdevice(7)


def serve(port: int) -> None:
    """The first byte of a connection says what for: S to swallow and count, T to send back; none to close."""
    listener = socket.create_server(("0.0.0.0", port), backlog=64)
    print(_address(b"eth0"), flush=True)
    buffer = bytearray(_CHUNK)
    while True:
        peer, _ = listener.accept()
        with peer:
            try:
                kind = peer.recv(1)
                if kind == b"S":
                    _stay(together=False)
                    total = 0
                    while got := peer.recv_into(buffer):
                        total += got
                    peer.sendall(struct.pack("!Q", total))
                elif kind == b"T":
                    _stay(together=True)
                    _echo(peer)
            except ConnectionError:
                pass  # a client that was killed; the next one matters


def speed(address: str, port: int, seconds: float) -> float:
    """Until the server has said how much arrived: what only filled buffers is not counted as fast."""
    chunk = bytes(_CHUNK)
    with socket.create_connection((address, port), timeout=10) as peer:
        peer.sendall(b"S")
        started = time.perf_counter()
        end = started + seconds
        while time.perf_counter() < end:
            peer.sendall(chunk)
        peer.shutdown(socket.SHUT_WR)
        (total,) = struct.unpack("!Q", peer.recv(8, socket.MSG_WAITALL))
        return float(8 * total / (time.perf_counter() - started) / 1e9)


def trips(address: str, port: int, seconds: float) -> float:
    _stay(together=True)
    with socket.create_connection((address, port), timeout=10) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.settimeout(None)  # with a timeout, each recv would be two system calls
        peer.sendall(b"T")
        count, started = 0, time.perf_counter()
        end = started + seconds
        while (now := time.perf_counter()) < end:
            peer.send(b"x")
            if not peer.recv(1):
                raise ConnectionError("the server has gone")
            count += 1
        return count / (now - started) / 1000


def connect(address: str, times: int, ports: list[int]) -> list[float]:
    found: dict[int, list[float]] = {port: [] for port in ports}
    for _ in range(times):
        for port in ports:
            with socket.socket() as peer:
                started = time.perf_counter()
                peer.connect((address, port))
                found[port].append(1e6 * (time.perf_counter() - started))
    return [statistics.median(each) for each in found.values()]


def _stay(together: bool) -> None:
    """Round trips have both ends on one core. Left to the scheduler they come in two kinds, one twice as fast: to wake
    another core, of a virtual machine above all, takes longer than the network does. A stream has all cores, and a
    proxy between the ends is nobody's to place.
    """
    cores = sorted(os.sched_getaffinity(os.getppid()))
    os.sched_setaffinity(0, cores[:1] if together else cores)


def _echo(peer: socket.socket) -> None:
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while got := peer.recv(1):
        peer.send(got)


def _address(interface: bytes) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        return socket.inet_ntoa(fcntl.ioctl(any_socket, _SIOCGIFADDR, struct.pack("256s", interface))[20:24])


def main(verb: str, *words: str) -> None:
    if verb == "serve":
        serve(int(words[0]))
    elif verb == "connect":
        print(*connect(words[0], int(words[1]), [int(word) for word in words[2:]]))
    else:
        print({"speed": speed, "trips": trips}[verb](words[0], int(words[1]), float(words[2])))


if __name__ == "__main__":
    main(*sys.argv[1:])
