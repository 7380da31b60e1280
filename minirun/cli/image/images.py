"""minirun images, minirun history."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Annotated

from typer import Argument, Option

from minirun.cli.completion.values import images as image_names
from minirun.cli.output.filters import Filters, has_all_labels, is_true, matches, parse_filters
from minirun.cli.output.format import Columns, Row, print_rows
from minirun.cli.output.moments import moment
from minirun.cli.output.table import ago, local_time, size
from minirun.cli.parameters import NONE as NOTHING
from minirun.cli.parameters import Image as ImageArgument
from minirun.cli.parameters import NoTrunc, TableFormat, filter_option
from minirun.cli.session import commands, open_instance
from minirun.image import records
from minirun.image.history import entries
from minirun.image.layers import sweep
from minirun.image.records import Image
from minirun.image.resolve import find_image
from minirun.instance import Instance
from minirun.options.values import timestamp

NONE = "<none>"
_NOT_COUNTED = dict.fromkeys(("Containers", "SharedSize", "UniqueSize"), "N/A")
_EXTRA = {
    "CreatedAt": "CREATED AT",
    "Digest": "DIGEST",
    "Containers": "CONTAINERS",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}
_HISTORY = Columns(
    {"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT"}, "ID"
)
_HISTORY_WIDTH = 45
KEYS = ("before", "dangling", "label", "label!", "reference", "since", "until")
app = commands()


@app.command("images")
def images(
    repository: Annotated[str, Argument(metavar="[REPOSITORY[:TAG]]", autocompletion=image_names)] = "",
    everything: Annotated[
        bool, Option("--all", "-a", help="Show all images (default hides intermediate images)")
    ] = False,
    digests: Annotated[bool, Option("--digests", help="Show digests")] = False,
    filters: Annotated[list[str], filter_option(KEYS, "-f")] = NOTHING,
    form: TableFormat = "",
    no_trunc: NoTrunc = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only show image IDs")] = False,
) -> None:
    """List images."""
    wanted = parse_filters(filters, KEYS)
    if repository:
        wanted.setdefault("reference", []).append(repository)
    instance = open_instance()
    sweep(instance)
    known = records.digests(instance.store)
    rows = [
        _row(image, reference, known.get(image.id, []), no_trunc)
        for image, references in chosen(instance, wanted, everything)
        for reference in references or [f"{digest.partition('@')[0]}:" for digest in known.get(image.id, [])] or [""]
    ]
    headers = {"Repository": "REPOSITORY", "Tag": "TAG", **({"Digest": "DIGEST"} if digests else {})}
    columns = Columns({**headers, "ID": "IMAGE ID", "CreatedSince": "CREATED", "Size": "SIZE"}, "ID")
    print_rows(rows, columns, form, quiet, _EXTRA)


def chosen(instance: Instance, filters: Filters, everything: bool) -> list[tuple[Image, list[str]]]:
    """Images with those of their references that were asked for, the newest first."""
    filters = dict(filters)
    tags = records.tags(instance.store)
    digests = records.digests(instance.store)
    images = records.all_images(instance.store)
    parents = {one.parent for one in images}
    patterns = filters.pop("reference", [])
    test = _test(instance, filters, lambda image: not ({image.id} & {*tags, *digests, *parents}))
    found = []
    for image in images:
        references = [one for one in tags.get(image.id, []) if not patterns or _is_named(one, patterns)]
        wanted = bool(references) if patterns else bool(references) or everything or image.id not in parents
        if wanted and test(image):
            found.append((image, references))
    return found


def _test(instance: Instance, filters: Filters, is_dangling: Callable[[Image], bool]) -> Callable[[Image], bool]:
    created = {
        key: [find_image(instance, reference).created for reference in filters.pop(key)]
        for key in ("before", "since")
        if key in filters
    }
    labels: Filters = {key: filters.pop(key) for key in ("label", "label!") if key in filters}
    dangling = [is_true("dangling", text) for text in filters.get("dangling", [])]
    latest = [moment(text) for text in filters.pop("until", [])]

    def test(image: Image) -> bool:
        return (
            matches(image, filters, {"dangling": lambda one, _: is_dangling(one) in dangling})
            and has_all_labels(image.config.get("Labels", {}), labels)
            and all(image.created < then for then in created.get("before", []))
            and all(image.created > then for then in created.get("since", []))
            and all(timestamp(int(image.created * 1e9)) < then for then in latest)
        )

    return test


def _is_named(reference: str, patterns: list[str]) -> bool:
    """By the name alone, or with its tag; * stops at no slash but those of the pattern."""
    name = reference.rpartition(":")[0]
    return any(_fits(name, pattern) or _fits(reference, pattern) for pattern in patterns)


def _fits(text: str, pattern: str) -> bool:
    own = pattern.removeprefix("docker.io/").removeprefix("library/")
    return text.count("/") == own.count("/") and all(
        fnmatchcase(part, wanted) for part, wanted in zip(text.split("/"), own.split("/"), strict=True)
    )


def _row(image: Image, reference: str, digests: list[str], whole: bool) -> Row:
    name, _, tag = reference.rpartition(":")
    return {
        "Repository": name or NONE,
        "Tag": tag or NONE,
        "Digest": next((text.partition("@")[2] for text in digests if text.startswith(f"{name}@")), NONE),
        "ID": f"sha256:{image.id}" if whole else image.id[:12],
        "CreatedSince": ago(image.created),
        "CreatedAt": local_time(image.created),
        "Size": size(image.size),
        "VirtualSize": size(image.size, 4),
        **_NOT_COUNTED,
    }


@app.command("history")
def history(
    image: ImageArgument,
    form: TableFormat = "",
    human: Annotated[bool, Option("--human", "-H", help="Print sizes and dates in human readable format")] = True,
    no_trunc: NoTrunc = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only show image IDs")] = False,
) -> None:
    """Show the history of an image."""
    instance = open_instance()
    rows = list(_history_rows(instance, find_image(instance, image), human, no_trunc))
    columns = _HISTORY if human else Columns({**_HISTORY.headers, "CreatedSince": "CREATED AT"}, "ID")
    print_rows(rows, columns, form, quiet, {"CreatedAt": "CREATED AT"})


def _history_rows(instance: Instance, image: Image, human: bool, no_trunc: bool) -> Iterator[Row]:
    for entry in entries(instance, image):
        step, identity = entry.step, entry.image
        at = datetime.fromtimestamp(int(step.created), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = step.created_by
        yield {
            "ID": NONE if not identity else f"sha256:{identity}" if no_trunc else identity[:12],
            "CreatedSince": ago(step.created) if human else at,
            "CreatedAt": at,
            "CreatedBy": text if no_trunc or len(text) <= _HISTORY_WIDTH else text[: _HISTORY_WIDTH - 1] + "…",
            "Size": size(entry.size) if human else str(entry.size),
            "Comment": step.comment,
        }
