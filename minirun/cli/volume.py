"""minirun volume create|ls|rm|prune."""

import re
from collections.abc import Callable

from minirun.cli.confirming import confirmed, print_reclaimed, print_removed
from minirun.cli.each import for_each
from minirun.cli.filters import Filters, has_all_labels, matches, parse_filters
from minirun.cli.format import Columns, Row, print_rows
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, many, switch, value
from minirun.errors import MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.options.environment import parse_labels
from minirun.options.volumes import check_driver, check_volume_name, parse_volume_options
from minirun.volume.inspect import describe_volume, labels_of
from minirun.volume.records import Volume, users, volumes
from minirun.volume.volumes import create_volume, new_name, prune_volumes, remove_volume

_COLUMNS = Columns({"Driver": "DRIVER", "Name": "VOLUME NAME"}, "Name")
_TRUTH = {"1": True, "true": True, "0": False, "false": False}


class Create(Verb):
    usage = "[VOLUME]"
    most = 1
    driver = value("driver", "d", "Specify volume driver name", "local")
    label = many("label", "", "Set metadata for a volume")
    options = many("opt", "o", "Set driver specific options", "map")
    name = value("name", "", "Specify volume name")

    def run(self) -> None:
        if self.name and self.words:
            raise MinirunError(
                "conflicting options: cannot specify a volume-name through both --name and as a positional arg"
            )
        check_driver(self.driver)
        given = self.name or (self.words[0] if self.words else "")
        if given:
            check_volume_name(given)
        labels, options = dict(parse_labels(self.label, ())), parse_volume_options(self.options)
        volume = Volume(given or new_name(), labels=labels, options=options, anonymous=not given)
        create_volume(open_instance(), volume)
        print(volume.name)


class List(Verb):
    most = 0
    filterable = ("dangling", "driver", "label", "label!", "name")
    quiet = switch("quiet", "q", "Only display volume names")
    filters = many("filter", "f", 'Provide filter values (e.g. "dangling=true")', "filter")
    form = value("format", "", "Format output using a custom template: table, table TEMPLATE, json or TEMPLATE")

    def run(self) -> None:
        filters = parse_filters(self.filters, self.filterable)
        instance = open_instance()
        rows = [_row(instance, one) for one in _filtered(instance, filters)]
        print_rows(rows, _COLUMNS, self.form, self.quiet, {"Mountpoint": "MOUNTPOINT", "Labels": "LABELS"})


class Remove(Verb):
    usage = "VOLUME [VOLUME...]"
    least = 1
    completes = "volumes"
    force = switch("force", "f", "Force the removal of one or more volumes")

    def run(self) -> int:
        instance = open_instance()

        def remove(name: str) -> None:
            try:
                remove_volume(instance, name)
            except NotFoundError:
                if not self.force:
                    raise

        return for_each(self.words, remove)


class Prune(Verb):
    most = 0
    filterable = ("all", "label", "label!")
    everything = switch("all", "a", "Remove all unused volumes, not just anonymous ones")
    force = switch("force", "f", "Do not prompt for confirmation")
    filters = many("filter", "", 'Provide filter values (e.g. "label=<label>")', "filter")

    def run(self) -> None:
        filters = parse_filters(self.filters, self.filterable)
        everything = self.everything or any(_truth("all", text) for text in filters.pop("all", []))
        kind = "all" if everything else "anonymous"
        if not confirmed(f"This will remove {kind} local volumes not used by at least one container.", self.force):
            return
        removed, freed = volumes_away(open_instance(), filters, everything)
        print_removed("Deleted Volumes", removed)
        print_reclaimed(freed)


def volumes_away(instance: Instance, filters: Filters, everything: bool) -> tuple[list[str], int]:
    """(names removed, bytes)."""
    chosen = _filtered(instance, {**filters, "dangling": ["true"]})
    return prune_volumes(instance, [one for one in chosen if everything or one.anonymous])


def _filtered(instance: Instance, filters: Filters) -> list[Volume]:
    held = users(instance.store)
    tests: dict[str, Callable[[Volume, str], bool]] = {
        "dangling": lambda one, text: _truth("dangling", text) != (one.name in held),
        "driver": lambda one, text: text == "local",
        "name": lambda one, text: _pattern(text).search(one.name) is not None,
    }
    labels: Filters = {key: filters[key] for key in ("label", "label!") if key in filters}
    others = {key: texts for key, texts in filters.items() if key not in labels}
    return [
        one for one in volumes(instance.store) if matches(one, others, tests) and has_all_labels(labels_of(one), labels)
    ]


def _truth(key: str, text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise MinirunError(f"invalid filter '{key}={text}'", "true or false")
    return _TRUTH[text.lower()]


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise MinirunError(f"invalid filter 'name={text}': {error}") from None


def _row(instance: Instance, volume: Volume) -> Row:
    labels = labels_of(volume)
    return {
        "Driver": "local",
        "Name": volume.name,
        "Mountpoint": describe_volume(instance, volume)["Mountpoint"],
        "Labels": ",".join(f"{key}={text}" for key, text in labels.items()),
        "Label": lambda key: labels.get(key, ""),
        "Scope": "local",
        "Links": "N/A",
        "Size": "N/A",
        "Status": "N/A",
        "Availability": "N/A",
        "Group": "N/A",
    }
