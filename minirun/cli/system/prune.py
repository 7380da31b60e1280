"""minirun system prune: all that the single prunes remove, in the order in which one frees what the next looks at."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from typer import Option

from minirun.cli.container.lifecycle import prune_stopped
from minirun.cli.image.builder import prune_unused as prune_unused_cache
from minirun.cli.image.tags import prune_unused as prune_unused_images
from minirun.cli.network.networks import prune_unused as prune_unused_networks
from minirun.cli.output.filters import parse_filters
from minirun.cli.parameters import NONE, ForcePrune, filter_option
from minirun.cli.prune import KEYS, Choice, choice_of, confirmed, print_reclaimed, print_removed
from minirun.cli.session import commands, open_instance, warn_of
from minirun.cli.volume import prune_unused as prune_unused_volumes
from minirun.errors import MinirunError
from minirun.image.build.cache import BusyError
from minirun.instance import Instance


@dataclass(frozen=True)
class Kind:
    """One kind of thing: how the question names it, and what removes it, giving (names, bytes)."""

    warning: str
    title: str
    remove: Callable[[Instance, Choice], tuple[list[str], int]]


_CONTAINERS = Kind("all stopped containers", "Deleted Containers", prune_stopped)
_NETWORKS = Kind("all networks not used by at least one container", "Deleted Networks", prune_unused_networks)
_VOLUMES = Kind(
    "all anonymous volumes not used by at least one container",
    "Deleted Volumes",
    lambda instance, choice: prune_unused_volumes(instance, choice.filters, everything=False),
)
_DANGLING = Kind(
    "all dangling images",
    "Deleted Images",
    lambda instance, choice: prune_unused_images(instance, choice.filters, everything=False),
)
_IMAGES = Kind(
    "all images without at least one container associated to them",
    "Deleted Images",
    lambda instance, choice: prune_unused_images(instance, choice.filters, everything=True),
)
_DANGLING_CACHE = Kind(
    "all dangling build cache",
    "Deleted build cache objects",
    lambda instance, choice: prune_unused_cache(instance, choice.filters, everything=False),
)
_CACHE = Kind(
    "all build cache",
    "Deleted build cache objects",
    lambda instance, choice: prune_unused_cache(instance, choice.filters, everything=True),
)


app = commands()


@app.command("prune")
def prune(
    everything: Annotated[bool, Option("--all", "-a", help="Remove all unused images not just dangling ones")] = False,
    filters: Annotated[
        list[str], filter_option(KEYS, help='Provide filter values (e.g. "label=<key>=<value>")')
    ] = NONE,
    force: ForcePrune = False,
    volumes: Annotated[bool, Option("--volumes", help="Prune anonymous volumes")] = False,
) -> None:
    """Remove unused data."""
    wanted = parse_filters(filters, KEYS)
    if volumes and "until" in wanted:
        raise MinirunError('the "until" filter is not supported with "--volumes"')
    # Containers first, for they hold networks, volumes and images.
    images, cache = (_IMAGES, _CACHE) if everything else (_DANGLING, _DANGLING_CACHE)
    has_labels = bool(wanted.keys() & {"label", "label!"})  # the build cache has none
    kinds = [_CONTAINERS, _NETWORKS, *([_VOLUMES] if volumes else []), images, *([] if has_labels else [cache])]
    choice = choice_of(wanted)
    if not confirmed(_warning(kinds, filters), force):
        return
    instance, freed = open_instance(), 0
    for kind in kinds:
        try:
            removed, size = kind.remove(instance, choice)
        except BusyError as error:
            warn_of(error)
            continue
        print_removed(kind.title, removed)
        freed += size
    print_reclaimed(freed)


def _warning(kinds: list[Kind], filters: list[str]) -> str:
    lines = ["This will remove:", *(f"  - {kind.warning}" for kind in kinds)]
    if filters:
        lines += ["", "  Items to be pruned will be filtered with:", *(f"  - {one}" for one in filters)]
    return "\n".join([*lines, ""])
