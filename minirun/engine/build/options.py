"""What a build is asked for, and who is told how it goes on."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from minirun.errors import MinirunError
from minirun.image.dockerfile.syntax import Instruction
from minirun.image.platforms import Platform
from minirun.image.records import Image
from minirun.model import NetworkRequest

Fetch = Callable[[str, Platform], Image]
"""Returns the image of FROM and --from, pulled if it is missing."""


@dataclass(frozen=True)
class Secret:
    """--secret: a file of the host, or a variable of the caller's environment."""

    file: Path | None = None
    variable: str = ""

    def content(self) -> bytes:
        """Read it. MinirunError when it cannot be read."""
        if self.file is None:
            return os.environb.get(os.fsencode(self.variable), b"")
        try:
            return self.file.read_bytes()
        except OSError as error:
            raise MinirunError(f"secret {self.file}: {(error.strerror or str(error)).lower()}") from None


def check_epoch(text: str) -> None:
    """Check a value of SOURCE_DATE_EPOCH; "" is none. MinirunError when it is no number of seconds."""
    if text and not (text.isascii() and text.isdigit() and len(text) < 12):
        raise MinirunError(f"invalid SOURCE_DATE_EPOCH: {text}", "seconds since 1970")


@dataclass(frozen=True)
class BuildOptions:
    """The options of a build.

    platform: for which the image is made; build_platform: this machine's
    uncached_stages: names of stages whose steps are executed even if the cache has their results
    network: of RUN, unless its own --network says otherwise
    ssh: sockets of agents, by the names that RUN --mount=type=ssh has for them
    allows_host_network: whether RUN may have --network=host
    limits: of the containers of RUN, as in model.Spec
    explains: whether each step tells what is in its layer
    stages_at_once: how many stages may be built side by side
    """

    platform: Platform
    build_platform: Platform
    fetch: Fetch
    tags: tuple[str, ...] = ()
    target: str = ""
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    uncached_stages: frozenset[str] = frozenset()
    network: NetworkRequest = field(default_factory=NetworkRequest)
    allows_host_network: bool = False
    extra_hosts: tuple[tuple[str, str], ...] = ()
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    ssh: Mapping[str, str] = field(default_factory=dict)
    shm_size: int = 0
    ulimits: tuple[tuple[str, int, int], ...] = ()
    limits: tuple[tuple[str, int | str], ...] = ()
    explains: bool = False
    stages_at_once: int = 4

    @property
    def epoch(self) -> int | None:
        """SOURCE_DATE_EPOCH: the time of everything that the build makes."""
        text = self.build_args.get("SOURCE_DATE_EPOCH", "")
        return int(text) if text else None


class StepReport(Protocol):
    """Who is told how one step goes on."""

    def output(self, data: bytes, stream: str) -> None:
        """Take output of the step's command: of its stdout or stderr."""

    def line(self, text: str) -> None:
        """Take a line about what is done."""

    def cached(self) -> None:
        """Take note that the cache had the result."""

    def made(self, image_id: str) -> None:
        """Take note of the image that stands for what the step has led to."""


class Progress(Protocol):
    """Who is told how a build goes on, from several threads."""

    def step(self, title: str, instruction: Instruction | None = None) -> AbstractContextManager[StepReport]:
        """Begin a step, that of an instruction or one of the build's own; it ends with the block."""

    def configured(self, instruction: Instruction) -> None:
        """Take note of an instruction that makes no layer."""

    def warn(self, text: str) -> None:
        """Take a sentence about something that is right and yet probably not what was meant."""
