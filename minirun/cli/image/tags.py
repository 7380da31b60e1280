"""minirun tag, rmi, import, image prune."""

import os
import sys
from typing import Annotated, BinaryIO

from typer import Argument, Option

from minirun.archive.layer_content import unpack_archive
from minirun.cli.completion.values import FILE, images
from minirun.cli.image.images import chosen
from minirun.cli.output.filters import Filters, is_true, parse_filters
from minirun.cli.parameters import NONE, ForcePrune, Images, filter_option
from minirun.cli.prune import KEYS, confirmed, print_reclaimed, print_removed, pruned
from minirun.cli.session import commands, open_instance, warn_of
from minirun.errors import FAILED, MinirunError, NotFoundError
from minirun.image import records
from minirun.image.busybox import BUSYBOX
from minirun.image.create import NewImage, add_image
from minirun.image.instructions import apply
from minirun.image.platforms import host_platform, parse_platform
from minirun.image.reference import parse
from minirun.image.remove import Removed, prune_images, remove_image
from minirun.image.resolve import find_image, image_to_run
from minirun.instance import Instance

_SCHEMES = ("http://", "https://")
PRUNE_KEYS = ("dangling", *KEYS)
app = commands()


@app.command("tag")
def tag(
    source: Annotated[str, Argument(metavar="SOURCE_IMAGE[:TAG]", autocompletion=images)],
    target: Annotated[str, Argument(metavar="TARGET_IMAGE[:TAG]", autocompletion=images)],
) -> None:
    """Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE."""
    reference = check_reference(target)
    tag_image(open_instance(), source, reference)


def tag_image(instance: Instance, source: str, reference: str) -> None:
    """Put a checked reference on the image that `source` means."""
    image = image_to_run(instance, source) if _is_busybox(source) else find_image(instance, source)
    put_tag(instance, image.id, reference)


def check_reference(text: str) -> str:
    """The reference with its tag. MinirunError, in Docker's words, if it is none."""
    try:
        return parse(text)
    except MinirunError as error:
        raise MinirunError(
            f'Error parsing reference: "{text}" is not a valid repository/tag: {error.message}', error.hint
        ) from None


def put_tag(instance: Instance, image_id: str, reference: str) -> None:
    """Put a tag on an image, and the event on record. NotFoundError if the image is gone."""
    with instance.store.write():
        if not records.is_there(instance.store, image_id):
            raise NotFoundError(f"No such image: sha256:{image_id}", code=FAILED)
        records.tag(instance.store, reference, image_id)
        instance.store.add_event("image", "tag", f"sha256:{image_id}", {"name": reference})


def _is_busybox(reference: str) -> bool:
    """busybox is built on first use, and a tag is one."""
    try:
        return parse(reference) == BUSYBOX
    except MinirunError:
        return False


@app.command("rmi")
def rmi(
    references: Images,
    force: Annotated[bool, Option("--force", "-f", help="Force removal of the image")] = False,
    no_prune: Annotated[bool, Option("--no-prune", help="Do not delete untagged parents")] = False,
) -> int:
    """Remove one or more images."""
    instance = open_instance()
    code = 0
    for reference in references:
        try:
            removed = remove_image(instance, reference, force, not no_prune)
        except MinirunError as error:
            warn_of(error)
            code = code if force and isinstance(error, NotFoundError) else 1
            continue
        for what, name in removed.lines:
            print(f"{what}: {name}")
    return code


@app.command("import")
def import_(
    source: Annotated[str, Argument(metavar="file|URL|-", click_type=FILE)],
    name: Annotated[str, Argument(metavar="[REPOSITORY[:TAG]]")] = "",
    change: Annotated[
        list[str], Option("--change", "-c", help="Apply Dockerfile instruction to the created image")
    ] = NONE,
    message: Annotated[str, Option("--message", "-m", help="Set commit message for imported image")] = "",
    platform: Annotated[str, Option("--platform", help="Set platform if server is multi-platform capable")] = "",
) -> None:
    """Import the contents from a tarball to create a filesystem image."""
    if source.startswith(_SCHEMES):
        raise MinirunError(
            f"{source}: minirun fetches nothing from the network",
            f"fetch it and pipe it in: curl {source} | minirun import -",
        )
    reference = check_reference(name) if name else ""
    new = NewImage(
        apply({}, tuple(change)),
        comment=message or f"Imported from {source}",
        architecture=_architecture(platform),
    )
    with _open(source) as stream:
        image = add_image(open_instance(), lambda layer: unpack_archive(stream, layer), new, reference, action="import")
    print(f"sha256:{image.id}")


def _architecture(text: str) -> str:
    platform = parse_platform(text) if text else host_platform()
    if platform.system != "linux":
        raise MinirunError(f"operating system is not supported: {text}", "such as linux or linux/amd64", FAILED)
    return platform.architecture


def _open(source: str) -> BinaryIO:
    if source == "-":
        if os.isatty(0):
            raise MinirunError("an archive is expected on the standard input, which is a terminal")
        return sys.stdin.buffer
    try:
        return open(source, "rb")
    except OSError as error:
        raise MinirunError(f"open {source}: {(error.strerror or str(error)).lower()}") from None


@app.command("prune")
def prune(
    everything: Annotated[bool, Option("--all", "-a", help="Remove all unused images, not just dangling ones")] = False,
    force: ForcePrune = False,
    filters: Annotated[
        list[str], filter_option(PRUNE_KEYS, help='Provide filter values (e.g. "until=<timestamp>")')
    ] = NONE,
) -> None:
    """Remove unused images."""
    wanted = parse_filters(filters, PRUNE_KEYS)
    everything = takes_all(wanted) or everything
    what = "images without at least one container associated to them" if everything else "dangling images"
    if not confirmed(f"This will remove all {what}.", force):
        return
    removed, freed = prune_unused(open_instance(), wanted, everything)
    print_removed("Deleted Images", removed)
    print_reclaimed(freed)


def prune_unused(instance: Instance, filters: Filters, everything: bool) -> tuple[list[str], int]:
    """Remove the images that nothing uses; unless `everything`, only those without a tag. Returns (lines, bytes)."""
    removed = remove_unused(instance, filters, everything)
    return [f"{what.lower()}: {name}" for what, name in removed.lines], sum(removed.sizes)


def takes_all(filters: Filters) -> bool:
    """Whether images with a tag are meant, too: dangling=false, which is taken out of the filters."""
    return not is_true("dangling", filters.pop("dangling", ["true"])[0])


def remove_unused(instance: Instance, filters: Filters, everything: bool) -> Removed:
    """Remove them, and return what was done."""
    wanted = filters if everything else {**filters, "dangling": ["true"]}
    removed = prune_images(instance, [image for image, _ in chosen(instance, wanted, everything)])
    pruned(instance, "image", [], sum(removed.sizes))
    return removed
