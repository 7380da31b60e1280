"""minirun pull and push, and what run and create pull."""

import sys
import threading
from typing import TYPE_CHECKING, Annotated, TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from typer import Argument, Option

from minirun.cli.completion.values import images
from minirun.cli.output.table import size
from minirun.cli.session import commands, open_instance
from minirun.errors import MinirunError, NotFoundError
from minirun.image.platforms import Platform, host_platform, parse_platform
from minirun.image.reference import Reference, parse_reference
from minirun.image.resolve import tags_of
from minirun.instance import Instance

if TYPE_CHECKING:
    from minirun.image.pull import Pulled

_SHORT = 12
app = commands()


@app.command("pull")
def pull(
    name: Annotated[str, Argument(metavar="NAME[:TAG|@DIGEST]")],
    everything: Annotated[
        bool, Option("--all-tags", "-a", help="Download all tagged images in the repository")
    ] = False,
    platform: Annotated[str, Option("--platform", help="Set platform if server is multi-platform capable")] = "",
    quiet: Annotated[bool, Option("--quiet", "-q", help="Suppress verbose output")] = False,
) -> None:
    """Download an image from a registry."""
    reference = parse_reference(name)
    if everything and (reference.tag or reference.digest):
        raise MinirunError("tag can't be used with --all-tags/-a")
    wanted = parse_platform(platform) if platform else host_platform()
    if not (reference.tag or reference.digest or everything or quiet):
        print("Using default tag: latest")
    instance = open_instance()
    for each in _all_tags(reference) if everything else [reference.tagged()]:
        pull_image(instance, each, wanted, sys.stdout, quiet)
        print(each.canonical)


@app.command("push")
def push(
    name: Annotated[str, Argument(metavar="NAME[:TAG]", autocompletion=images)],
    everything: Annotated[bool, Option("--all-tags", "-a", help="Push all tags of an image to the repository")] = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Suppress verbose output")] = False,
) -> None:
    """Upload an image to a registry."""
    from minirun.image.push import push as push_to
    from minirun.image.registry.client import open_client

    reference = parse_reference(name)
    if reference.digest:
        raise MinirunError("cannot push a digest reference")
    if everything and reference.tag:
        raise MinirunError("tag can't be used with --all-tags/-a")
    instance = open_instance()
    wanted = tags_of(instance, reference) if everything else [reference.tagged()]
    if not wanted:
        raise NotFoundError(f"An image does not exist locally with the tag: {reference.repository}")
    with open_client() as client, _Silence(sys.stdout) if quiet else _Lines(sys.stdout) as report:
        if not (reference.tag or everything):
            report.line("Using default tag: latest")
        report.line(f"The push refers to repository [{reference.repository}]")
        for each in wanted:
            pushed = push_to(instance, client, each, report)
            report.line(f"{each.tag}: digest: {pushed.digest} size: {pushed.size}")
    if quiet:
        print("\n".join(each.canonical for each in wanted))


def pull_image(instance: Instance, reference: Reference, platform: Platform, out: TextIO, quiet: bool) -> "Pulled":
    """Pull an image, and tell of it on `out` unless `quiet`. MinirunError in Docker's words."""
    from minirun.image.pull import pull as pull_from  # the HTTP client takes 60 ms
    from minirun.image.registry.client import open_client

    with open_client() as client, _report(out, quiet) as report:
        pulled = pull_from(instance, client, reference, platform, report)
    if not quiet:
        print(*pulled.lines(reference), sep="\n", file=out)
    return pulled


def _all_tags(reference: Reference) -> list[Reference]:
    from minirun.image.registry.client import open_client

    with open_client() as client:
        return client.repository(reference).all_tags()


def _report(out: TextIO, quiet: bool) -> "_Lines | _Bars | _Silence":
    if quiet:
        return _Silence(out)
    console = Console(file=out)
    return _Bars(out, console) if console.is_terminal else _Lines(out)


class _Lines:
    """A line for each thing that happens to a layer, for pipes and files."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def line(self, text: str) -> None:
        with self._lock:
            print(text, file=self._out, flush=True)

    def found(self, reference: Reference) -> None:
        self.line(f"{reference.target}: Pulling from {reference.path}")

    def state(self, layer: str, text: str) -> None:
        self.line(f"{layer[:_SHORT]}: {text}")

    def advance(self, layer: str, current: int, total: int) -> None:
        if current == total:
            self.state(layer, "Download complete")

    def kept(self, number: int) -> None:
        if number:
            print(f"{size(number)} of it is kept for the next pull; minirun image prune removes it", file=sys.stderr)


class _Silence(_Lines):
    def line(self, text: str) -> None:
        pass


class _Bars(_Lines):
    """A bar for each layer, at a terminal."""

    def __init__(self, out: TextIO, console: Console) -> None:
        super().__init__(out)
        columns = (TextColumn("{task.fields[layer]}: {task.description}"), BarColumn(), DownloadColumn())
        self._bars = Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "_Bars":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def line(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def state(self, layer: str, text: str) -> None:
        if layer not in self._tasks:
            self._tasks[layer] = self._bars.add_task(text, total=None, layer=layer[:_SHORT])
        self._bars.update(self._tasks[layer], description=text)

    def advance(self, layer: str, current: int, total: int) -> None:
        text = "Extracting" if current == total else "Downloading"
        self._bars.update(self._tasks[layer], completed=current, total=total, description=text)
