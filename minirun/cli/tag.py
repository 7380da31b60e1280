"""minirun tag."""

from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb
from minirun.errors import FAILED, MinirunError, NotFoundError
from minirun.image import records
from minirun.image.busybox import BUSYBOX
from minirun.image.reference import parse
from minirun.image.resolve import find_image, image_to_run
from minirun.instance import Instance


class Tag(Verb):
    usage = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]"
    least = most = 2
    completes = "images"

    def run(self) -> None:
        source, target = self.words
        reference = check_reference(target)
        instance = open_instance()
        image = image_to_run(instance, source) if _is_busybox(source) else find_image(instance, source)
        put_tag(instance, image.id, reference)


def check_reference(text: str) -> str:
    try:
        return parse(text)
    except MinirunError as error:
        raise MinirunError(
            f'Error parsing reference: "{text}" is not a valid repository/tag: {error.message}', error.hint
        ) from None


def put_tag(instance: Instance, image_id: str, reference: str) -> None:
    with instance.store.write():
        if not records.is_there(instance.store, image_id):
            raise NotFoundError(f"No such image: sha256:{image_id}", code=FAILED)
        records.tag(instance.store, reference, image_id)
        instance.store.add_event("image", "tag", image_id, {"name": reference})


def _is_busybox(reference: str) -> bool:
    """It is built on first use, and this is one."""
    try:
        return parse(reference) == BUSYBOX
    except MinirunError:
        return False
