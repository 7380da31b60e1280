"""minirun history."""

from collections.abc import Iterator

from minirun.cli.format import Columns, Row, print_rows
from minirun.cli.images import NONE
from minirun.cli.opening import open_instance
from minirun.cli.table import ago, size
from minirun.cli.verb import Verb, switch, value
from minirun.image.records import Image
from minirun.image.resolve import find_image
from minirun.instance import Instance
from minirun.options.durations import timestamp

_COLUMNS = Columns(
    {"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT"}, "ID"
)
_WIDTH = 45


class History(Verb):
    usage = "IMAGE"
    least = most = 1
    completes = "images"
    quiet = switch("quiet", "q", "Only show image IDs")
    no_trunc = switch("no-trunc", "", "Don't truncate output")
    human = switch("human", "H", "Print sizes and dates in human readable format", True)
    form = value("format", "", "Format output using a custom template: table, table TEMPLATE, json or TEMPLATE")

    def run(self) -> None:
        instance = open_instance()
        rows = list(self._rows(instance, find_image(instance, self.words[0])))
        columns = _COLUMNS if self.human else Columns({**_COLUMNS.headers, "CreatedSince": "CREATED AT"}, "ID")
        print_rows(rows, columns, self.form, self.quiet, {"CreatedAt": "CREATED AT"})

    def _rows(self, instance: Instance, image: Image) -> Iterator[Row]:
        """The newest first; the ids of those below follow from the parents, as far as they are still there."""
        from minirun.image import records

        current: Image | None = image
        for note in reversed(image.details.get("history", [])):
            identity = current.id if current else ""
            at = timestamp(int(note["created"] * 1e9))
            text = note.get("created_by", "")
            yield {
                "ID": NONE if not identity else f"sha256:{identity}" if self.no_trunc else identity[:12],
                "CreatedSince": ago(note["created"]) if self.human else at,
                "CreatedAt": at,
                "CreatedBy": text if self.no_trunc or len(text) <= _WIDTH else text[: _WIDTH - 1] + "…",
                "Size": size(note["size"]) if self.human else str(note["size"]),
                "Comment": note.get("comment", ""),
            }
            current = records.by_id(instance.store, current.details.get("parent", "")) if current else None
