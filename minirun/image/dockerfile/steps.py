"""What an executor has to do: run a command, copy files, make a working directory. Every variable is expanded."""

from dataclasses import dataclass, field
from enum import Enum

from minirun.image.dockerfile.file_mode import ModeChange
from minirun.image.dockerfile.run_mounts import RunMount
from minirun.image.dockerfile.source import Lines
from minirun.image.platforms import Platform


class Builtin(Enum):
    """File systems that are neither a stage's nor an image's."""

    CONTEXT = "the build context"
    SCRATCH = "an empty directory"


@dataclass(frozen=True)
class StageOrigin:
    """The file system that another stage of the Dockerfile ends with."""

    index: int


@dataclass(frozen=True)
class ImageOrigin:
    """The file system of an image. `reference` is as the Dockerfile has it, with its variables expanded."""

    reference: str
    platform: Platform


Origin = Builtin | StageOrigin | ImageOrigin


@dataclass(frozen=True, kw_only=True)
class Step:
    """What every step has."""

    lines: Lines


@dataclass(frozen=True, kw_only=True)
class BoundMount:
    """A mount of RUN: its target is an absolute path, and its origin is known (secrets and ssh have none)."""

    mount: RunMount
    origin: Origin
    target: str  # "" for a secret that is only a variable


@dataclass(frozen=True, kw_only=True)
class RunStep(Step):
    """Run a command in the stage's file system."""

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    user: str
    workdir: str
    network: str  # default, none, host
    mounts: tuple[BoundMount, ...] = ()
    script: tuple[str, str] | None = None  # (name, text) of an executable file in /dev/pipes
    proxies: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # more environment, not part of the cache key


@dataclass(frozen=True, kw_only=True)
class CopyStep(Step):
    """Copy files into the stage's file system: COPY and ADD."""

    origin: Origin
    sources: tuple[str, ...]  # paths in the origin, relative to its root, perhaps with wildcards
    urls: tuple[str, ...]
    contents: tuple[tuple[str, str], ...]  # (name, text) of files that the Dockerfile holds
    destination: str  # absolute; a slash at its end: a directory
    chown: str
    chmod: ModeChange | None
    exclude: tuple[str, ...]
    is_add: bool
    unpacks: bool  # local archives become directories
    unpacks_urls: bool
    keeps_parents: bool
    is_linked: bool
    checksum: str  # of the one URL


@dataclass(frozen=True, kw_only=True)
class WorkdirStep(Step):
    """Create a working directory and its parents, owned by the user of the stage."""

    path: str
    user: str
