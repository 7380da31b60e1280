"""The engines: each gets a host of its own, the same busybox image, and one running container named web."""

import os
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import namespaces
from bench.clock import at_once, once, say
from bench.rows import WORDS

# podman's rm -f gives the program 10 seconds to end by itself; the others' kills it.
_AT_ONCE = ("rm", "-f", "--time", "0")
_WEB = ("run", "-d", "--name", "web")


@dataclass(frozen=True)
class Contender:
    """One engine, or a floor: its command line up to the verb, and in whose network namespace it is typed."""

    name: str
    command: tuple[str, ...]
    host: int
    version: str = ""
    removal: tuple[str, ...] = ("rm", "-f")
    words: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: WORDS)  # of the rows that are one command

    def run(self, *words: str, timeout: float = 60) -> tuple[float, str | None]:
        with namespaces.within(self.host):
            return once([*self.command, *words], timeout)

    def run_many(self, many: Sequence[Sequence[str]], most: int) -> tuple[float, str | None]:
        with namespaces.within(self.host):
            return at_once([[*self.command, *words] for words in many], most)

    def must(self, *words: str, timeout: float = 60) -> None:
        """For what a measurement needs first."""
        _, error = self.run(*words, timeout=timeout)
        if error is not None:
            raise UnableError(f"{' '.join(words)[:80]}: {error}")

    def remove(self, *containers: str) -> None:
        _, error = self.run(*self.removal, *containers, timeout=900)
        if error is not None:
            say(f"{self.name} could not remove {' '.join(containers)[:80]}: {error}")

    def pid(self, container: str) -> int:
        """Of the container's first process; its network namespace is entered by that."""
        with namespaces.within(self.host):
            words = [*self.command, "inspect", "--format", "{{.State.Pid}}", container]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        if not done.stdout.strip().isdigit():
            raise UnableError(f"inspect {container}: {done.stderr.strip()}")
        return int(done.stdout)


class UnableError(Exception):
    """An engine cannot do what a group of rows needs, and why."""


def prepare(work: Path, minirun: str, image: Path | None) -> list[Contender]:
    """Those that are there and can run a container. Whoever cannot is left out, and its own words say why."""
    found = [_minirun(minirun)]
    if image:
        archive = work / "busybox.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(image, ".")
        found += [_docker(work, archive), _podman(work, archive)]
    return [one for one in found if one is not None and _web(one)]


def _minirun(binary: str) -> Contender | None:
    """It makes its busybox image on first use, hence in the trial."""
    if not os.access(binary, os.X_OK):
        _absent("minirun", f"{binary} is not there: scripts/setup makes it, MINIRUN_BIN names another")
        return None
    return _tried(Contender("minirun", (binary,), namespaces.make(), version([binary, "--version"])))


def _docker(work: Path, archive: Path) -> Contender | None:
    """An engine of its own. The client beside dockerd, not one from elsewhere: they are measured as a pair."""
    daemon, client = shutil.which("dockerd"), shutil.which("docker", path="/usr/bin") or shutil.which("docker")
    if not daemon or not client:
        _absent("docker", "not installed")
        return None
    one = Contender(
        "docker", (client, "-H", f"unix://{work}/docker.sock"), namespaces.make(), version([daemon, "--version"])
    )
    if not _dockerd(daemon, work, one):
        _absent("docker", f"dockerd did not come up: {_tail(work / 'dockerd.log')}")
        return None
    return _tried(one) if _imported(one, archive, "busybox") else None


def _dockerd(daemon: str, work: Path, client: Contender) -> bool:
    """Without the machine's daemon.json, which may name other places. `container`: it leaves AppArmor alone then."""
    config = work / "daemon.json"
    config.write_text("{}")
    words = ["-H", f"unix://{work}/docker.sock", "--config-file", str(config), "--pidfile", f"{work}/docker.pid"]
    words += ["--data-root", f"{work}/docker", "--exec-root", f"{work}/docker-exec"]
    with (work / "dockerd.log").open("wb") as log, namespaces.within(client.host):
        process = subprocess.Popen(
            [daemon, *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "container": "bench"},
        )
    for _ in range(300):
        if client.run("version")[1] is None:
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
    host = namespaces.make()
    if not _imported(Contender("podman", common, host), archive, "localhost/busybox"):
        return None
    for runtime in filter(shutil.which, ("crun", "runc")):
        named = f"{version([program, '--version'])} with {runtime}"
        if tried := _tried(Contender("podman", (*common, "--runtime", runtime), host, named, _AT_ONCE)):
            return tried
    return None


def _tried(one: Contender) -> Contender | None:
    _, error = one.run(*WORDS["none"])
    if error is not None:
        _absent(f"{one.name} {one.version}".strip(), error)
    return one if error is None else None


def _web(one: Contender) -> bool:
    """The container that exec, ps and container: need; without a network of its own rather than not at all."""
    _, error = one.run(*_WEB, "busybox", "sleep", "100000")
    if error is None:
        return True
    say(f"{one.name} in bridge mode: {error}")
    one.remove("web")
    _, error = one.run(*_WEB, "--net=none", "busybox", "sleep", "100000")
    if error is not None:
        _absent(one.name, error)
    return error is None


def _imported(one: Contender, archive: Path, name: str) -> bool:
    _, error = one.run("import", str(archive), name)
    if error is not None:
        _absent(one.name, f"import: {error}")
    return error is None


def _absent(name: str, why: str) -> None:
    say(f"{name} is left out: {why}")


def busybox_tree(work: Path) -> Path | None:
    """The image for the peers, and the floor's: one static program and a link for each of its names."""
    busybox = shutil.which("busybox")
    # ldd fails on what is static.
    if not busybox or once(["ldd", busybox])[1] is None:
        say("docker, podman and the floor are left out: no statically linked busybox for an image (busybox-static)")
        return None
    root = work / "busybox"
    for name in ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    shutil.copy2(busybox, root / "bin" / "busybox")
    names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in set(names) - {"busybox"}:
        (root / "bin" / name).symlink_to("busybox")
    return root


def version(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found.group() if found else ""


def _tail(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").splitlines()[-3:])
