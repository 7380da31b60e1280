"""minirun images."""

from collections.abc import Callable
from datetime import datetime
from fnmatch import fnmatchcase

from minirun.cli.filters import Filters, has_all_labels, matches, parse_filters
from minirun.cli.format import Columns, Row, print_rows
from minirun.cli.moments import moment
from minirun.cli.opening import open_instance
from minirun.cli.table import ago, size
from minirun.cli.verb import Verb, many, switch, value
from minirun.errors import MinirunError
from minirun.image import records
from minirun.image.layers import sweep
from minirun.image.records import Image
from minirun.image.resolve import find_image
from minirun.instance import Instance
from minirun.options.durations import timestamp

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


class Images(Verb):
    usage = "[REPOSITORY[:TAG]]"
    most = 1
    completes = "images"
    filterable = ("before", "dangling", "label", "label!", "reference", "since", "until")
    everything = switch("all", "a", "Show all images (default hides intermediate images)")
    quiet = switch("quiet", "q", "Only show image IDs")
    no_trunc = switch("no-trunc", "", "Don't truncate output")
    digests = switch("digests", "", "Show digests")
    filters = many("filter", "f", "Filter output based on conditions provided", "filter")
    form = value("format", "", "Format output using a custom template: table, table TEMPLATE, json or TEMPLATE")

    def run(self) -> None:
        filters = parse_filters(self.filters, self.filterable)
        if self.words:
            filters.setdefault("reference", []).append(self.words[0])
        instance = open_instance()
        sweep(instance)
        rows = [
            _row(image, reference, self.no_trunc)
            for image, references in chosen(instance, filters, self.everything)
            for reference in references or [""]
        ]
        headers = {"Repository": "REPOSITORY", "Tag": "TAG", **({"Digest": "DIGEST"} if self.digests else {})}
        columns = Columns({**headers, "ID": "IMAGE ID", "CreatedSince": "CREATED", "Size": "SIZE"}, "ID")
        print_rows(rows, columns, self.form, self.quiet, _EXTRA)


def chosen(instance: Instance, filters: Filters, everything: bool) -> list[tuple[Image, list[str]]]:
    """Images with those of their references that were asked for, the newest first."""
    filters = dict(filters)
    tags = records.tags(instance.store)
    images = records.all_images(instance.store)
    parents = {one.details.get("parent", "") for one in images}
    patterns = filters.pop("reference", [])
    test = _test(instance, filters, lambda image: image.id not in tags and image.id not in parents)
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
    dangling = [_boolean(text) for text in filters.get("dangling", [])]
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


def _boolean(text: str) -> bool:
    if text not in ("1", "true", "0", "false"):
        raise MinirunError(f"invalid filter 'dangling={text}'", "true or false")
    return text in ("1", "true")


def _is_named(reference: str, patterns: list[str]) -> bool:
    """By the name alone, or with its tag; * stops at no slash but those of the pattern."""
    name = reference.rpartition(":")[0]
    return any(_fits(name, pattern) or _fits(reference, pattern) for pattern in patterns)


def _fits(text: str, pattern: str) -> bool:
    own = pattern.removeprefix("docker.io/").removeprefix("library/")
    return text.count("/") == own.count("/") and all(
        fnmatchcase(part, wanted) for part, wanted in zip(text.split("/"), own.split("/"), strict=True)
    )


def _row(image: Image, reference: str, whole: bool) -> Row:
    name, _, tag = reference.rpartition(":")
    return {
        "Repository": name or NONE,
        "Tag": tag or NONE,
        "Digest": NONE,  # that of a registry, and there is none
        "ID": f"sha256:{image.id}" if whole else image.id[:12],
        "CreatedSince": ago(image.created),
        "CreatedAt": datetime.fromtimestamp(image.created).astimezone().strftime("%Y-%m-%d %H:%M:%S %z %Z"),
        "Size": size(image.size),
        "VirtualSize": size(image.size),
        **_NOT_COUNTED,
    }
