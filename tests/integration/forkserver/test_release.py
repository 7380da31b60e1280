"""When a launcher has ended, nothing that its command was given is held any more, although the worker may end later."""

import socket
import subprocess
import sys

import pytest

from tests.harness.host import MINIRUN
from tests.integration.forkserver.served import ServedHost, outcome_of

# Each a loop of a shell on the host; without `set -e` the first failure would be lost.
HOLDS = {
    "the working directory": """
        mount -t tmpfs one /mnt
        cd /mnt
        minirun ps
        cd /
        umount /mnt
    """,
    "an open file": """
        mount -t tmpfs one /mnt
        minirun ps 9> /mnt/file
        umount /mnt
    """,
    "a lock": """
        exec 9> /run/lock
        flock 9
        minirun ps
        exec 9>&-
        flock --nonblock /run/lock true
    """,
    "the state": """
        mount -t tmpfs one /mnt
        minirun --root /mnt/state ps
        umount /mnt
    """,
    "the state of a container that has ended": """
        mount -t tmpfs one /mnt
        minirun --root /mnt/state run --rm --net=none busybox true
        until umount /mnt 2> /run/why; do
            [ -n "$(pgrep -f /mnt/state)" ] || exit 1  # its shim may still be there
        done
    """,
    "another mount namespace": """
        mount -t tmpfs one /mnt
        unshare --mount sh -c 'cd /mnt; minirun ps'
        umount /mnt
    """,
    "another root": """
        mount --bind / /mnt
        mount --rbind /proc /mnt/proc
        mount --bind /run /mnt/run
        chroot /mnt "$(command -v minirun)" version
        umount -R /mnt
    """,
    "a v2 cgroup": """
        mkdir /sys/fs/cgroup/short
        sh -c 'echo $$ > /sys/fs/cgroup/short/cgroup.procs; exec minirun ps'
        rmdir /sys/fs/cgroup/short
    """,
    "a v2 cgroup that it was moved to": """
        mkdir /sys/fs/cgroup/short
        sh -c 'echo $$ > /sys/fs/cgroup/short/cgroup.procs; exec minirun run --rm --net=none busybox sleep 0.7'
        rmdir /sys/fs/cgroup/short
    """,
}


@pytest.mark.parametrize("held", list(HOLDS))
def test_nothing_is_held_afterwards(served: ServedHost, held: str) -> None:
    times = 1 if "moved" in held else 8
    script = f"set -e\nexec > /dev/null\nPATH={MINIRUN.rpartition('/')[0]}:$PATH\n"
    served.host.run(["bash", "-c", f"{script}for _ in $(seq {times}); do\n{HOLDS[held]}\ndone"])


def test_a_socket_is_not_held_afterwards(served: ServedHost) -> None:
    for _ in range(8):
        near, far = socket.socketpair()
        with near:
            with far:
                process = served.start("ps", pass_fds=(far.fileno(),), stdout=subprocess.DEVNULL)
            assert process.wait(20) == 0
            near.setblocking(False)
            assert near.recv(1) == b""  # BlockingIOError: somebody has the other end
            outcome_of(process)


_RELEASE = """
import os, socket
from minirun.kernel.memory import release_files
port, own, given = socket.socket(), socket.socketpair(), socket.socketpair()
port.bind(("127.0.0.1", 4000))
port.listen()
numbers = [port.fileno(), own[0].fileno(), given[0].fileno()]
release_files((1,), (given[0].fileno(),))
os.write(1, repr([os.path.exists(f"/proc/self/fd/{number}") for number in numbers]).encode())
again = socket.socket()
again.bind(("127.0.0.1", 4000))
os.write(1, b"free")
os._exit(0)
"""


def test_a_port_is_free_and_a_socket_of_its_own_stays(served: ServedHost) -> None:
    """Nobody is woken at the other end of the latter, who would want the processor."""
    assert served.host.run([sys.executable, "-I", "-c", _RELEASE], cwd="/").stdout == "[False, True, False]free"
