"""What becomes of networks, in Docker's words."""

from minirun.model import Container, Network
from minirun.store import Store


def tell(store: Store, action: str, network: Network, container: Container | None = None) -> None:
    """create, destroy; connect, disconnect of a container. In the transaction of what it tells of."""
    who = {"container": container.id} if container else {}
    store.add_event("network", action, network.id, {**who, "name": network.name, "type": network.driver})
