"""minirun search."""

from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from minirun.cli.output.filters import Filters, is_true, parse_filters
from minirun.cli.output.format import Columns, Row, print_rows
from minirun.cli.parameters import NONE, NoTrunc, TableFormat, filter_option
from minirun.cli.session import commands
from minirun.errors import MinirunError
from minirun.image.reference import DOCKER_HUB, is_domain

if TYPE_CHECKING:
    from minirun.image.registry.client import Client, SearchResult

KEYS = ("is-automated", "is-official", "stars")
_MOST = 100  # results, as Docker has it
_DESCRIPTION_WIDTH = 45
_COLUMNS = Columns(
    {"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL"}, "Name"
)
_EXTRA = {"IsAutomated": "AUTOMATED"}
app = commands()


@app.command("search")
def search(
    term: Annotated[str, Argument(metavar="TERM")],
    limit: Annotated[int, Option("--limit", help="Max number of search results")] = 25,
    filters: Annotated[list[str], filter_option(KEYS, "-f")] = NONE,
    form: TableFormat = "",
    no_trunc: NoTrunc = False,
) -> None:
    """Search Docker Hub for images, or the registry that TERM begins with: HOST/TERM."""
    from minirun.image.registry.client import open_client

    with open_client() as client:
        found = find_repositories(client, term, limit, parse_filters(filters, KEYS))
    print_rows([_row(result, no_trunc, form == "json") for result in found], _COLUMNS, form, extra=_EXTRA)


def find_repositories(client: "Client", term: str, limit: int, wanted: Filters) -> "list[SearchResult]":
    """Search for repositories, those with the most stars first. MinirunError for a limit or filter that is wrong."""
    from minirun.image.registry.client import interruptible

    least_stars = _least_stars(wanted)
    if not 1 <= limit <= _MOST:
        raise MinirunError(f"limit {limit} is outside the range of [1, {_MOST}]")
    domain, words = split_term(term)
    found = interruptible(lambda: client.search(domain, words, limit))
    chosen = [result for result in found if result.stars >= least_stars and _fits(result, wanted)]
    return sorted(chosen, key=lambda result: -result.stars)


def split_term(term: str) -> tuple[str, str]:
    """(the registry to search, the words)."""
    first, slash, rest = term.partition("/")
    return (first, rest) if slash and is_domain(first) else (DOCKER_HUB, term)


def _least_stars(filters: Filters) -> int:
    stars = filters.get("stars", ["0"])
    if wrong := [text for text in stars if not text.isdecimal()]:
        raise MinirunError(f"invalid filter 'stars={wrong[0]}'", "a number")
    return max(map(int, stars))


def _fits(result: "SearchResult", filters: Filters) -> bool:
    """Nothing is automated: Docker Hub has ended that."""
    official = [is_true("is-official", text) for text in filters.get("is-official", [])]
    automated = [is_true("is-automated", text) for text in filters.get("is-automated", [])]
    return (not official or result.is_official in official) and (not automated or False in automated)


def _row(result: "SearchResult", whole: bool, as_json: bool) -> Row:
    description = result.description
    if len(description) > _DESCRIPTION_WIDTH and not whole:
        description = description[: _DESCRIPTION_WIDTH - 1] + "…"
    yes, no = ("true", "false") if as_json else ("[OK]", "")
    return {
        "Name": result.name,
        "Description": description,
        "StarCount": str(result.stars),
        "IsOfficial": yes if result.is_official else no,
        "IsAutomated": no,
    }
