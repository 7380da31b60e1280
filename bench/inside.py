"""In the namespaces: an init, file systems that are thrown away, then the measuring."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from bench import (
    api,
    builds,
    cgroups,
    commands,
    contenders,
    facts,
    floor,
    images,
    memory,
    namespaces,
    pytest_suites,
    scale,
    traffic,
)
from bench.clock import say
from bench.contenders import Contender
from bench.results import Results

# Engines write here whatever one tells them: a key, a containerd directory, network definitions, image caches.
_WRITTEN = ("/etc", "/opt", "/var")
# Not an overlay, because engines put overlays on it, and those do not stack.
_EMPTY = ("/run", "/var/lib/minirun")


def main(work: str, minirun: str, asked: str) -> NoReturn:
    """The first process of a pid namespace inherits every orphan. This one reaps and does nothing else.

    Shims and monitors outlive the command that started them by design. Unreaped, they would fill /proc, and a
    monitor that is dead would look alive to whoever asks with kill(pid, 0).
    """
    worker = os.fork()
    if not worker:
        sys.exit(_work(Path(work), minirun, json.loads(asked)))
    while True:
        pid, status = os.wait()
        if pid == worker:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _work(work: Path, minirun: str, asked: dict[str, Any]) -> int:
    """The numbers go to stdout, for the process outside to write down."""
    load = os.getloadavg()[0]
    if load > 1:
        say(f"something else is running: the load is {load:.1f}")
    _file_systems(work)
    image = contenders.busybox_tree(work)
    engines = contenders.prepare(work, minirun, image)
    if not engines:
        say("there is nothing to measure")
        return 1
    results = Results(asked["rounds"], asked["rows"], engines={one.name: one.version for one in engines})
    commands.measure([*engines, *floor.prepare(work, minirun, image)], results)
    commands.parallel(engines, results)
    neighbours = _neighbours(engines)
    traffic.measure(engines, neighbours, results)
    scale.hundred(engines, results)
    memory.measure(engines, results, scale.few(results.rounds))
    images.measure(engines, work, minirun, results, scale.few(results.rounds))
    builds.measure(engines, work, results, scale.few(results.rounds))
    api.measure(engines, work, results, scale.few(results.rounds))
    pytest_suites.measure(engines, work, minirun, results, scale.few(results.rounds))
    scale.ports(engines, neighbours, results)
    scale.thousand(engines, asked["thousand"], results)
    results.facts = facts.head(load, engines, minirun)
    print(results.to_json())
    return 0


def _neighbours(engines: Sequence[Contender]) -> dict[str, int]:
    if shutil.which("ip"):
        return {one.name: namespaces.neighbour(one.host) for one in engines}
    say("nothing is measured from outside: there is no ip(8) (iproute2)")
    return {}


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
    namespaces.lo_up()


def _sys() -> None:
    """A sysfs that shows no network namespace of the machine, and on it the cgroups with the bench's own as the root.

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
