"""A throwaway host: namespaces of its own (net, mount, pid, uts, ipc, cgroup), held by one process.

Inside, /run and /var/lib/minirun are empty tmpfs, /sys shows the host's own links, cgroup2 its own subtree. When the
holder is killed, the kernel takes all of it back; only the cgroup has to be removed.
"""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from bench.cgroups import hierarchies
from tests.harness import fork_server

REPO = Path(__file__).resolve().parents[2]
MINIRUN = os.environ.get("MINIRUN_BIN", str(Path(sys.executable).with_name("minirun")))
_PRIVATE = (
    "import os, sys; from minirun.kernel.mount_namespace import mounts_private; mounts_private();"
    " os.execvp('sh', ['sh', '-c', sys.argv[1]])"
)
_DISK = "/var/lib/minirun"
# The fork server of the tests is outside: a host sees its directory.
_SHARED_SERVER = """
cd /run/minirun
mount -t tmpfs run /run
mkdir /run/minirun
mount --no-canonicalize --bind . /run/minirun
cd /
"""
_SETUP = """
set -e
mount -t proc proc /proc
mount -t tmpfs run /run
mkdir -p /var/lib/minirun
mount -t tmpfs state /var/lib/minirun
mount -t sysfs sys /sys
mkdir -p /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null || true
ip link set lo up
echo 0 > /proc/sys/net/ipv4/ip_forward  # a new namespace has the machine's value
set +e
echo ready
while :; do sleep 3600 & wait $!; done
"""


