"""A container of a test: its processes, its files, its ports."""

import json
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

from minirun.testing.client import Client, whole_path
from minirun.testing.conditions import Condition
from minirun.testing.failures import CommandError, NotReadyError, StartError
from minirun.testing.faults import ContainerFaults

_POLL = 0.02  # seconds between two calls of a test's own readiness check
_TAIL = 30  # lines of a log in a failure


@dataclass(frozen=True)
class RunOptions:
    """How a container is run; the arguments of `Host.run`."""

    image: str
    command: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    ready: Condition | None = None
    name: str = ""
    flags: tuple[str, ...] = ()


class ContainerHost(Protocol):
    """What a container needs of its host (`Host`)."""

    client: Client
    timeout: float
    owner: int

    def note_failure(self, container: "Container", port: int) -> None:
        """A connection to a port of the container has failed."""

    def failed_ports(self, container: "Container") -> set[int]:
        """Return the ports for which `note_failure` was called."""

    def forget(self, container: "Container") -> None:
        """A container was removed."""

    def run_again(
        self, origin: "Container", image: str, command: Sequence[str] = (), ready: Condition | None = None
    ) -> "Container":
        """Run another container as `origin` was run, from another image."""

    def map(self) -> str:
        """Draw all networks and containers."""


@dataclass(frozen=True)
class Output:
    """What a command in a container has printed, and its exit code."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class State:
    """How a container is: created, running, paused, restarting or exited."""

    status: str
    exit_code: int
    error: str
    oom_killed: bool

    def __str__(self) -> str:
        if self.status != "exited":
            return self.status
        reason = "killed for lack of memory" if self.oom_killed else self.error
        return f"exited with {self.exit_code}" + (f": {reason}" if reason else "")


@dataclass(frozen=True)
class Container(ContainerFaults):
    """A container on a host. `name` is unique on the host; `alias` is its DNS name on networks."""

    host: ContainerHost = field(repr=False)
    id: str = field(repr=False)
    name: str
    alias: str
    options: RunOptions = field(repr=False, compare=False)

    def __enter__(self) -> "Container":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.remove()

    def exec(self, *command: str, check: bool = True, input: bytes | str = b"", user: str = "") -> Output:
        """Run a command in the container. With `check`, another exit code than 0 raises CommandError."""
        flags = ["-i", *(["--user", user] if user else [])]
        data = input.encode() if isinstance(input, str) else input
        words = ["exec", *flags, self.id, *command]
        done = self.host.client.run(words, None, data)
        output = Output(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
        if check and output.code:
            text = f"{' '.join(command)} in {self.name}: exit code {output.code}\n{output.stdout}{output.stderr}"
            raise CommandError(text.strip(), self.host.client.argv(words), output.code)
        return output

    def logs(self, tail: int | None = None) -> str:
        """Return what it has written: standard output, then standard error."""
        done = self.host.client.run(["logs", *(["--tail", str(tail)] if tail is not None else []), self.id])
        return (done.stdout + done.stderr).decode("utf-8", "replace")

    def inspect(self) -> dict[str, Any]:
        """Return what `minirun inspect` prints: all that is known about it, in Docker's form."""
        found: dict[str, Any] = json.loads(self.host.client.text("container", "inspect", self.id))[0]
        return found

    def state(self) -> State:
        """Return how it is now."""
        state = self.inspect()["State"]
        return State(state["Status"], state["ExitCode"], state["Error"], state["OOMKilled"])

    def address(self, network: str = "") -> str:
        """Return its IPv4 address, on the network of that name if one is given."""
        networks = self.inspect()["NetworkSettings"]["Networks"]
        found = [settings["IPAddress"] for name, settings in networks.items() if not network or name == network]
        if not any(found):
            raise CommandError(f"{self.name} has no address{f' on {network}' if network else ''}")
        return str(next(address for address in found if address))

    def port(self, port: int, protocol: str = "tcp") -> int:
        """Return the port of 127.0.0.1 on which its published port `port` is reached. See `Host.rootless`."""
        published = self.inspect()["NetworkSettings"]["Ports"].get(f"{port}/{protocol}")
        if not published:
            raise CommandError(f"{self.name} does not publish {port}/{protocol}; run(..., ports=[{port}]) does")
        found = int(published[0]["HostPort"])
        lab = self.host.client.lab
        if lab and protocol != "tcp":
            raise CommandError(f"{port}/{protocol} of {self.name} is not reached from outside of its lab: only TCP is")
        return lab.forward(found) if lab else found

    def connect(self, port: int, timeout: float = 5.0) -> socket.socket:
        """Connect from the host to its TCP port, published or not. OSError, as any connection."""
        try:
            return self.host.client.connect(self.address(), port, timeout)
        except OSError:
            self.host.note_failure(self, port)
            raise

    def stop(self, timeout: int = 10) -> None:
        """Send its stop signal, and SIGKILL after `timeout` seconds."""
        self.host.client.text("stop", "-t", str(timeout), self.id)

    def kill(self, signal: str = "KILL") -> None:
        """Send a signal."""
        self.host.client.text("kill", "--signal", signal, self.id)

    def start(self, ready: Condition | None = None, timeout: float | None = None) -> None:
        """Start it again after it has ended, and wait until it is ready (None: as `run` waited)."""
        self._start("start", ready, timeout)

    def restart(self, ready: Condition | None = None, timeout: float | None = None) -> None:
        """Stop it, start it, and wait until it is ready (None: as `run` waited)."""
        self._start("restart", ready, timeout)

    def _start(self, verb: str, ready: Condition | None, timeout: float | None) -> None:
        ready = self.options.ready if ready is None else ready
        deadline = Deadline(self.host.timeout if timeout is None else timeout)
        words = wait_words(ready, deadline)
        self.host.client.text(verb, *words, self.id, kind=NotReadyError if words else StartError)
        self.wait_for_checks(ready, deadline)

    def wait_for_checks(self, ready: Condition | None, deadline: "Deadline") -> None:
        """Wait until the functions of a condition return True; the command that has started it waited for the rest."""
        for check in ready.checks if ready else ():
            while not check(self):
                if deadline.is_over():
                    name = getattr(check, "__name__", repr(check))
                    raise NotReadyError(
                        f"{self.name} is not ready: {name} is false after {deadline.seconds:g} s\n{self.report()}"
                    )
                if (state := self.state()).status == "exited":
                    raise NotReadyError(f"{self.name} {state}, and was not ready before\n{self.report()}")
                time.sleep(_POLL)

    def wait(self) -> int:
        """Wait until it ends. Return its exit code."""
        return int(self.host.client.text("wait", self.id))

    def copy_in(self, source: str | os.PathLike[str], target: str) -> None:
        """Copy a file or directory of this process's file system to the path `target` in the container."""
        self.host.client.text("cp", whole_path(source), f"{self.id}:{target}")

    def copy_out(self, source: str, target: str | os.PathLike[str]) -> None:
        """Copy a file or directory of the container to a path of this process's file system."""
        self.host.client.text("cp", f"{self.id}:{source}", whole_path(target))

    def snapshot(self) -> "Snapshot":
        """Keep its file system as it is now, without its volumes. Its processes are paused meanwhile.

        In a lab without cgroups that can be said to its first process only; others go on.
        """
        words = ("commit", "--owner-pid", str(self.host.owner))
        try:
            image = self.host.client.text(*words, self.id)
        except CommandError as error:
            if not self.host.client.lab or "to pause a container with" not in error.text:
                raise
            self.kill("STOP")
            try:
                image = self.host.client.text(*words, "--pause=false", self.id)
            finally:
                self.kill("CONT")
        return Snapshot(self, image.removeprefix("sha256:"))

    def remove(self) -> None:
        """Kill and remove it, with its anonymous volumes. One that is gone is fine."""
        self.host.forget(self)
        try:
            self.host.client.run(["rm", "-f", "-v", self.id])
        except CommandError as error:
            if "No such container" not in error.text:
                raise

    def report(self) -> str:
        """Describe its state and the end of its log, for a person."""
        try:
            return f"{self.name} ({self.options.image}): {self.state()}\n{self.logs(_TAIL)}".rstrip()
        except CommandError:
            return f"{self.name} ({self.options.image}) was removed"


@dataclass(frozen=True)
class Snapshot:
    """The file system of a container at a moment. It goes with the test process, as all else does."""

    origin: Container = field(repr=False)
    image: str

    def run(self, command: Sequence[str] = (), ready: Condition | None = None) -> Container:
        """Run a container from it, otherwise as its origin was run. Its files are not copied (an overlay).

        `command` and `ready` replace those of the origin.
        """
        return self.origin.host.run_again(self.origin, self.image, command, ready)

    def remove(self) -> None:
        """Remove it, when the containers made from it are removed."""
        self.origin.host.client.text("rmi", self.image)


class Deadline:
    """The time until which a container must be ready, `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def is_over(self) -> bool:
        """Return whether it has passed."""
        return time.monotonic() > self._end


def wait_words(ready: Condition | None, deadline: Deadline) -> list[str]:
    """Return the options of the command that starts a container, so that it waits until it is ready."""
    if ready is None or not ready.words:
        return []
    return [*(f"--wait={word}" for word in ready.words), "--wait-timeout", f"{deadline.seconds:.3f}"]
