"""minirun cp, diff, export, commit: a container's files."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Annotated

from typer import Argument, Option

from minirun.archive import copy_paths
from minirun.cli.completion.values import COPIED, FILE
from minirun.cli.image.tags import check_reference
from minirun.cli.output.archive_file import check_output, write_archive
from minirun.cli.parameters import NONE, AnyContainer
from minirun.cli.session import commands, open_instance, warn
from minirun.engine import copy
from minirun.engine.commit import commit as commit_container
from minirun.engine.copy import container_tree
from minirun.engine.diff import changes
from minirun.engine.lifecycle import tell
from minirun.engine.owners import guarded_owner
from minirun.engine.stop import pause, unpause
from minirun.errors import MinirunError, printable
from minirun.instance import Instance
from minirun.model import ACTIVE, Container, Status
from minirun.store.lookup import find_container
from minirun.volume.filesystems import volumes_mounted

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
app = commands()


@app.command("cp")
def cp(
    source: Annotated[str, Argument(metavar="CONTAINER:SRC_PATH|SRC_PATH|-", click_type=COPIED)],
    destination: Annotated[str, Argument(metavar="DEST_PATH|-|CONTAINER:DEST_PATH", click_type=COPIED)],
    archive: Annotated[bool, Option("--archive", "-a", help="Archive mode (copy all uid/gid information)")] = False,
    follow: Annotated[bool, Option("--follow-link", "-L", help="Always follow symbol link in SRC_PATH")] = False,
    quiet: Annotated[
        bool, Option("--quiet", "-q", help="Suppress output; it is suppressed without a terminal, too")
    ] = False,
) -> None:
    """Copy files/folders between a container and the local filesystem.

    One of the two paths is in a container. With - as the source, a tar archive is read from stdin into a directory of
    the container; with - as the destination, one is written to stdout.
    """
    for what, argument in (("source", source), ("destination", destination)):
        if not argument:
            raise MinirunError(f"{what} can not be empty")
    from_container, from_path = copy_paths.split_argument(source)
    to_container, to_path = copy_paths.split_argument(destination)
    if from_container and to_container:
        raise MinirunError("copying between containers is not supported")
    if not from_container and not to_container:
        raise MinirunError("must specify at least one container source")
    instance, reference = open_instance(), from_container or to_container
    container = find_container(instance.store, reference)
    path = from_path if from_container else to_path
    side = copy.Side(container_tree(instance, container), reference, path, container.spec.read_only)
    if from_container:
        with mounted(instance, container):
            copied = _copy_out(side, to_path, follow, archive)
        shown = copy_paths.absolute(to_path)
    else:
        with mounted(instance, container):
            copied = _copy_in(side, from_path, follow, archive)
        shown = f"{to_container}:{to_path}"
    tell(instance, container.id, "archive-path" if from_container else "extract-to-dir")
    if copied is not None and not quiet and os.isatty(1):
        warn(printable(f"Successfully copied {human_size(copied)} to {shown}"))


def human_size(size: int) -> str:
    """As Docker writes it here: three digits, steps of 1000."""
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g}{_UNITS[unit]}"


def mounted(instance: Instance, container: Container) -> AbstractContextManager[None]:
    """Have the volumes of a stopped container that have file systems mounted within the block."""
    return nullcontext() if container.status in ACTIVE else volumes_mounted(instance, container)


def _copy_out(side: copy.Side, destination: str, follow: bool, archive: bool) -> int | None:
    if destination == "-":
        copy.stream_out(side, follow, sys.stdout.buffer)
        return None
    size, skipped = copy.copy_out(side, destination, follow, archive)
    for name in skipped:
        warn(printable(f"minirun: {name} is a device: it is not created on the host"))
    return size


def _copy_in(side: copy.Side, path: str, follow: bool, archive: bool) -> int:
    if path == "-":
        assert isinstance(sys.stdin.buffer, io.BufferedReader), "as Python and the worker open it"
        return copy.stream_in(side, sys.stdin.buffer)
    return copy.copy_in(side, path, follow, archive)


@app.command("diff")
def diff(container: AnyContainer) -> None:
    """Inspect changes to files or directories on a container's filesystem."""
    instance = open_instance()
    target = find_container(instance.store, container)
    for kind, path in changes(container_tree(instance, target)):
        print(printable(f"{kind} {path}"))


@app.command("export")
def export(
    container: AnyContainer,
    output: Annotated[str, Option("--output", "-o", help="Write to a file, instead of STDOUT", click_type=FILE)] = "",
) -> None:
    """Export a container's filesystem as a tar archive."""
    if not output and os.isatty(1):
        raise MinirunError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    if output:
        check_output(output, "export container")
    instance = open_instance()
    target = find_container(instance.store, container)
    tree = container_tree(instance, target)
    if output:
        write_archive(output, lambda file: copy.export(tree, file))
    else:
        copy.export(tree, sys.stdout.buffer)
    tell(instance, target.id, "export")


@app.command("commit")
def commit(
    container: AnyContainer,
    reference: Annotated[str, Argument(metavar="[REPOSITORY[:TAG]]")] = "",
    author: Annotated[
        str, Option("--author", "-a", help='Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")')
    ] = "",
    change: Annotated[
        list[str], Option("--change", "-c", help="Apply Dockerfile instruction to the created image")
    ] = NONE,
    message: Annotated[str, Option("--message", "-m", help="Commit message")] = "",
    owner_pid: Annotated[
        int, Option("--owner-pid", help="Remove the image when this process ends, however it does ($$: the shell)")
    ] = 0,
    pause: Annotated[bool, Option("--pause", "-p", help="Pause container during commit")] = True,
) -> None:
    """Create a new image from a container's changes."""
    tag = check_reference(reference) if reference else ""
    instance = open_instance()
    owner = guarded_owner(instance, owner_pid) if owner_pid else None
    target = find_container(instance.store, container)
    with paused(instance, target, pause):
        image = commit_container(instance, target, tag, tuple(change), author, message, owner)
    tell(instance, target.id, "commit", comment=message, imageID=f"sha256:{image.id}", imageRef=tag)
    print(f"sha256:{image.id}")


@contextmanager
def paused(instance: Instance, container: Container, wanted: bool) -> Iterator[None]:
    """Killed in between, it leaves a container that is paused, and on record as such."""
    if not wanted or container.paused or container.status is not Status.RUNNING:
        yield
        return
    pause(instance, container)
    try:
        yield
    finally:
        unpause(instance, container)
