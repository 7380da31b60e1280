"""In the namespaces: an init, file systems that are thrown away, then the measuring."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from bench import cgroups, contenders, measure, memory, report

# Engines write here whatever one tells them: a key, a containerd directory, network definitions, image caches.
_WRITTEN = ("/etc", "/opt", "/var")
# Not an overlay, because engines put overlays on it, and those do not stack.
_EMPTY = ("/run", "/var/lib/minirun")


def main(work: str, minirun: str, rounds: str, rows: str) -> NoReturn:
    """The first process of a pid namespace inherits every orphan. This one reaps and does nothing else.

    Shims and monitors outlive the command that started them by design. Unreaped, they would fill /proc, and a
    monitor that is dead would look alive to whoever asks with kill(pid, 0).
    """
    worker = os.fork()
    if not worker:
        sys.exit(_work(Path(work), minirun, int(rounds), rows.split(",")))
    while True:
        pid, status = os.wait()
        if pid == worker:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _work(work: Path, minirun: str, rounds: int, rows: list[str]) -> int:
    _file_systems(work)
    found = contenders.prepare(work, minirun)
    if not found:
        print("bench: there is nothing to measure", file=sys.stderr)
        return 1
    results = measure.measure(found, rows, rounds)
    print(report.table(found, rows, rounds, results))
    print(report.memory_table(found, memory.measure(found), memory.daemons(found)))
    return 0


def _file_systems(work: Path) -> None:
    _mount("-t", "tmpfs", "bench", str(work))
    (work / "home").mkdir()
    for top in _WRITTEN:
        layers = work / "layers" / top[1:]
        upper, scratch = layers / "upper", layers / "work"
        upper.mkdir(parents=True)
        scratch.mkdir()
        _mount("-t", "overlay", "-o", f"lowerdir={top},upperdir={upper},workdir={scratch}", "bench", top)
    for place in _EMPTY:
        Path(place).mkdir(parents=True, exist_ok=True)
        _mount("-t", "tmpfs", "bench", place)
    _sys()
    # Any other program that sets lo up may be missing; each engine needs one of these two.
    subprocess.run("ip link set lo up || busybox ip link set lo up", shell=True, check=True, stderr=subprocess.DEVNULL)


def _sys() -> None:
    """A sysfs that shows this network namespace, and on it the cgroups with the bench's own as the root.

    The old mounts go first: runtimes take the first one that mountinfo names. No securityfs: an engine that saw it
    would load its AppArmor profile into the machine's kernel.
    """
    found = cgroups.hierarchies()
    links = {path: path.readlink() for path in cgroups.ROOT.iterdir() if path.is_symlink()}
    subprocess.run(["umount", "-R", "-l", "/sys"], check=True)
    _mount("-t", "sysfs", "sysfs", "/sys")
    if all(one.place != cgroups.ROOT for one in found):
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(cgroups.ROOT))
    for one in found:
        one.place.mkdir(exist_ok=True)
        subprocess.run(one.mount_command(), check=True)
    for path, target in links.items():
        path.symlink_to(target)


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)
