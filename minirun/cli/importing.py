"""minirun import: an image from an archive of files."""

import os
import sys
from typing import BinaryIO

from minirun.cli.opening import open_instance
from minirun.cli.tag import check_reference
from minirun.cli.verb import Verb, many, value
from minirun.errors import MinirunError
from minirun.image.instructions import apply
from minirun.image.platform import architecture, architecture_of
from minirun.image.records import Details

_SCHEMES = ("http://", "https://")


class Import(Verb):
    usage = "file|URL|- [REPOSITORY[:TAG]]"
    least = 1
    most = 2
    completes = "files -"
    changes = many("change", "c", "Apply Dockerfile instruction to the created image")
    message = value("message", "m", "Set commit message for imported image")
    platform = value("platform", "", "Set platform if server is multi-platform capable")

    def run(self) -> None:
        source, *name = self.words
        if source.startswith(_SCHEMES):
            raise MinirunError(
                f"{source}: minirun fetches nothing from the network",
                f"fetch it and pipe it in: curl {source} | minirun import -",
            )
        reference = check_reference(name[0]) if name else ""
        details: Details = {
            "config": apply({}, self.changes),
            "comment": self.message or f"Imported from {source}",
            "architecture": architecture_of(self.platform) if self.platform else architecture(),
        }
        with _open(source) as stream:
            print(f"sha256:{_import(stream, details, reference)}")


def _import(stream: BinaryIO, details: Details, reference: str) -> str:
    from minirun.archive.layer_content import unpack_archive
    from minirun.image.create import add_image

    note = {"comment": details["comment"]}
    return add_image(
        open_instance(), lambda layer: unpack_archive(stream, layer), details, note, reference, action="import"
    ).id


def _open(source: str) -> BinaryIO:
    if source == "-":
        if os.isatty(0):
            raise MinirunError("an archive is expected on the standard input, which is a terminal")
        return sys.stdin.buffer
    try:
        return open(source, "rb")
    except OSError as error:
        raise MinirunError(f"open {source}: {(error.strerror or str(error)).lower()}") from None
