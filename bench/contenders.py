"""The engines: each gets the same busybox image, and one running container named web."""

import os
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.measure import Contender, once, say

_TRIAL = ("run", "--rm", "--net=none", "busybox", "true")
_WEB = ("run", "-d", "--name", "web")


def prepare(work: Path, minirun: str) -> list[Contender]:
    """Those that are there and can run a container. Whoever cannot is left out, and its own words say why."""
    archive = _busybox_archive(work)
    found = [_minirun(minirun)]
    if archive:
        found += [_docker(work, archive), _podman(work, archive)]
    ready = [one for one in found if one is not None and _web(one)]
    return [*ready, _python(minirun)] if ready else []


def _minirun(binary: str) -> Contender | None:
    """It makes its busybox image on first use, hence in the trial."""
    if not os.access(binary, os.X_OK):
        _absent("minirun", f"{binary} is not there: scripts/setup makes it, MINIRUN_BIN names another")
        return None
    return _tried(Contender("minirun", (binary,), _version([binary, "--version"])))


def _docker(work: Path, archive: Path) -> Contender | None:
    """An engine of its own. The client beside dockerd, not one from elsewhere: they are measured as a pair."""
    daemon, client = shutil.which("dockerd"), shutil.which("docker", path="/usr/bin") or shutil.which("docker")
    if not daemon or not client:
        _absent("docker", "not installed")
        return None
    command = (client, "-H", f"unix://{work}/docker.sock")
    if not _dockerd(daemon, work, command):
        _absent("docker", f"dockerd did not come up: {_tail(work / 'dockerd.log')}")
        return None
    if not _imported("docker", [*command, "import", str(archive), "busybox"]):
        return None
    return _tried(Contender("docker", command, _version([daemon, "--version"])))


def _dockerd(daemon: str, work: Path, client: tuple[str, ...]) -> bool:
    """Without the machine's daemon.json, which may name other places. `container`: it leaves AppArmor alone then."""
    config = work / "daemon.json"
    config.write_text("{}")
    words = ["-H", f"unix://{work}/docker.sock", "--config-file", str(config), "--pidfile", f"{work}/docker.pid"]
    words += ["--data-root", f"{work}/docker", "--exec-root", f"{work}/docker-exec"]
    with (work / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(
            [daemon, *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "container": "bench"},
        )
    for _ in range(300):
        if once([*client, "version"])[1] is None:
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.1)
    return False


def _podman(work: Path, archive: Path) -> Contender | None:
    """With crun, its own default and the faster one, if that works on this machine; else with runc."""
    program = shutil.which("podman")
    if not program:
        _absent("podman", "not installed")
        return None
    state = ("--root", f"{work}/podman", "--runroot", f"{work}/podman-run", "--tmpdir", f"{work}/podman-tmp")
    common = (program, *state, "--cgroup-manager", "cgroupfs", "--events-backend", "file")
    if not _imported("podman", [*common, "import", str(archive), "localhost/busybox"]):
        return None
    for runtime in filter(shutil.which, ("crun", "runc")):
        version = f"{_version([program, '--version'])} with {runtime}"
        if tried := _tried(Contender("podman", (*common, "--runtime", runtime), version)):
            return tried
    return None


def _python(minirun: str) -> Contender:
    """Not an engine but a floor: minirun's own interpreter doing nothing. The table has it in minirun's column."""
    beside = Path(minirun).with_name("python")
    return Contender("python3", (str(beside) if beside.exists() else "python3",), rows=("python",))


def _tried(one: Contender) -> Contender | None:
    _, error = once([*one.command, *_TRIAL])
    if error is not None:
        _absent(f"{one.name} {one.version}".strip(), error)
    return one if error is None else None


def _web(one: Contender) -> bool:
    """The container that exec, ps and container: need; without a network of its own rather than not at all."""
    _, error = once([*one.command, *_WEB, "busybox", "sleep", "100000"])
    if error is None:
        return True
    say(f"{one.name} in bridge mode: {error}")
    once([*one.command, "rm", "-f", "web"])
    _, error = once([*one.command, *_WEB, "--net=none", "busybox", "sleep", "100000"])
    if error is not None:
        _absent(one.name, error)
    return error is None


def _imported(name: str, command: Sequence[str]) -> bool:
    _, error = once(command)
    if error is not None:
        _absent(name, f"import: {error}")
    return error is None


def _absent(name: str, why: str) -> None:
    say(f"{name} is left out: {why}")


def _busybox_archive(work: Path) -> Path | None:
    """The image for the peers: one static program and a link for each of its names."""
    busybox = shutil.which("busybox")
    # ldd fails on what is static.
    if not busybox or once(["ldd", busybox])[1] is None:
        say("docker and podman are left out: no statically linked busybox to make an image of (busybox-static)")
        return None
    root = work / "busybox"
    for name in ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    shutil.copy2(busybox, root / "bin" / "busybox")
    names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in set(names) - {"busybox"}:
        (root / "bin" / name).symlink_to("busybox")
    archive = work / "busybox.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(root, ".")
    return archive


def _version(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found.group() if found else ""


def _tail(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").splitlines()[-3:])
