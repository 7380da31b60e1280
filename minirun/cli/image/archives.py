"""minirun save, load."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, BinaryIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from typer import Option

from minirun.cli.completion.values import FILE
from minirun.cli.output.archive_file import check_output, write_archive
from minirun.cli.parameters import Images
from minirun.cli.session import commands, open_instance
from minirun.errors import MinirunError
from minirun.image import load as loading
from minirun.image.platforms import parse_platform
from minirun.image.save import save as save_images

app = commands()


@app.command("save")
def save(
    images: Images,
    output: Annotated[str, Option("--output", "-o", help="Write to a file, instead of STDOUT", click_type=FILE)] = "",
) -> None:
    """Save one or more images to a tar archive (streamed to STDOUT by default)."""
    if not output and os.isatty(1):
        raise MinirunError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    if output:
        check_output(output, "save image")
    instance = open_instance()
    if output:
        write_archive(output, lambda file: save_images(instance, images, file))
    else:
        save_images(instance, images, sys.stdout.buffer)


@app.command("load")
def load(
    source: Annotated[
        str, Option("--input", "-i", help="Read from tar archive file, instead of STDIN", click_type=FILE)
    ] = "",
    platform: Annotated[
        str, Option("--platform", help='Load only the given platform. Formatted as "os[/arch[/variant]]"')
    ] = "",
    quiet: Annotated[bool, Option("--quiet", "-q", help="Suppress the load output")] = False,
) -> None:
    """Load an image from a tar archive or STDIN."""
    wanted = parse_platform(platform) if platform else None
    with _open(source) as (stream, name):
        instance = open_instance()
        images: list[loading.Loaded] = []
        try:
            with _bar(quiet) as progress:
                images.extend(loading.load(instance, stream, name, wanted, progress))
        finally:  # those before one that is damaged are kept
            for loaded in images:
                _tell(loaded)


def _tell(loaded: loading.Loaded) -> None:
    for tag, old in loaded.renamed:
        print(f"The image {tag} already exists, renaming the old one with ID sha256:{old} to empty string")
    for tag in loaded.tags:
        print(f"Loaded image: {tag}")
    if not loaded.tags:
        print(f"Loaded image ID: sha256:{loaded.id}")


@contextmanager
def _open(source: str) -> Iterator[tuple[BinaryIO, str]]:
    """Yield the archive, and what error messages call it."""
    if not source:
        if os.isatty(0):
            raise MinirunError("requested load from stdin, but stdin is empty", "name a file with -i, or pipe one in")
        yield sys.stdin.buffer, "the archive on stdin"
        return
    try:
        stream = open(source, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise MinirunError(f"open {source}: {(error.strerror or str(error)).lower()}") from None
    with stream:
        yield stream, source


@contextmanager
def _bar(quiet: bool) -> Iterator[loading.Progress | None]:
    """At a terminal, a line that shows how much of the layers has been read."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("Loading layers"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bars:
        task = bars.add_task("layers", total=None)
        yield lambda count: bars.advance(task, count)
