"""COPY and ADD become a step: where files come from, and where they go.

https://docs.docker.com/reference/dockerfile/#copy
"""

import posixpath
import re

from minirun.errors import MinirunError
from minirun.image.dockerfile import syntax
from minirun.image.dockerfile.expansion import Expander
from minirun.image.dockerfile.file_mode import parse_mode
from minirun.image.dockerfile.globs import file_pattern, ignore_pattern
from minirun.image.dockerfile.stages import Stage
from minirun.image.dockerfile.steps import Builtin, CopyStep

_GIT = re.compile(r"git://|ssh://|git@[^/]+:|https?://[^?#]+\.git(?:[?#]|\Z)")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z|sha384:[0-9a-f]{96}\Z|sha512:[0-9a-f]{128}\Z")
_PIVOT = "/./"  # of --parents: what is before it is no part of the destination


def copy_step(instruction: syntax.Copy | syntax.Add, workdir: str, expander: Expander, stage: Stage) -> CopyStep:
    """Return the step that a COPY or ADD leads to; its words are expanded. MinirunError when they are wrong."""
    is_copy = isinstance(instruction, syntax.Copy)
    urls = tuple(source for source in instruction.sources if _is_url(source, is_copy))
    paths = [source for source in instruction.sources if source not in urls]
    parents = isinstance(instruction, syntax.Copy) and instruction.parents
    origin = instruction.origin if isinstance(instruction, syntax.Copy) else ""
    unpack = instruction.unpack if isinstance(instruction, syntax.Add) else False
    checksum = _checksum(instruction, urls) if isinstance(instruction, syntax.Add) else ""
    for pattern in instruction.exclude:
        ignore_pattern(pattern)
    destination = _destination(instruction.destination, workdir)
    if len(instruction.sources) + len(instruction.contents) > 1 and not destination.endswith("/"):
        raise MinirunError(
            f"When using {instruction.keyword} with more than one source file, the destination must be a directory and "
            "end with a /"
        )
    return CopyStep(
        lines=instruction.lines,
        origin=stage.origins[origin] if origin else Builtin.CONTEXT,
        sources=tuple(_source(path, parents) for path in paths),
        urls=urls,
        contents=tuple((_file_name(heredoc.name), expander.content(heredoc)) for heredoc in instruction.contents),
        destination=destination,
        chown=instruction.chown,
        chmod=parse_mode(instruction.chmod) if instruction.chmod else None,
        exclude=instruction.exclude,
        is_add=not is_copy,
        unpacks=not is_copy if unpack is None else unpack,
        unpacks_urls=bool(unpack),
        keeps_parents=parents,
        is_linked=instruction.link,
        checksum=checksum,
    )


def _is_url(source: str, is_copy: bool) -> bool:
    if _GIT.match(source):
        if is_copy:
            raise MinirunError("source can't be a git ref for COPY")
        raise MinirunError(
            "ADD of a Git repository is not supported", "clone it into the build context before the build"
        )
    if not source.startswith(("http://", "https://")):
        return False
    if is_copy:
        raise MinirunError("source can't be a URL for COPY", "ADD takes one")
    return True


def _checksum(add: syntax.Add, urls: tuple[str, ...]) -> str:
    if add.keep_git_dir is not None:
        raise MinirunError("ADD --keep-git-dir is not supported: there is no ADD of Git repositories")
    if not add.checksum:
        return ""
    if len(add.sources) != 1:
        raise MinirunError("checksum can't be specified for multiple sources")
    if not urls:
        raise MinirunError("checksum requires HTTP(S) or Git sources")
    if not _DIGEST.match(add.checksum):
        raise MinirunError(f"invalid checksum digest format: {add.checksum}", "such as sha256:24454f83...")
    return add.checksum


def _source(path: str, keeps_parents: bool) -> str:
    """Make a path relative to the root of its origin; nothing leads above it. With --parents the pivot stays."""
    if keeps_parents and _PIVOT in path:
        base, _, rest = path.partition(_PIVOT)
        return f"{_clean(base)}{_PIVOT}{_clean(rest)}"
    return _clean(path)


def _clean(path: str) -> str:
    clean = posixpath.normpath("/" + path).lstrip("/") or "."
    file_pattern(clean)
    return clean


def _file_name(name: str) -> str:
    if "/" in name or name in (".", ".."):
        raise MinirunError(f"the name of the here-document is no file name: {name}")
    return name


def _destination(path: str, workdir: str) -> str:
    """Make the destination absolute. It ends with a slash if it was written as a directory."""
    absolute = "/" + posixpath.normpath(posixpath.join("/", workdir, path)).lstrip("/")
    is_directory = path in ("", ".") or path.endswith(("/", "/."))
    return absolute + "/" if is_directory and absolute != "/" else absolute
