"""minirun builder du, builder prune."""

from typing import Annotated

from typer import Option

from minirun.cli.output.filters import Filters, parse_filters
from minirun.cli.output.format import Columns, print_rows
from minirun.cli.output.table import ago, size
from minirun.cli.parameters import NONE, ForcePrune, TableFormat, filter_option
from minirun.cli.prune import choice_of, confirmed, print_reclaimed, print_removed, pruned
from minirun.cli.session import commands, open_instance
from minirun.image.build.cache import CacheUse, prune, uses
from minirun.instance import Instance

KEYS = ("until", "unused-for")
_USAGE = Columns(
    {
        "ID": "CACHE ID",
        "CacheType": "CACHE TYPE",
        "Size": "SIZE",
        "CreatedSince": "CREATED",
        "LastUsedSince": "LAST USED",
        "Description": "DESCRIPTION",
    },
    "ID",
)
app = commands()


@app.command("du")
def du(
    form: TableFormat = "",
    verbose: Annotated[bool, Option("--verbose", help="Print ids and descriptions whole")] = False,
) -> None:
    """Show what the build cache holds, and how much of it no image needs."""
    found = uses(open_instance())
    print_rows([_row(use, verbose or bool(form)) for use in found], _USAGE, form)
    if not form:
        print(f"Total:\t{size(sum(use.size for use in found))}")


@app.command("prune")
def prune_(
    everything: Annotated[
        bool, Option("--all", "-a", help="Remove all unused build cache, not just what no image has")
    ] = False,
    filters: Annotated[list[str], filter_option(KEYS, help='Provide filter values (e.g. "until=24h")')] = NONE,
    force: ForcePrune = False,
) -> None:
    """Remove the build cache."""
    wanted = parse_filters(filters, KEYS)
    what = "all build cache" if everything else "all dangling build cache"
    if not confirmed(f"This will remove {what}.", force):
        return
    removed, freed = prune_unused(open_instance(), wanted, everything)
    print_removed("Deleted build cache objects", removed)
    print_reclaimed(freed)


def prune_unused(instance: Instance, filters: Filters, everything: bool) -> tuple[list[str], int]:
    """Remove the build cache; unless `everything`, only what is not part of images.

    Returns the ids removed, and the bytes freed.
    """
    until = filters.get("until", []) + filters.get("unused-for", [])
    choice = choice_of({"until": until} if until else {})
    removed, freed = prune(instance, lambda use: use.used <= choice.latest and (everything or not use.is_part))
    return pruned(instance, "builder", removed, freed)


def _row(use: CacheUse, whole: bool) -> dict[str, str]:
    return {
        "ID": use.id if whole else use.id[:12],
        "CacheType": use.kind,
        "Size": size(use.size),
        "CreatedSince": ago(use.created),
        "LastUsedSince": ago(use.used),
        "Description": use.description if whole or len(use.description) <= 60 else use.description[:59] + "…",
    }
