"""The instructions of a Dockerfile, as they are written: variables are not expanded yet.

https://docs.docker.com/reference/dockerfile/
"""

from dataclasses import dataclass, field

from minirun.image.dockerfile.source import Lines
from minirun.image.dockerfile.statements import BLANKS, Heredoc, Script


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """What all instructions have. `keyword` is in upper case, `text` the line with its continuations joined."""

    lines: Lines
    text: str

    @property
    def keyword(self) -> str:
        """The name of the instruction, such as RUN."""
        return type(self).__name__.upper()

    @property
    def written_keyword(self) -> str:
        """The name as it is written in the file, perhaps in lower case."""
        return BLANKS.split(self.text, maxsplit=1)[0]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """name=value of ENV and LABEL. `is_legacy`: written as `ENV name value`."""

    name: str
    value: str
    is_legacy: bool = False


@dataclass(frozen=True, kw_only=True)
class Command(Instruction):
    """A command line: in the exec form its words, in the shell form one text for a shell."""

    words: tuple[str, ...]
    is_exec_form: bool


@dataclass(frozen=True, kw_only=True)
class From(Instruction):
    """FROM [--platform=P] IMAGE [AS NAME]."""

    image: str
    name: str = ""  # in lower case
    platform: str = ""


@dataclass(frozen=True, kw_only=True)
class Arg(Instruction):
    """ARG NAME[=DEFAULT] ...: (name, default or None)."""

    declarations: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, kw_only=True)
class Env(Instruction):
    """ENV NAME=VALUE ..."""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, kw_only=True)
class Label(Instruction):
    """LABEL NAME=VALUE ..."""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, kw_only=True)
class Run(Command):
    """RUN: `mounts` are the values of --mount, whose variables are expanded in the stage."""

    mounts: tuple[str, ...] = ()
    network: str = "default"  # or none, host
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Transfer(Instruction):
    """What COPY and ADD have in common."""

    sources: tuple[str, ...]
    destination: str
    contents: tuple[Heredoc, ...] = ()  # files whose content the Dockerfile holds
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Copy(Transfer):
    """COPY: `origin` is the stage or image of --from, "" for the build context."""

    origin: str = ""
    parents: bool = False


@dataclass(frozen=True, kw_only=True)
class Add(Transfer):
    """ADD: files, archives and URLs."""

    checksum: str = ""
    keep_git_dir: bool | None = None
    unpack: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Cmd(Command):
    """CMD."""


@dataclass(frozen=True, kw_only=True)
class Entrypoint(Command):
    """ENTRYPOINT."""


@dataclass(frozen=True, kw_only=True)
class Shell(Instruction):
    """SHELL ["program", "argument"]: what the shell forms are given to."""

    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Healthcheck(Instruction):
    """HEALTHCHECK: the image configuration's Healthcheck; times in nanoseconds."""

    test: tuple[str, ...]
    options: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Expose(Instruction):
    """EXPOSE PORT[-PORT][/PROTOCOL] ..."""

    ports: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Volume(Instruction):
    """VOLUME PATH ..."""

    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Text(Instruction):
    """An instruction with one argument: the rest of the line."""

    argument: str


@dataclass(frozen=True, kw_only=True)
class User(Text):
    """USER NAME[:GROUP]."""


@dataclass(frozen=True, kw_only=True)
class Workdir(Text):
    """WORKDIR PATH."""


@dataclass(frozen=True, kw_only=True)
class Stopsignal(Text):
    """STOPSIGNAL NAME."""


@dataclass(frozen=True, kw_only=True)
class Maintainer(Text):
    """MAINTAINER NAME."""


@dataclass(frozen=True, kw_only=True)
class Onbuild(Text):
    """ONBUILD INSTRUCTION: run when another image is built from this one."""


@dataclass(frozen=True)
class Dockerfile:
    """A parsed Dockerfile: the arguments before the first FROM, and the stages, each beginning with its FROM."""

    script: Script
    arguments: tuple[Arg, ...]
    stages: tuple[tuple[From, tuple[Instruction, ...]], ...] = field(repr=False)
