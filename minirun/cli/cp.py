"""minirun cp."""

import os
import sys

from minirun.archive import copy_paths
from minirun.cli.app import warn
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, switch
from minirun.engine import copy
from minirun.engine.copy import tree_of
from minirun.errors import MinirunError, printable
from minirun.store.lookup import find_container

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


class Cp(Verb):
    """With - as the source, a tar archive is read from stdin into a directory of the container; with - as the
    destination, one is written to stdout."""

    usage = "CONTAINER:SRC_PATH DEST_PATH|-  or  SRC_PATH|- CONTAINER:DEST_PATH"
    least = most = 2
    completes = "copied"
    archive = switch("archive", "a", "Archive mode (copy all uid/gid information)")
    follow = switch("follow-link", "L", "Always follow symbol link in SRC_PATH")
    quiet = switch("quiet", "q", "Suppress output; it is suppressed without a terminal, too")

    def run(self) -> None:
        source, destination = self.words
        for what, argument in (("source", source), ("destination", destination)):
            if not argument:
                raise MinirunError(f"{what} can not be empty")
        from_container, from_path = copy_paths.split_argument(source)
        to_container, to_path = copy_paths.split_argument(destination)
        if from_container and to_container:
            raise MinirunError("copying between containers is not supported")
        if not from_container and not to_container:
            raise MinirunError("must specify at least one container source")
        if from_container:
            copied = _copy_out(_side(from_container, from_path), to_path, self.follow, self.archive)
            shown = copy_paths.absolute(to_path)
        else:
            copied = _copy_in(_side(to_container, to_path), from_path, self.follow, self.archive)
            shown = f"{to_container}:{to_path}"
        if copied is not None and not self.quiet and os.isatty(1):
            warn(printable(f"Successfully copied {human_size(copied)} to {shown}"))


def human_size(size: int) -> str:
    """As Docker writes it here: three digits, steps of 1000."""
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g}{_UNITS[unit]}"


def _side(reference: str, path: str) -> copy.Side:
    instance = open_instance()
    container = find_container(instance.store, reference)
    return copy.Side(tree_of(instance, container), reference, path, container.spec.read_only)


def _copy_out(side: copy.Side, destination: str, follow: bool, archive: bool) -> int | None:
    if destination == "-":
        copy.stream_out(side, follow, sys.stdout.buffer)
        return None
    size, skipped = copy.copy_out(side, destination, follow, archive)
    for name in skipped:
        warn(printable(f"minirun: {name} is a device: it is not made on the host"))
    return size


def _copy_in(side: copy.Side, path: str, follow: bool, archive: bool) -> int:
    if path == "-":
        return copy.stream_in(side, archive, sys.stdin.buffer)
    return copy.copy_in(side, path, follow, archive)
