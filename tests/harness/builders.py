"""Docker's classic builder and minirun's on throwaway hosts, to compare what they build."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.debian_packages import DOCKER as DOCKER_PACKAGES
from tests.harness.debian_packages import overlay_packages
from tests.harness.docker_engine import DOCKER, start_dockerd
from tests.harness.host import MINIRUN, Host


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


def minirun_builder(host: Host) -> Builder:
    """minirun's, on a host."""
    host.minirun("run", "--rm", "--net=none", "busybox", "true")
    return Builder(host, (MINIRUN,))


def start_docker_builder(host: Host, ours: Builder) -> Builder:
    """Start dockerd, with the busybox of minirun's builder. Skips the test where there is no dockerd."""
    overlay_packages(host, DOCKER_PACKAGES)
    # It executes itself twice for each layer, and most of that is the start of Go's runtime.
    frugal = {"GOMAXPROCS": "1", "GOGC": "400"}
    start_dockerd(host, "--storage-driver=overlay2", "--iptables=false", "--bridge=none", **frugal)
    host.run([*DOCKER.split(), "load"], input=ours.save("busybox"), text=False)
    theirs = Builder(host, tuple(DOCKER.split()))
    format_ = "{{.Id}} {{.RootFS.Layers}}"
    ids = {one.host.sh(f"{shlex.join(one.program)} image inspect -f '{format_}' busybox") for one in (theirs, ours)}
    assert len(ids) == 1, ids
    return theirs
