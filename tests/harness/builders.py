"""Docker's classic builder and minirun's, on one throwaway host, to compare what they build."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.debian_packages import DOCKER as DOCKER_PACKAGES
from tests.harness.debian_packages import overlay_packages
from tests.harness.docker_engine import DOCKER, start_dockerd
from tests.harness.host import MINIRUN, Host

_SAVED = "/run/busybox.tar"


@dataclass(frozen=True)
class Builder:
    """One of the two. Its images are busybox, which both have with equal digests, and what it builds."""

    host: Host
    program: tuple[str, ...]

    def build(self, context: Path, name: str, flags: Sequence[str] = ()) -> Any:
        """Build the image `name` in the directory of its context; return the finished process."""
        words = ["build", "-t", name, "--network=none", *flags, "."]
        variables = ("env", "-C", str(context), "DOCKER_BUILDKIT=0", "OF_CLIENT=of the client")
        return self.host.run([*variables, *self.program, *words], check=False, timeout=120)

    def save(self, name: str) -> bytes:
        """Return the archive of an image."""
        return bytes(self.host.run([*self.program, "save", name], text=False, timeout=120).stdout)


@dataclass(frozen=True)
class Builders:
    """Both of them. Nothing that they make is older than `started`, in seconds since the epoch."""

    docker: Builder
    minirun: Builder
    started: int

    @property
    def both(self) -> tuple[Builder, Builder]:
        """Docker's first."""
        return self.docker, self.minirun


def start_builders(host: Host) -> Builders:
    """Start dockerd on the host. Skips the test where there is no dockerd."""
    started = int(time.time())
    overlay_packages(host, DOCKER_PACKAGES)
    # It executes itself twice for each layer, and most of that is the start of Go's runtime.
    frugal = {"GOMAXPROCS": "1", "GOGC": "400"}
    start_dockerd(host, "--storage-driver=overlay2", "--iptables=false", "--bridge=none", **frugal)
    host.minirun("run", "--rm", "--net=none", "busybox", "true")
    host.minirun("save", "-o", _SAVED, "busybox")
    host.sh(f"{DOCKER} load -i {_SAVED}")
    builders = Builders(Builder(host, tuple(DOCKER.split())), Builder(host, (MINIRUN,)), started)
    format_ = "{{.Id}} {{.RootFS.Layers}}"
    ids = {host.sh(f"{shlex.join(one.program)} image inspect -f '{format_}' busybox") for one in builders.both}
    assert len(ids) == 1, ids
    return builders
