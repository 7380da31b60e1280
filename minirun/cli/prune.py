"""minirun container prune, image prune, network prune."""

import time

from minirun.cli.confirming import confirmed, print_reclaimed, print_removed
from minirun.cli.filters import Filters, has_all_labels, parse_filters
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, many, switch
from minirun.errors import MinirunError
from minirun.flags.durations import find_duration
from minirun.model import Container
from minirun.pruning import prune_containers, prune_networks, stopped_containers


class PruneContainers(Verb):
    most = 0
    force = switch("force", "f", "Do not prompt for confirmation")
    filters = many("filter", "", 'Provide filter values (e.g. "until=<duration>")', "filter")

    def run(self) -> None:
        filters = parse_filters(self.filters, ("until", "label", "label!"))
        latest = _latest(filters)
        if not confirmed("This will remove all stopped containers.", self.force):
            return
        instance = open_instance()
        chosen = [one for one in stopped_containers(instance) if _is_chosen(one, filters, latest)]
        removed, freed = prune_containers(instance, chosen)
        print_removed("Deleted Containers", removed)
        print_reclaimed(freed)


class PruneImages(Verb):
    most = 0
    everything = switch("all", "a", "Remove all unused images, not just dangling ones")
    force = switch("force", "f", "Do not prompt for confirmation")
    filters = many("filter", "", 'Provide filter values (e.g. "until=<timestamp>")', "filter")

    def run(self) -> None:
        from minirun.cli.images import chosen
        from minirun.image.removing import prune_images

        filters = parse_filters(self.filters, ("dangling", "until", "label", "label!"))
        everything = self.everything or filters.pop("dangling", ["true"])[0] in ("0", "false")
        what = "images without at least one container associated to them" if everything else "dangling images"
        if not confirmed(f"This will remove all {what}.", self.force):
            return
        instance = open_instance()
        wanted = filters if everything else {**filters, "dangling": ["true"]}
        removed = prune_images(instance, [image for image, _ in chosen(instance, wanted, everything)])
        print_removed("Deleted Images", [f"{what.lower()}: {name}" for what, name in removed.lines])
        print_reclaimed(sum(removed.sizes))


class PruneNetworks(Verb):
    most = 0
    force = switch("force", "f", "Do not prompt for confirmation")

    def run(self) -> None:
        if confirmed("This will remove all custom networks not used by at least one container.", self.force):
            print_removed("Deleted Networks", prune_networks(open_instance()))


def _latest(filters: Filters) -> float:
    """Created before then: `until` is a duration before now, or seconds since the epoch."""
    latest = time.time()
    for text in filters.get("until", []):
        ago = find_duration(text)
        if ago is not None:
            latest = min(latest, time.time() - ago)
        elif text.isascii() and text.isdigit():
            latest = min(latest, float(text))
        else:
            raise MinirunError(f"invalid filter 'until={text}'", "a duration such as 24h, or seconds since the epoch")
    return latest


def _is_chosen(container: Container, filters: Filters, latest: float) -> bool:
    return container.created <= latest and has_all_labels(dict(container.spec.labels), filters)
