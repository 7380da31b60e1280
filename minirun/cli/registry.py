"""minirun pull, push, build: what there is no registry and no builder for is refused with what to do instead."""

from minirun.cli.verb import Verb
from minirun.errors import MinirunError

_NO_REGISTRY = "minirun has no registry"
_INSTEAD = "`minirun import` makes an image from an archive of files, and `minirun commit` from a container"


class _Refused(Verb):
    why = ""

    def read(self, words: list[str]) -> bool:
        """Whatever stands behind it."""
        return not {"--help", "-h"} & set(words)

    def run(self) -> None:
        raise MinirunError(f"{self.called}: {self.why}", _INSTEAD)


class Pull(_Refused):
    usage = "NAME[:TAG]"
    why = f"{_NO_REGISTRY} to pull from; busybox is built from the host's own on first use"


class Push(_Refused):
    usage = "NAME[:TAG]"
    why = f"{_NO_REGISTRY} to push to"


class Build(_Refused):
    usage = "PATH | URL | -"
    why = "minirun does not build images from a Dockerfile"
