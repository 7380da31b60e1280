"""A throwaway host with one engine on a socket, a recorder before it, and a registry that stands for all others."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.compatibility.peers import Peers
from tests.harness import Host, eventually
from tests.harness.debian_packages import REGISTRY, fetch
from tests.harness.host import MINIRUN, REPO

ENGINES = ("docker", "minirun")
# Both the engine's own and the recorder's, which is the one that clients expect. In a directory of their own, so that a
# container may have it mounted.
BIN = "/run/own/bin"  # of the clients
_ENGINE = "/run/engine/engine.sock"
SOCKET = "/run/docker.sock"
# The registries that the tests name. In this host they are all this machine, with certificates of an authority that
# this host trusts.
REGISTRIES = ("registry-1.docker.io", "index.docker.io", "docker.io", "quay.io", "ghcr.io", "registry.k8s.io")
_TRUSTED = "/etc/ssl/certs/ca-certificates.crt"
_LAY = """
set -e
mkdir -p {root} /run/own/up /run/own/work /run/own/trust /run/engine
ln -s /run /var/run 2>/dev/null || true
mount --bind /tmp /tmp
mount --make-shared /tmp
mount -t overlay -o lowerdir={sid},upperdir=/run/own/up,workdir=/run/own/work overlay {root}
for place in /proc /sys /dev /run /tmp /root {cache} {repo}; do
    mkdir -p {root}$place
    mount --rbind $place {root}$place
done
cat {trusted} {cache}/registry/ca.crt > /run/own/trust/all.crt
printf '127.0.0.1 localhost %s\\n127.0.1.1 stage\\n' "{registries}" > /run/own/hosts
mount --bind /run/own/trust/all.crt {trusted}
mount --bind /run/own/hosts /etc/hosts
cat {trusted} > {root}{trusted}
cat /run/own/hosts > {root}/etc/hosts
cp /etc/resolv.conf {root}/etc/resolv.conf || true
hostname stage
"""
_ROOT = "/run/sid"
_CONFIG = """
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}
http: {addr: "127.0.0.1:443", tls: {certificate: %s/server.crt, key: %s/server.key}}
"""


@dataclass
class Stage:
    """One engine, and where to reach it."""

    engine: str
    host: Host
    peers: Peers
    log: Path
    records: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, words: Sequence[str | Path], *, cwd: Path | str = "/", timeout: float = 900, **more: Any) -> Any:
        """Run a client's command where the engine is; return the finished process."""
        variables = [f"{name}={value}" for name, value in (self._variables() | self.environment).items()]
        command = ["env", "-C", str(cwd), *variables, *map(str, words)]
        return self.host.run(command, check=False, timeout=timeout, errors="replace", **more)

    def docker(self, *words: str, **more: Any) -> Any:
        """Docker's command line."""
        return self.run([self.peers.docker, *words], **more)

    def compose(self, *words: str, **more: Any) -> Any:
        """Docker's compose."""
        return self.run([self.peers.compose, *words], **more)

    def pull(self, *names: str) -> None:
        """Have these images."""
        program = MINIRUN if self.engine == "minirun" else self.peers.docker
        for name in names:
            done = self.run([program, "pull", "-q", name])
            assert done.returncode == 0, f"pull {name}: {done.stderr}"

    def _variables(self) -> dict[str, str]:
        home = "/run/own/home"
        return {
            "DOCKER_HOST": f"unix://{SOCKET}",
            "HOME": home,
            "PATH": f"{BIN}:{self.peers.python.parent}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "DOCKER_CLI_HINTS": "false",
            # Clients ask a Linux engine for BuildKit's own protocol, whatever it says of its builder.
            "DOCKER_BUILDKIT": "0",
            "SSL_CERT_FILE": _TRUSTED,
            "PYTHONDONTWRITEBYTECODE": "1",
        }


