"""Statements become instructions: which flags and arguments each instruction takes.

https://docs.docker.com/reference/dockerfile/
"""

from collections.abc import Callable, Mapping
from typing import Any

from minirun.errors import MinirunError
from minirun.image.dockerfile import syntax
from minirun.image.dockerfile.arguments import health_options, pairs, plain_words, stage_name, transfer
from minirun.image.dockerfile.flags import FlagKind, Flags, parse_flags
from minirun.image.dockerfile.run_mounts import check_unexpanded
from minirun.image.dockerfile.source import Lines, Source, suggestion
from minirun.image.dockerfile.statements import Script, Statement, exec_form, read, statement
from minirun.image.dockerfile.syntax import Dockerfile, From, Instruction
from minirun.image.dockerfile.words import SPACE, SPACES, split

_SWITCH, _VALUE, _VALUES = FlagKind.SWITCH, FlagKind.VALUE, FlagKind.VALUES
_TRANSFER: Mapping[str, FlagKind] = {"chown": _VALUE, "chmod": _VALUE, "link": _SWITCH, "exclude": _VALUES}
_FLAGS: Mapping[str, Mapping[str, FlagKind]] = {
    "ADD": {**_TRANSFER, "checksum": _VALUE, "keep-git-dir": _SWITCH, "unpack": _SWITCH},
    "COPY": {**_TRANSFER, "from": _VALUE, "parents": _SWITCH},
    "FROM": {"platform": _VALUE},
    "HEALTHCHECK": dict.fromkeys(("interval", "timeout", "start-period", "start-interval", "retries"), _VALUE),
    "RUN": {"mount": _VALUES, "network": _VALUE, "security": _VALUE},
}
_NETWORKS = ("default", "none", "host")
_FRONTENDS = ("docker/dockerfile", "docker/dockerfile-upstream")
_Fields = Mapping[str, Any]


