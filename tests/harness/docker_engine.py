"""A Docker engine on a throwaway host."""

import subprocess

from tests.harness import Host, eventually
from tests.harness.host import MINIRUN

DOCKER = "docker -H unix:///run/docker.sock"


_DOCKERD = (
    "dockerd --data-root /run/docker-data --exec-root /run/docker-exec -H unix:///run/docker.sock"
    " --pidfile /run/docker.pid"
)


def start_docker(host: Host) -> None:
    """Start dockerd, with an image `box` that has busybox's files."""
    start_dockerd(host, "--storage-driver", "vfs")
    host.sh(f"{MINIRUN} create --name tree busybox; {MINIRUN} export tree | {DOCKER} import - box; {MINIRUN} rm tree")


def start_dockerd(host: Host, *flags: str, **environment: str) -> None:
    """Start dockerd without any image."""
    variables = [f"{name}={value}" for name, value in environment.items()]
    host.popen(["env", *variables, *_DOCKERD.split(), *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: host.run([*DOCKER.split(), "version"], check=False).returncode == 0, 30)