@contextmanager
def staged(engine: str, peers: Peers, results: Path) -> Iterator[Stage]:
    """A host with the engine `docker` or `minirun`; what it says and what is said to it is written to `results`."""
    results.mkdir(parents=True, exist_ok=True)
    stage_log, records = results / "engine.log", results / "records.jsonl"
    records.unlink(missing_ok=True)
    # minirun's own fork server, so that none outside is needed.
    with Host(hybrid=True, own_server=True) as host:
        _lay(host, peers)
        stage = Stage(engine, host, peers, stage_log, records)
        host.sh(f"mkdir -p /run/own/home {BIN}; ln -s {peers.docker} {peers.compose} {BIN}")
        _start_registry(stage)
        with stage_log.open("wb") as log:
            (_start_docker if engine == "docker" else _start_minirun)(stage, log)
            _start_recorder(stage, log)
            eventually(lambda: stage.docker("version", timeout=30).returncode == 0, 60)
            yield stage


def _lay(host: Host, peers: Peers) -> None:
    certify(peers.cache / "registry")
    names = " ".join(REGISTRIES)
    script = _LAY.format(root=_ROOT, sid=peers.sid, cache=peers.cache, repo=REPO, trusted=_TRUSTED, registries=names)
    host.sh(script)


def certify(directory: Path) -> None:
    """An authority of this machine alone, and a certificate for all the registries."""
    if (directory / "server.crt").exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    alternatives = ",".join(f"DNS:{name}" for name in (*REGISTRIES, "localhost"))
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650"]
    made = f"-keyout {directory}/ca.key -out {directory}/ca.crt -subj /CN=compatibility"
    _must("openssl", "req", "-x509", *key, *made.split())
    made = f"-keyout {directory}/server.key -out {directory}/server.crt -subj /CN=registry"
    made += f" -CA {directory}/ca.crt -CAkey {directory}/ca.key -addext subjectAltName={alternatives}"
    _must("openssl", "req", "-x509", *key, *made.split(), "-addext", "basicConstraints=critical,CA:FALSE")


def _must(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


def _start_registry(stage: Stage) -> None:
    """What is pushed stays with this host: its storage is a copy."""
    place = stage.peers.cache / "registry"
    (place / "storage").mkdir(exist_ok=True)
    stage.host.sh(f"cp -a {place}/storage /run/own/storage")
    config = _CONFIG % ("/run/own/storage", place, place)
    stage.host.run(["sh", "-c", "cat > /run/own/registry.yml"], input=config)
    _popen(
        stage, [str(fetch(REGISTRY) / "usr/bin/docker-registry"), "serve", "/run/own/registry.yml"], subprocess.DEVNULL
    )
    eventually(
        lambda: stage.host.run(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/443"], check=False).returncode == 0, 20
    )


def _start_docker(stage: Stage, log: Any) -> None:
    config = (
        "--data-root /run/docker-data --exec-root /run/docker-exec --pidfile /run/docker.pid --storage-driver overlay2"
    )
    # Its root is that of a mount namespace: what joins a container's would come out above a mere chroot. `container` in
    # the environment: it leaves AppArmor alone then.
    pivot = f"cd {_ROOT} && mkdir -p old && pivot_root . old && umount -l /old && exec dockerd"
    words = ["env", "container=stage", "unshare", "--mount", "--propagation", "unchanged", "sh", "-c"]
    _popen(stage, [*words, f"{pivot} -H unix://{_ENGINE} {config}"], log)


def _start_minirun(stage: Stage, log: Any) -> None:
    _popen(stage, [MINIRUN, "system", "service", "--time", "0", f"unix://{_ENGINE}"], log)


def _start_recorder(stage: Stage, log: Any) -> None:
    """It listens on the socket, and on a port of this host for clients that know only TCP."""
    eventually(lambda: stage.host.run(["test", "-S", _ENGINE], check=False).returncode == 0, 60)
    words = [
        sys.executable,
        "-m",
        "tests.compatibility.recorder",
        _ENGINE,
        str(stage.records),
        SOCKET,
        "127.0.0.1:8081",
    ]
    _popen(stage, ["env", "-C", str(REPO), *words], log)
    eventually(lambda: stage.host.run(["test", "-S", SOCKET], check=False).returncode == 0, 20)


def _popen(stage: Stage, words: list[str], log: Any) -> None:
    stage.host.popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def lay_copy(source: Path, target: Path) -> Path:
    """A copy of a project's tests that they may write to."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
    os.utime(target)
    return target