def parse(data: bytes, name: str = "Dockerfile") -> Dockerfile:
    """Parse a Dockerfile; `name` is what errors call it. DockerfileError with the lines at fault.

    Bytes that are no UTF-8 are kept as Python keeps them in file names (surrogateescape).
    """
    source = Source(name, data.decode("utf-8", "surrogateescape"))
    script = read(source)
    _check_frontend(script)
    arguments: list[syntax.Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for written in script.statements:
        with source.blames(written.lines, is_syntax=True):
            instruction = parse_statement(written, script.escape)
            if isinstance(instruction, From):
                stages.append((instruction, []))
            elif stages:
                stages[-1][1].append(instruction)
            elif isinstance(instruction, syntax.Arg):
                arguments.append(instruction)
            else:
                raise MinirunError("no build stage in current context", "begin with FROM")
    if not stages:
        raise MinirunError("dockerfile contains no stages to build", "begin a stage with FROM")
    return Dockerfile(script, tuple(arguments), tuple((start, tuple(rest)) for start, rest in stages))


def parse_lines(text: str, blamed: Lines | None = None) -> list[Instruction]:
    """Parse instructions that stand outside a Dockerfile, as in `commit --change` and the ONBUILD triggers of an image.

    `blamed` are what errors blame instead of the text's own lines. MinirunError when something is wrong.
    """
    if not text.strip(SPACE):
        return []
    script = read(Source("", text))
    instructions = []
    for written in script.statements:
        with script.source.blames(written.lines, is_syntax=True):
            instructions.append(parse_statement(written, script.escape, blamed))
    return instructions


def parse_statement(written: Statement, escape: str, lines: Lines | None = None) -> Instruction:
    """Parse one statement. MinirunError when it is wrong."""
    keyword = written.name.upper()
    parser = _PARSERS.get(keyword)
    if parser is None:
        raise MinirunError(f"unknown instruction: {written.name}{suggestion(written.name, _PARSERS)}")
    kind, parse_arguments = parser
    flags = parse_flags(written.flags, _FLAGS.get(keyword, {}))
    fields = parse_arguments(_Statement(written, escape), flags)
    text = "\n".join([written.text, *(heredoc.content + heredoc.name for heredoc in written.heredocs)])
    return kind(lines=lines or written.lines, text=text.strip(SPACE), **fields)


def _check_frontend(script: Script) -> None:
    """minirun reads Dockerfiles itself; another frontend could mean another language."""
    frontend = script.directives.get("syntax", "").partition(" ")[0]
    name = frontend.removeprefix("docker.io/").partition("@")[0].partition(":")[0]
    if frontend and name not in _FRONTENDS:
        raise MinirunError(
            f"the frontend {frontend} of the syntax directive is not supported", "remove it, or use docker/dockerfile:1"
        )


class _Statement:
    """A statement whose arguments are being parsed."""

    def __init__(self, written: Statement, escape: str) -> None:
        self.written = written
        self.arguments = written.arguments
        self.name = written.name.upper()
        self.escape = escape

    def required(self) -> str:
        if not self.arguments:
            raise MinirunError(f"{self.name} requires at least one argument")
        return self.arguments

    def exec_or_words(self) -> tuple[str, ...]:
        words = exec_form(self.arguments)
        return plain_words(self.arguments) if words is None else words


def _command(given: _Statement, flags: Flags) -> _Fields:
    words = exec_form(given.arguments)
    return {"words": (given.arguments,) if words is None else words, "is_exec_form": words is not None}


def _run(given: _Statement, flags: Flags) -> _Fields:
    network, security = flags.value("network", "default"), flags.value("security", "sandbox")
    if network not in _NETWORKS:
        raise MinirunError(f'invalid network mode "{network}"', "default, none or host")
    if security == "insecure":
        raise MinirunError("RUN --security=insecure is not supported", "minirun builds without privileges")
    if security != "sandbox":
        raise MinirunError(f'security "{security}" is not valid')
    for mount in flags.all("mount"):
        check_unexpanded(mount)
    fields = {"mounts": flags.all("mount"), "network": network, "heredocs": given.written.heredocs}
    return {**_command(given, flags), **fields}


def _copy(given: _Statement, flags: Flags) -> _Fields:
    fields = transfer(given.name, given.exec_or_words(), given.written.heredocs, flags)
    return {**fields, "origin": flags.value("from"), "parents": bool(flags.switch("parents"))}


def _add(given: _Statement, flags: Flags) -> _Fields:
    switches = {"keep_git_dir": flags.switch("keep-git-dir"), "unpack": flags.switch("unpack")}
    fields = transfer(given.name, given.exec_or_words(), given.written.heredocs, flags)
    return {**fields, "checksum": flags.value("checksum"), **switches}


def _from(given: _Statement, flags: Flags) -> _Fields:
    words = plain_words(given.arguments)
    name = stage_name(words)
    return {"image": words[0], "name": name, "platform": flags.value("platform")}


def _arg(given: _Statement, flags: Flags) -> _Fields:
    given.required()
    declarations: list[tuple[str, str | None]] = []
    for word in split(given.arguments, given.escape):
        name, equals, default = word.partition("=")
        if not name:
            raise MinirunError("ARG names can not be blank")
        declarations.append((name, default if equals else None))
    return {"declarations": tuple(declarations)}


def _pairs(given: _Statement, flags: Flags) -> _Fields:
    return {"pairs": pairs(given.name, given.required(), given.escape)}


def _shell(given: _Statement, flags: Flags) -> _Fields:
    words = exec_form(given.required())
    if words is None:
        raise MinirunError("SHELL requires the arguments to be in JSON form", 'such as ["/bin/sh", "-c"]')
    if not words:
        raise MinirunError("SHELL requires at least one argument")
    return {"words": words}


def _healthcheck(given: _Statement, flags: Flags) -> _Fields:
    kind, *rest = SPACES.split(given.required(), maxsplit=1)
    command = rest[0] if rest else ""
    if kind.upper() == "NONE":
        if command or flags.values:
            raise MinirunError("HEALTHCHECK NONE takes no arguments")
        return {"test": ("NONE",)}
    if kind.upper() != "CMD":
        raise MinirunError(f'Unknown type "{kind.upper()}" in HEALTHCHECK (try CMD)', "[OPTIONS] CMD command, or NONE")
    words = exec_form(command)
    if not (command if words is None else words):
        raise MinirunError("Missing command after HEALTHCHECK CMD")
    test = ("CMD-SHELL", command) if words is None else ("CMD", *words)
    return {"test": test, "options": health_options(flags)}


def _expose(given: _Statement, flags: Flags) -> _Fields:
    return {"ports": tuple(sorted(plain_words(given.required())))}


def _volume(given: _Statement, flags: Flags) -> _Fields:
    paths = tuple(path.strip(SPACE) for path in given.exec_or_words())
    if not paths:
        raise MinirunError("VOLUME requires at least one argument")
    if not all(paths):
        raise MinirunError("VOLUME specified can not be an empty string")
    return {"paths": paths}


def _text(given: _Statement, flags: Flags) -> _Fields:
    if not given.arguments:
        raise MinirunError(f"{given.name} requires exactly one argument")
    return {"argument": given.arguments}


def _onbuild(given: _Statement, flags: Flags) -> _Fields:
    trigger = statement(given.required(), given.escape, given.written.lines).name.upper()
    if trigger == "ONBUILD":
        raise MinirunError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("FROM", "MAINTAINER"):
        raise MinirunError(f"{trigger} isn't allowed as an ONBUILD trigger")
    heredocs = (heredoc.content + heredoc.name for heredoc in given.written.heredocs)
    return {"argument": "\n".join([given.arguments, *heredocs])}


_PARSERS: Mapping[str, tuple[Callable[..., Instruction], Callable[[_Statement, Flags], _Fields]]] = {
    "ADD": (syntax.Add, _add),
    "ARG": (syntax.Arg, _arg),
    "CMD": (syntax.Cmd, _command),
    "COPY": (syntax.Copy, _copy),
    "ENTRYPOINT": (syntax.Entrypoint, _command),
    "ENV": (syntax.Env, _pairs),
    "EXPOSE": (syntax.Expose, _expose),
    "FROM": (syntax.From, _from),
    "HEALTHCHECK": (syntax.Healthcheck, _healthcheck),
    "LABEL": (syntax.Label, _pairs),
    "MAINTAINER": (syntax.Maintainer, _text),
    "ONBUILD": (syntax.Onbuild, _onbuild),
    "RUN": (syntax.Run, _run),
    "SHELL": (syntax.Shell, _shell),
    "STOPSIGNAL": (syntax.Stopsignal, _text),
    "USER": (syntax.User, _text),
    "VOLUME": (syntax.Volume, _volume),
    "WORKDIR": (syntax.Workdir, _text),
}
