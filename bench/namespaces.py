"""Network namespaces: one for each engine to take for its host, and a neighbour at the other end of a cable.

An engine that had to share its host with another would carry the other's rules: every packet of minirun's would go
through Docker's chains, and the other way round. A namespace is named by the id of a process in it.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
# RFC 5737: addresses for examples; nothing of the machine is there, and the engines' pools are elsewhere.
HOST, NEIGHBOUR = "192.0.2.1", "192.0.2.2"


def make() -> int:
    """A new one with lo up, held by a process that sleeps until the bench's pid namespace ends."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("unshare", _LIBC.unshare(_CLONE_NEWNET))
        lo_up()
        return subprocess.Popen(["sleep", "infinity"], stdin=subprocess.DEVNULL).pid
    finally:
        _call("setns", _LIBC.setns(home, _CLONE_NEWNET))
        os.close(home)


@contextmanager
def within(pid: int) -> Iterator[None]:
    """What is started meanwhile is born there. It costs the caller microseconds, outside what the clock sees."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("setns", _LIBC.setns(there, _CLONE_NEWNET))
        yield
    finally:
        _call("setns", _LIBC.setns(home, _CLONE_NEWNET))
        os.close(there)
        os.close(home)


def neighbour(host: int) -> int:
    """Another machine, as it were, on a cable to that host, which has its default route there."""
    other = make()
    with within(host):
        _ip("link", "add", "uplink", "up", "type", "veth", "peer", "name", "eth0", "netns", str(other))
        _ip("address", "add", f"{HOST}/24", "dev", "uplink")
    with within(other):
        _ip("address", "add", f"{NEIGHBOUR}/24", "dev", "eth0")
        _ip("link", "set", "eth0", "up")
    with within(host):
        _ip("route", "add", "default", "via", NEIGHBOUR)
    return other


def lo_up() -> None:
    """Any other program that sets lo up may be missing; each engine needs one of these two."""
    subprocess.run("ip link set lo up || busybox ip link set lo up", shell=True, check=True, stderr=subprocess.DEVNULL)


def pid_namespace(pid: int | str) -> str:
    """Its name; empty when the process has just gone."""
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _call(name: str, result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), name)
