"""minirun container prune, image prune, network prune."""

from minirun.cli.confirming import confirmed, print_reclaimed, print_removed
from minirun.cli.filters import Filters, parse_filters
from minirun.cli.opening import open_instance
from minirun.cli.prune_filters import KEYS, Choice, choice_of
from minirun.cli.verb import Verb, many, switch
from minirun.engine.remove import prune_containers, prune_networks, stopped_containers
from minirun.instance import Instance


class PruneContainers(Verb):
    most = 0
    filterable = KEYS
    force = switch("force", "f", "Do not prompt for confirmation")
    filters = many("filter", "", 'Provide filter values (e.g. "until=<duration>")', "filter")

    def run(self) -> None:
        choice = choice_of(parse_filters(self.filters, self.filterable))
        if not confirmed("This will remove all stopped containers.", self.force):
            return
        removed, freed = containers_away(open_instance(), choice)
        print_removed("Deleted Containers", removed)
        print_reclaimed(freed)


class PruneImages(Verb):
    most = 0
    filterable = ("dangling", *KEYS)
    everything = switch("all", "a", "Remove all unused images, not just dangling ones")
    force = switch("force", "f", "Do not prompt for confirmation")
    filters = many("filter", "", 'Provide filter values (e.g. "until=<timestamp>")', "filter")

    def run(self) -> None:
        filters = parse_filters(self.filters, self.filterable)
        everything = self.everything or filters.pop("dangling", ["true"])[0] in ("0", "false")
        what = "images without at least one container associated to them" if everything else "dangling images"
        if not confirmed(f"This will remove all {what}.", self.force):
            return
        removed, freed = images_away(open_instance(), filters, everything)
        print_removed("Deleted Images", removed)
        print_reclaimed(freed)


class PruneNetworks(Verb):
    most = 0
    filterable = KEYS
    force = switch("force", "f", "Do not prompt for confirmation")
    filters = many("filter", "", 'Provide filter values (e.g. "until=<duration>")', "filter")

    def run(self) -> None:
        choice = choice_of(parse_filters(self.filters, self.filterable))
        if confirmed("This will remove all custom networks not used by at least one container.", self.force):
            print_removed("Deleted Networks", networks_away(open_instance(), choice)[0])


def containers_away(instance: Instance, choice: Choice) -> tuple[list[str], int]:
    """(ids removed, bytes)."""
    stopped = stopped_containers(instance)
    return prune_containers(instance, [one for one in stopped if choice.has(one.created, dict(one.spec.labels))])


def networks_away(instance: Instance, choice: Choice) -> tuple[list[str], int]:
    """(names removed, bytes: none)."""
    chosen = [one for one in instance.store.networks() if choice.has(one.created, dict(one.labels))]
    return prune_networks(instance, chosen), 0


def images_away(instance: Instance, filters: Filters, everything: bool) -> tuple[list[str], int]:
    """(what was done, bytes)."""
    from minirun.cli.images import chosen
    from minirun.image.remove import prune_images

    wanted = filters if everything else {**filters, "dangling": ["true"]}
    removed = prune_images(instance, [image for image, _ in chosen(instance, wanted, everything)])
    return [f"{what.lower()}: {name}" for what, name in removed.lines], sum(removed.sizes)
