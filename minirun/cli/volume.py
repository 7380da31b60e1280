"""minirun volume create|ls|rm|prune."""

import re
from collections.abc import Callable
from typing import Annotated

from typer import Argument, Option

from minirun.cli.completion.values import volumes as volume_names
from minirun.cli.completion.values import words
from minirun.cli.each import for_each
from minirun.cli.output.filters import Filters, has_all_labels, is_true, matches, parse_filters
from minirun.cli.output.format import Columns, Row, labels_text, print_rows
from minirun.cli.parameters import NONE, ForcePrune, TableFormat, filter_option
from minirun.cli.prune import confirmed, print_reclaimed, print_removed, pruned
from minirun.cli.session import commands, open_instance
from minirun.errors import MinirunError, NotFoundError
from minirun.instance import Instance
from minirun.options.environment import parse_labels
from minirun.options.volumes import check_driver, check_volume_name, parse_volume_options
from minirun.volume.inspect import describe_volume, labels_of
from minirun.volume.records import Volume, users, volumes
from minirun.volume.volumes import create_volume, new_name, prune_volumes, remove_volume

_COLUMNS = Columns({"Driver": "DRIVER", "Name": "VOLUME NAME"}, "Name")
KEYS = ("dangling", "driver", "label", "label!", "name")
PRUNE_KEYS = ("all", "label", "label!")
app = commands()


@app.command("create")
def create(
    volume: Annotated[str, Argument(metavar="[VOLUME]")] = "",
    driver: Annotated[
        str, Option("--driver", "-d", help="Specify volume driver name", autocompletion=words("local"))
    ] = "local",
    label: Annotated[list[str], Option("--label", help="Set metadata for a volume")] = NONE,
    name: Annotated[str, Option("--name", help="Specify volume name")] = "",
    opt: Annotated[list[str], Option("--opt", "-o", help="Set driver specific options", metavar="map")] = NONE,
) -> None:
    """Create a volume."""
    if name and volume:
        raise MinirunError(
            "conflicting options: cannot specify a volume-name through both --name and as a positional arg"
        )
    check_driver(driver)
    given = name or volume
    if given:
        check_volume_name(given)
    labels, options = dict(parse_labels(label, ())), parse_volume_options(opt)
    record = Volume(given or new_name(), labels=labels, options=options, anonymous=not given)
    create_volume(open_instance(), record)
    print(record.name)


@app.command("ls")
def ls(
    filters: Annotated[
        list[str], filter_option(KEYS, "-f", help='Provide filter values (e.g. "dangling=true")')
    ] = NONE,
    form: TableFormat = "",
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only display volume names")] = False,
) -> None:
    """List volumes."""
    wanted = parse_filters(filters, KEYS)
    instance = open_instance()
    rows = [row_of(instance, volume) for volume in chosen(instance, wanted)]
    print_rows(rows, _COLUMNS, form, quiet, {"Mountpoint": "MOUNTPOINT", "Labels": "LABELS"})


@app.command("rm")
def rm(
    names: Annotated[list[str], Argument(metavar="VOLUME [VOLUME...]", autocompletion=volume_names)],
    force: Annotated[bool, Option("--force", "-f", help="Force the removal of one or more volumes")] = False,
) -> int:
    """Remove one or more volumes."""
    instance = open_instance()

    def remove(name: str) -> None:
        try:
            remove_volume(instance, name)
        except NotFoundError:
            if not force:
                raise

    return for_each(names, remove)


@app.command("prune")
def prune(
    everything: Annotated[
        bool, Option("--all", "-a", help="Remove all unused volumes, not just anonymous ones")
    ] = False,
    force: ForcePrune = False,
    filters: Annotated[
        list[str], filter_option(PRUNE_KEYS, help='Provide filter values (e.g. "label=<label>")')
    ] = NONE,
) -> None:
    """Remove unused local volumes."""
    wanted = parse_filters(filters, PRUNE_KEYS)
    everything = everything or any(is_true("all", text) for text in wanted.pop("all", []))
    kind = "all" if everything else "anonymous"
    if not confirmed(f"This will remove {kind} local volumes not used by at least one container.", force):
        return
    removed, freed = prune_unused(open_instance(), wanted, everything)
    print_removed("Deleted Volumes", removed)
    print_reclaimed(freed)


def prune_unused(instance: Instance, filters: Filters, everything: bool) -> tuple[list[str], int]:
    """Remove the volumes that no container uses; unless `everything`, anonymous ones. Returns (names, bytes)."""
    unused = chosen(instance, {**filters, "dangling": ["true"]})
    return pruned(instance, "volume", *prune_volumes(instance, [one for one in unused if everything or one.anonymous]))


def chosen(instance: Instance, filters: Filters) -> list[Volume]:
    """Return the volumes that the filters choose, by name."""
    held = users(instance.store)
    tests: dict[str, Callable[[Volume, str], bool]] = {
        "dangling": lambda one, text: is_true("dangling", text) != (one.name in held),
        "driver": lambda one, text: text == "local",
        "name": lambda one, text: _pattern(text).search(one.name) is not None,
    }
    labels: Filters = {key: filters[key] for key in ("label", "label!") if key in filters}
    others = {key: texts for key, texts in filters.items() if key not in labels}
    return [
        one for one in volumes(instance.store) if matches(one, others, tests) and has_all_labels(labels_of(one), labels)
    ]


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise MinirunError(f"invalid filter 'name={text}': {error}") from None


def row_of(instance: Instance, volume: Volume) -> Row:
    labels = labels_of(volume)
    return {
        "Driver": "local",
        "Name": volume.name,
        "Mountpoint": describe_volume(instance, volume)["Mountpoint"],
        "Labels": labels_text(labels),
        "Label": lambda key: labels.get(key, ""),
        "Scope": "local",
        "Links": "N/A",
        "Size": "N/A",
        "Status": "N/A",
        "Availability": "N/A",
        "Group": "N/A",
    }
