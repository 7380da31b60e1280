"""From what a user typed (name, id, start of an id) to the record, or the sentence that says why not."""

from minirun.errors import MinirunError, NotFoundError
from minirun.model import Container, Network
from minirun.store import Store


def find_container(store: Store, reference: str, code: int = 1) -> Container:
    found = store.find_containers(reference.removeprefix("/"))
    if not found:
        raise NotFoundError(f"No such container: {reference}", code=code)
    if len(found) > 1:
        raise MinirunError(
            f"multiple IDs found with provided prefix: {reference}", "give more of the id, or the name", code
        )
    return found[0]


def find_network(store: Store, reference: str, code: int = 1) -> Network:
    network = store.find_network(reference)
    if network is None:
        raise NotFoundError(f"network {reference} not found", "minirun network ls shows what there is", code)
    return network
