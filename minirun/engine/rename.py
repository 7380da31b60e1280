"""rename: a new name on record, and for a running container on its network namespace."""

from minirun.engine.lifecycle import tell
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel.netns import netns_attach, netns_del
from minirun.model import Container, Status
from minirun.network.operations import refuse_foreign_pin


def rename(instance: Instance, container: Container, name: str) -> None:
    """Pin under the new name, record, unpin the old one. The record says beforehand which second pin there may be, so
    that whoever ends the container takes that back, too, if this is killed in between."""
    store = instance.store
    if name == container.name:
        raise MinirunError("Renaming a container with the same name as its current name")
    store.refuse_taken_name(name)
    if container.status in (Status.STARTING, Status.RESTARTING):
        raise MinirunError(f"container {container.name} is {container.status}: its namespace cannot be renamed now")
    is_pinned = bool(container.sandbox) and container.status is Status.RUNNING and container.init is not None
    if is_pinned and container.init is not None:
        refuse_foreign_pin(name)
        store.set_values(container.id, second_pin=name)
        try:
            netns_attach(name, container.init.pid)
        except BaseException:
            store.set_values(container.id, second_pin="")  # not ours, or not there: nobody is to take it back
            raise
    with store.write():
        store.refuse_taken_name(name)
        store.set_values(container.id, name=name, second_pin=container.name if is_pinned else "")
        tell(store, container.id, "rename", oldName=f"/{container.name}")
    if is_pinned:
        netns_del(container.name)
        store.set_values(container.id, second_pin="")
