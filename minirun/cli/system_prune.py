"""minirun system prune: all that the single prunes remove, in the order in which one frees what the next looks at."""

from collections.abc import Callable
from dataclasses import dataclass

from minirun.cli.confirming import confirmed, print_reclaimed, print_removed
from minirun.cli.filters import parse_filters
from minirun.cli.opening import open_instance
from minirun.cli.prune import containers_away, images_away, networks_away
from minirun.cli.prune_filters import KEYS, Choice, choice_of
from minirun.cli.verb import Verb, many, switch
from minirun.cli.volume import volumes_away
from minirun.errors import MinirunError
from minirun.instance import Instance


@dataclass(frozen=True)
class Kind:
    """One kind of thing: how the question names it, and what removes it, giving (names, bytes)."""

    warning: str
    title: str
    away: Callable[[Instance, Choice], tuple[list[str], int]]


_CONTAINERS = Kind("all stopped containers", "Deleted Containers", containers_away)
_NETWORKS = Kind("all networks not used by at least one container", "Deleted Networks", networks_away)
_VOLUMES = Kind(
    "all anonymous volumes not used by at least one container",
    "Deleted Volumes",
    lambda instance, choice: volumes_away(instance, choice.filters, everything=False),
)
_DANGLING = Kind(
    "all dangling images",
    "Deleted Images",
    lambda instance, choice: images_away(instance, choice.filters, everything=False),
)
_IMAGES = Kind(
    "all images without at least one container associated to them",
    "Deleted Images",
    lambda instance, choice: images_away(instance, choice.filters, everything=True),
)


class SystemPrune(Verb):
    most = 0
    filterable = KEYS
    everything = switch("all", "a", "Remove all unused images not just dangling ones")
    volumes = switch("volumes", "", "Prune anonymous volumes")
    force = switch("force", "f", "Do not prompt for confirmation")
    filters = many("filter", "", 'Provide filter values (e.g. "label=<key>=<value>")', "filter")

    def run(self) -> None:
        filters = parse_filters(self.filters, self.filterable)
        if self.volumes and "until" in filters:
            raise MinirunError('the "until" filter is not supported with "--volumes"')
        choice, kinds = choice_of(filters), self._kinds()
        if not confirmed(self._warning(kinds), self.force):
            return
        instance, freed = open_instance(), 0
        for kind in kinds:
            removed, size = kind.away(instance, choice)
            print_removed(kind.title, removed)
            freed += size
        print_reclaimed(freed)

    def _kinds(self) -> list[Kind]:
        """Where the kinds are put together: containers first, for they hold networks, volumes and images."""
        volumes = [_VOLUMES] if self.volumes else []
        return [_CONTAINERS, _NETWORKS, *volumes, _IMAGES if self.everything else _DANGLING]

    def _warning(self, kinds: list[Kind]) -> str:
        lines = ["This will remove:", *(f"  - {kind.warning}" for kind in kinds)]
        if self.filters:
            lines += ["", "  Items to be pruned will be filtered with:", *(f"  - {one}" for one in self.filters)]
        return "\n".join([*lines, ""])
