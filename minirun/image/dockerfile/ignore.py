"""The .dockerignore file: what of a build context is not part of it.

The last pattern that matches a path, or a directory above it, decides; a `!` makes it part of the context again.
https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

import os
import posixpath
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field

from minirun.archive.tree_walk import DIRECTORY, TreeCursor, lstat_at, names_in
from minirun.errors import MinirunError
from minirun.image.dockerfile.globs import Pattern, has_wildcards, ignore_pattern, matches
from minirun.image.dockerfile.words import SPACE

_BOM = "\ufeff"


@dataclass(frozen=True)
class Rule:
    """One pattern. `is_exception`: what it matches is part of the context again."""

    text: str
    pattern: Pattern
    is_exception: bool


Matched = tuple[bool, ...]
"""For each rule, whether it matches a directory or one above it: what is below it inherits that."""


@dataclass(frozen=True)
class IgnoreRules:
    """The rules of one file, in order."""

    rules: tuple[Rule, ...]

    def is_ignored(self, path: str) -> bool:
        """Return whether a path, relative to the context, is ignored, by itself or with a directory above it."""
        matched: Matched = ()
        ignored = False
        for number in range(1, path.count("/") + 2):
            ignored, matched = self.look(path.split("/", number)[:number], matched)
        return ignored

    def look(self, parts: list[str], above: Matched = ()) -> tuple[bool, Matched]:
        """Return whether the path of these parts is ignored, and which rules match it.

        `above` is the second result for the directory that it is in; () at the top.
        """
        path = "/".join(parts)
        matched: list[bool] = []
        ignored = False
        for number, rule in enumerate(self.rules):
            is_match = (bool(above) and above[number]) or (
                rule.is_exception == ignored and matches(rule.pattern, path)  # other rules change nothing
            )
            matched.append(is_match)
            if is_match:
                ignored = not rule.is_exception
        return ignored, tuple(matched)

    def may_keep_below(self, directory: str) -> bool:
        """Return whether an exception may be about something in an ignored directory."""
        return any(
            rule.is_exception and (has_wildcards(rule.text) or rule.text.startswith(directory + "/"))
            for rule in self.rules
        )


def ignore_files(dockerfile: str) -> tuple[str, str]:
    """Return where to look for the rules: beside the Dockerfile under its name, then at the top of the context."""
    return f"{dockerfile}.dockerignore", ".dockerignore"


def read_ignore_file(data: bytes, name: str = ".dockerignore") -> IgnoreRules:
    """Parse a .dockerignore file. MinirunError for a pattern that is wrong."""
    lines = data.decode("utf-8", "surrogateescape").removeprefix(_BOM).split("\n")
    rules: list[Rule] = []
    for number, line in enumerate(lines, 1):
        text = "" if line.startswith("#") else line.strip(SPACE)
        if text:
            try:
                rules.append(_rule(text))
            except MinirunError as error:
                raise MinirunError(f"{name}:{number}: {error.message}", error.hint) from error
    return IgnoreRules(tuple(rules))


def exclude_rules(patterns: Iterable[str]) -> IgnoreRules:
    """Return the rules of COPY --exclude."""
    return IgnoreRules(tuple(map(_rule, patterns)))


def ignored_paths(directory: int, rules: IgnoreRules) -> frozenset[str]:
    """Walk a tree and return the paths to leave out; everything below one of them is left out too.

    An ignored directory is not among them when an exception keeps something in it. Closes the descriptor.
    """
    cursor = TreeCursor(directory)
    top = _Level([], (), False, names_in(directory))
    levels = [top]
    try:
        while levels:
            level = levels[-1]
            if level.names:
                _look(cursor, levels, level.names.pop(), rules)
                continue
            levels.pop()
            if levels:
                cursor.up()
                is_dropped = level.is_ignored and not level.keeps
                levels[-1].ignored += ["/".join(level.parts)] if is_dropped else level.ignored
                levels[-1].keeps |= not is_dropped
    finally:
        cursor.close()
    return frozenset(top.ignored)


@dataclass
class _Level:
    """A directory that is being walked. `keeps`: something in it is part of the context."""

    parts: list[str]
    matched: Matched
    is_ignored: bool
    names: list[str]
    keeps: bool = False
    ignored: list[str] = field(default_factory=list)


def _look(cursor: TreeCursor, levels: list[_Level], name: str, rules: IgnoreRules) -> None:
    level = levels[-1]
    parts = [*level.parts, name]
    path = "/".join(parts)
    is_ignored, matched = rules.look(parts, level.matched)
    status = lstat_at(cursor.fd, name)
    if status is not None and stat.S_ISDIR(status.st_mode) and (not is_ignored or rules.may_keep_below(path)):
        child = os.open(name, DIRECTORY, dir_fd=cursor.fd)
        levels.append(_Level(parts, matched, is_ignored, names_in(child)))
        cursor.down(child)
    elif is_ignored:
        level.ignored.append(path)
    else:
        level.keeps = True


def _rule(text: str) -> Rule:
    is_exception = text.startswith("!")
    path = text[1:].strip(SPACE) if is_exception else text
    if not path:
        raise MinirunError('illegal exclusion pattern: "!"')
    path = posixpath.normpath(path)
    path = (path.lstrip("/") or path) if path.startswith("/") else path
    return Rule(path, ignore_pattern(path), is_exception)
