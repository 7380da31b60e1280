"""A host that runs containers for tests: this machine, or a throwaway one in namespaces of its own."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from minirun.testing.client import Client, program, whole_path
from minirun.testing.conditions import Condition
from minirun.testing.container import Container, Deadline, RunOptions, wait_words
from minirun.testing.failures import HostError, NoPermissionError, NotReadyError, StartError
from minirun.testing.faults import NetworkFaults
from minirun.testing.rootless import HeldLab

TIMEOUT = 60.0  # seconds that a container may take to become ready
_THROWAWAY_ROOT = "/run/minirun-testing"
_LAB_ROOT = "/var/lib/minirun"  # in a lab, whatever $MINIRUN_ROOT says here


@dataclass(frozen=True)
class Network(NetworkFaults):
    """A network on a host. `name` is unique on the host."""

    host: "Host" = field(repr=False)
    id: str = field(repr=False)
    name: str

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.remove()

    def connect(self, container: Container, alias: str = "") -> None:
        """Connect a running container; `alias` is one more DNS name for it there."""
        names = [word for name in {container.alias, alias} - {""} for word in ("--alias", name)]
        self.host.client.text("network", "connect", *names, self.id, container.id)

    def disconnect(self, container: Container) -> None:
        """Disconnect a container: it loses its address and its link there."""
        self.host.client.text("network", "disconnect", self.id, container.id)

    def inspect(self) -> dict[str, Any]:
        """Return what `minirun network inspect` prints."""
        found: dict[str, Any] = json.loads(self.host.client.text("network", "inspect", self.id))[0]
        return found

    def remove(self) -> None:
        """Remove it, and first the containers in it. One that is gone is fine."""
        for container in self.host.containers():
            if self.name in container.options.networks:
                container.remove()
        self.host.client.run(["network", "rm", self.id], None)


@dataclass(frozen=True)
class Images:
    """The images on a host."""

    host: "Host" = field(repr=False)

    def pull(self, name: str) -> None:
        """Pull an image from its registry."""
        self.host.client.text("pull", "--quiet", name)

    def load(self, archive: str | os.PathLike[str]) -> None:
        """Load the images of an archive, as `minirun save` or `docker save` writes it."""
        self.host.client.text("load", "--quiet", "--input", whole_path(archive))

    def import_tree(self, archive: str | os.PathLike[str], name: str, *changes: str) -> None:
        """Make an image of a tar archive of a root file system. `changes` are lines of a Dockerfile."""
        flags = [word for change in changes for word in ("--change", change)]
        self.host.client.text("import", *flags, whole_path(archive), name)

    def build(self, context: str | os.PathLike[str], dockerfile: str = "", target: str = "", **build_args: str) -> str:
        """Build an image from a Dockerfile and return its id, which `Host.run` takes as an image.

        dockerfile: the path of another one than `context`/Dockerfile
        The same files give the same image at once: their content is found in the build cache. CommandError with the
        lines at fault.
        """
        flags = [*(("--file", whole_path(dockerfile)) if dockerfile else ()), *(("--target", target) if target else ())]
        flags += [word for name, value in build_args.items() for word in ("--build-arg", f"{name}={value}")]
        return self.host.client.text("build", "--quiet", *flags, whole_path(context))

    def names(self) -> list[str]:
        """Return the names of all images."""
        return self.host.client.text("images", "--format", "{{.Repository}}:{{.Tag}}").splitlines()


class Host:
    """`Host()` is this machine, `Host.throwaway()` one that ends with this process and that nothing else can see.
    `Host.rootless()` is such a one for an ordinary user.

    What is made by it goes when the `with` block ends, or at `close`; at the latest when the process `owner` ends (0:
    this process), however it does. `timeout`: seconds that a container may take to become ready. Thread safe.
    """

    def __init__(self, timeout: float = TIMEOUT, owner: int = 0, client: Client | None = None) -> None:
        self.timeout = timeout
        self.owner = owner or os.getpid()
        self.client = client or Client(root=os.environ.get("MINIRUN_ROOT", ""))
        self.images = Images(self)
        self._lock = threading.Lock()
        self._containers: dict[str, Container] = {}
        self._networks: list[Network] = []
        self._failed: dict[str, set[int]] = {}
        self._holder: subprocess.Popen[bytes] | None = None

    @classmethod
    def throwaway(cls, timeout: float = TIMEOUT) -> "Host":
        """Make a host of its own: network, mount, pid, uts, ipc and cgroup namespaces, and an empty state root.

        It sees the files of this machine, and nothing of its network. What is in it has gone a moment after this
        process has ended. If this process is not root, it is `Host.rootless`.
        """
        if os.geteuid() != 0:
            return cls.rootless(timeout)
        host, holder = cls._held(subprocess.PIPE, timeout)
        host._holder = holder
        return host

    @classmethod
    def until_end_of(cls, path: str, timeout: float) -> "Host":
        """Make a throwaway host that lives until the pipe at `path` ends, rather than with this process."""
        with open(path, "rb", buffering=0) as pipe:
            return cls._held(pipe.fileno(), timeout)[0]

    @classmethod
    def at(cls, pid: int, timeout: float) -> "Host":
        """Return the throwaway host that a process is in. Another process holds it."""
        return cls(timeout, 1, Client(pid, _THROWAWAY_ROOT))

    @classmethod
    def of_lab(cls, owner: int, path: Path, timeout: float) -> "Host":
        """Return the lab whose socket is at `path`; make it, until the process `owner` ends, if there is none."""
        lab = HeldLab.attached(path) if path.exists() else HeldLab(program(), sys.executable, owner, path)
        return cls(timeout, 1, Client(lab.pid, _LAB_ROOT, lab))

    @classmethod
    def _held(cls, stdin: int, timeout: float) -> "tuple[Host, subprocess.Popen[bytes]]":
        command = [program(), "system", "throwaway-host"]
        holder = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert holder.stdout is not None
        assert holder.stderr is not None
        line = holder.stdout.readline()
        if not line:
            text = holder.stderr.read().decode("utf-8", "replace").strip()
            raise (NoPermissionError if "root" in text else HostError)(text, command, holder.wait())
        holder.stdout.readline()  # its state root is there
        return cls.at(int(line), timeout), holder

    @classmethod
    def rootless(cls, timeout: float = TIMEOUT) -> "Host":
        """Make a throwaway host as an ordinary user: a lab (docs/lab.md), held by this process.

        Published TCP ports are reached on this machine's 127.0.0.1, too, through this process: `Container.port` says
        where. A connection that is refused in the lab is reset there. HostError says why this machine allows no lab.
        """
        lab = HeldLab(program(), sys.executable)
        return cls(timeout, 1, Client(lab.pid, _LAB_ROOT, lab))

    def __enter__(self) -> "Host":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Remove all that was made by this object, and end a throwaway host."""
        if self.client.lab:
            self.client.lab.close()
            return
        if self._holder is not None:
            self._holder.communicate()
            return
        with self._lock:
            containers, networks = list(self._containers), self._networks
            self._containers, self._networks = {}, []
        if containers:
            self.client.run(["rm", "-f", "-v", *containers], None)
        if networks:
            self.client.run(["network", "rm", *(network.id for network in networks)], None)

    def run(
        self,
        image: str,
        command: Sequence[str] = (),
        *,
        ports: Iterable[int | str] = (),
        env: Mapping[str, str] | None = None,
        networks: Iterable[Network | str] = (),
        volumes: Iterable[str] = (),
        ready: Condition | None = None,
        name: str = "",
        timeout: float | None = None,
        flags: Sequence[str] = (),
    ) -> Container:
        """Run a container in the background and return it when it is ready.

        ports: container ports such as 80 or "53/udp", each published on a free port of 127.0.0.1
        networks: the ones that it is in; the default bridge if there are none
        name: its DNS name on networks; its name on the host begins with it and is unique
        ready: what to wait for; None: until its program was started
        timeout: seconds to wait at most (None: the host's)
        flags: further words of `minirun run`

        StartError, ImageNotFoundError or NotReadyError. In the last case the container stays, to be looked at, until
        the host is closed.
        """
        names = tuple(network.name if isinstance(network, Network) else network for network in networks)
        options = RunOptions(
            image,
            tuple(command),
            tuple(str(port) for port in ports),
            tuple((env or {}).items()),
            names,
            tuple(volumes),
            ready,
            name,
            tuple(flags),
        )
        return self._run(options, timeout)

    def run_again(
        self, origin: Container, image: str, command: Sequence[str] = (), ready: Condition | None = None
    ) -> Container:
        """Run another container as `origin` was run, from another image (`Snapshot.run`)."""
        options = replace(
            origin.options,
            image=image,
            command=tuple(command) or origin.options.command,
            ready=ready or origin.options.ready,
        )
        return self._run(options, None)

    def _run(self, options: RunOptions, timeout: float | None) -> Container:
        alias = options.name or options.image.rpartition("/")[2].partition(":")[0]
        name = f"{alias[:40]}-{secrets.token_hex(6)}"
        words = ["run", "-d", "--name", name, "--owner-pid", str(self.owner)]
        words += [word for port in options.ports for word in ("-p", f"127.0.0.1::{port}")]
        words += [word for key, value in options.env for word in ("-e", f"{key}={value}")]
        words += [word for network in options.networks for word in ("--network", network)]
        if options.networks and options.name:
            words += ["--network-alias", options.name]
        words += [word for volume in options.volumes for word in ("-v", volume)]
        deadline = Deadline(self.timeout if timeout is None else timeout)
        words += wait_words(options.ready, deadline)
        try:
            made = self.client.text(*words, *options.flags, options.image, *options.command, kind=StartError)
        except StartError as error:
            found = self.client.run(["container", "inspect", "--format", "{{.Id}}", name], kind=None)
            if found.returncode:
                raise
            self._remember(Container(self, found.stdout.decode().strip(), name, alias, options))
            raise NotReadyError(error.text, error.command, error.code) from None
        container = self._remember(Container(self, made.splitlines()[-1], name, alias, options))
        container.wait_for_checks(options.ready, deadline)
        return container

    def _remember(self, container: Container) -> Container:
        with self._lock:
            self._containers[container.id] = container
        return container

    def network(self, name: str = "net", *flags: str) -> Network:
        """Create a network. Its name on the host begins with `name` and is unique; `flags` are `network create`'s."""
        whole = f"{name[:40]}-{secrets.token_hex(6)}"
        made = Network(
            self, self.client.text("network", "create", "--owner-pid", str(self.owner), *flags, whole), whole
        )
        with self._lock:
            self._networks.append(made)
        return made

    def containers(self) -> list[Container]:
        """Return the containers that were made by this object and not removed by it."""
        with self._lock:
            return list(self._containers.values())

    def note_failure(self, container: Container, port: int) -> None:
        """A connection to a port of the container has failed."""
        with self._lock:
            self._failed.setdefault(container.id, set()).add(port)

    def failed_ports(self, container: Container) -> set[int]:
        """Return the ports of the container that `Container.connect` has failed to reach."""
        with self._lock:
            return set(self._failed.get(container.id, ()))

    def forget(self, container: Container) -> None:
        """A container was removed."""
        with self._lock:
            self._containers.pop(container.id, None)
            self._failed.pop(container.id, None)

    def map(self) -> str:
        """Draw all networks and containers of the host, and what leads where (`minirun map`)."""
        with contextlib.suppress(HostError):
            return self.client.text("map")
        return ""
