"""minirun export."""

import os
import stat
import sys

from minirun.archive.chroot import Tree
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, value
from minirun.engine import copy
from minirun.engine.copy import tree_of
from minirun.errors import MinirunError
from minirun.store.lookup import find_container


class Export(Verb):
    usage = "CONTAINER"
    least = most = 1
    completes = "containers"
    output = value("output", "o", "Write to a file, instead of STDOUT")

    def run(self) -> None:
        output = self.output
        if not output and os.isatty(1):
            raise MinirunError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        if output:
            _check(output)
        instance = open_instance()
        tree = tree_of(instance, find_container(instance.store, self.words[0]))
        if output:
            _write(tree, output)
        else:
            copy.export(tree, sys.stdout.buffer)


def _check(output: str) -> None:
    parent = os.path.dirname(os.path.abspath(output))
    if not os.path.isdir(parent):
        raise MinirunError(f'failed to export container: invalid output path: directory "{parent}" does not exist')
    if os.path.exists(output) and not stat.S_ISREG(os.stat(output).st_mode):
        raise MinirunError(f'failed to export container: invalid output path: "{output}" must be a regular file')


def _write(tree: Tree, output: str) -> None:
    """Beside, then renamed: half an archive is never taken for a whole one."""
    beside = f"{os.path.realpath(output)}.{os.getpid()}.part"
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            copy.export(tree, file)
        os.rename(beside, os.path.realpath(output))
    except BaseException:
        os.unlink(beside)
        raise
