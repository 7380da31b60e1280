"""What nearly every verb does first: be root, open the state, mend what was left half done."""

from minirun.cli.app import session
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel.root import is_root
from minirun.lifecycle import reconcile


def open_instance() -> Instance:
    require_root()
    instance = Instance(session().root)
    reconcile(instance)
    return instance


def require_root() -> None:
    if not is_root():
        raise MinirunError(
            "minirun must be run as root: it makes namespaces, mounts and nftables rules",
            "try sudo",
            session().failure,
        )