class Host:
    """`with Host() as host: host.minirun("run", ...)`.

    hybrid: with the v1 controllers that the machine has, too
    own_server: a fork server for its commands starts in it, in place of the one outside (fork_server.py)
    """

    def __init__(self, hybrid: bool = False, own_server: bool = False) -> None:
        self._started: list[subprocess.Popen[bytes]] = []
        self._cgroup = _own_cgroup()
        self._v1 = _own_v1_groups() if hybrid and self._cgroup else {}
        flags = ["--net", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child"]
        # Within a chroot / is no mount, and unshare(1) cannot make it private: then minirun's own function does.
        inner = 'sh -c "$0"'
        if not root_is_a_mount():
            flags += ["--propagation", "unchanged"]
            inner = f'{sys.executable} -I -c "{_PRIVATE}" "$0"'
        groups = [self._cgroup, *self._v1] if self._cgroup else []
        enter = "".join(f'echo $$ > "{group}/cgroup.procs"; ' for group in groups)
        self._holder = subprocess.Popen(
            ["sh", "-c", f"{enter}exec unshare {' '.join(flags)} {inner}", _setup(self._v1, own_server)],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"ready\n":
            self.close()
            raise RuntimeError("the throwaway host did not come up")
        self.pid = _child_of(self._holder.pid)

    def __enter__(self) -> "Host":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if hasattr(self, "pid"):
            _kill(self.pid)
        for process in self._started:
            process.kill()
            process.communicate()
        self._holder.kill()
        self._holder.communicate()
        for group in [self._cgroup, *self._v1] if self._cgroup else []:
            _remove_cgroups(group)

    def rebooted(self) -> "Host":
        """This host loses its power; the one that comes up has its disk, and nothing else."""
        disk = os.open(f"/proc/{self.pid}/root{_DISK}", os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.close()
            made = Host()
            own = ["cp", "-a", f"/proc/{os.getpid()}/fd/{disk}/.", f"/proc/{made.pid}/root{_DISK}"]
            subprocess.run(own, check=True)
            made.sh(f"echo {uuid.uuid4()} > /run/boot_id; mount --bind /run/boot_id /proc/sys/kernel/random/boot_id")
        finally:
            os.close(disk)
        return made

    def lay_busybox(self) -> None:
        """Have the image on the disk, and the compiled seccomp profile, as the first start of a container makes them.

        That takes longer than the start; here they are made once for all hosts of this process.
        """
        made = sorted(_disk_with_busybox().iterdir())  # the directory itself is as minirun finds it
        subprocess.run(["cp", "-a", *made, f"/proc/{self.pid}/root{_DISK}"], check=True)

    def command(self, argv: list[str]) -> list[str]:
        wanted = ["-m", "-r", "-u", "-i", "-n", "-p", *(["-C"] if self._cgroup else [])]
        return ["nsenter", "-t", str(self.pid), *wanted, *argv]

    def run(self, argv: list[str], *, check: bool = True, timeout: float = 30, **kwargs: Any) -> Any:
        kwargs.setdefault("text", True)
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        if "input" not in kwargs:
            kwargs.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(self.command(argv), timeout=timeout, check=False, **kwargs)
        if check and done.returncode:
            raise AssertionError(f"{argv} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def sh(self, script: str, **kwargs: Any) -> str:
        return str(self.run(["sh", "-c", script], **kwargs).stdout)

    def popen(self, argv: list[str], **kwargs: Any) -> "subprocess.Popen[bytes]":
        self._started.append(subprocess.Popen(self.command(argv), **kwargs))
        return self._started[-1]

    def minirun(self, *words: str, **kwargs: Any) -> Any:
        return self.run([MINIRUN, *words], **kwargs)

    def image(self, name: str, script: str, *words: str) -> None:
        """An image of busybox's files, after `script` has run where they are; `words` are flags of import."""
        self.sh(
            "set -e; rm -rf /run/tree; mkdir /run/tree; cd /run/tree;"
            f' "{MINIRUN}" create --name tree-of busybox >/dev/null; "{MINIRUN}" export tree-of | tar -xp;'
            f' "{MINIRUN}" rm tree-of >/dev/null; set +e\n{script}\n'
            "tar -C /run/tree -cSf /run/tree.tar ."
        )
        self.minirun("import", *words, "/run/tree.tar", name)

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """Meanwhile nothing is mended at once: the resolver's process, which watches, stands still."""
        watcher = "ps axwwo pid=,args= | awk '/[m]inirun.network.dns/{print $1}' | xargs -r kill"
        self.sh(f"{watcher} -STOP")
        try:
            yield
        finally:
            self.sh(f"{watcher} -CONT")

    def neighbour(self, index: int = 0, default_route: bool = False) -> "Neighbour":
        return Neighbour(self, index, default_route)


class Neighbour:
    """Another machine, on the host's LAN: 192.0.2.1 is the host, 192.0.2.2 the neighbour (for index 0)."""

    def __init__(self, host: Host, index: int, default_route: bool) -> None:
        self.host = host
        self.host_address, self.address = f"192.0.{2 + index}.1", f"192.0.{2 + index}.2"
        link = f"lan{index}"
        holder = "unshare --net sh -c 'echo $$; exec sleep 3600' & wait"
        self._holder = host.popen(["sh", "-c", holder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._holder.stdout is not None
        self.pid = int(self._holder.stdout.readline())
        host.sh(
            f"ip link add {link} type veth peer name eth0 netns {self.pid} && ip address add {self.host_address}/24"
            f" dev {link} && ip link set {link} up"
        )
        self.sh(f"ip link set lo up; ip address add {self.address}/24 dev eth0; ip link set eth0 up")
        if default_route:
            host.sh(f"ip route add default via {self.address}")

    def command(self, argv: list[str]) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-n", *argv]

    def run(self, argv: list[str], **kwargs: Any) -> Any:
        return self.host.run(self.command(argv), **kwargs)

    def sh(self, script: str, **kwargs: Any) -> str:
        return str(self.run(["sh", "-c", script], **kwargs).stdout)

    def popen(self, argv: list[str], **kwargs: Any) -> "subprocess.Popen[bytes]":
        return self.host.popen(self.command(argv), **kwargs)


@cache
def _disk_with_busybox() -> Path:
    """A copy of /var/lib/minirun after a first start."""
    copy = Path(tempfile.mkdtemp(prefix="minirun-test-disk-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    with Host() as host:
        host.minirun("run", "--rm", "--net=none", "busybox", "true")
        subprocess.run(["cp", "-a", f"/proc/{host.pid}/root{_DISK}/.", copy], check=True)
    return copy


def root_is_a_mount() -> bool:
    return any(line.split()[4] == "/" for line in Path("/proc/self/mountinfo").read_text().splitlines())


def _own_cgroup() -> Path | None:
    for base in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        if (base / "cgroup.subtree_control").exists():
            own = base / f"minirun-test-{uuid.uuid4().hex[:12]}"
            try:
                own.mkdir()
            except PermissionError:  # in a lab, where the user's own group is not delegated
                return None
            return own
    return None


def _own_v1_groups() -> dict[Path, str]:
    """A group of its own in each v1 hierarchy, and the mount(8) options that give that hierarchy."""
    made = {}
    for one in hierarchies():
        # In a lab, other mounts cover those of the host: a v1 hierarchy has `tasks`.
        if one.kind == "cgroup" and not one.options.startswith("name=") and (one.place / "tasks").exists():
            own = one.place / f"minirun-test-{uuid.uuid4().hex[:12]}"
            own.mkdir()
            for knob in ("cpuset.cpus", "cpuset.mems"):  # empty at birth, and then no process may enter
                if (own / knob).exists():
                    (own / knob).write_text((one.place / knob).read_text())
            made[own] = " ".join(one.mount_command()[:-1])
    return made


def _setup(v1: dict[Path, str], own_server: bool) -> str:
    """With v1 the layout is that of a hybrid host: v2 in `unified`, beside a directory for each hierarchy."""
    setup = _SETUP
    if not own_server and fork_server.is_wanted():
        setup = setup.replace("\nmount -t tmpfs run /run\n", _SHARED_SERVER)
    if not v1:
        return setup
    mounts = ["mount -t tmpfs cgroup /sys/fs/cgroup", "mkdir /sys/fs/cgroup/unified"]
    mounts.append("mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified")
    for command in v1.values():
        name = command.split()[4].replace(",", "-")
        mounts.append(f"mkdir /sys/fs/cgroup/{name} && {command} /sys/fs/cgroup/{name}")
    return setup.replace("mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null || true", "\n".join(mounts))


def _remove_cgroups(top: Path) -> None:
    for _ in range(200):
        for directory, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:
                pass
        if not top.exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"{top} cannot be removed: {(top / 'cgroup.procs').read_text()}")


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
