"""What nearly every verb does first: be root, open the state, mend what was left half done."""

from minirun.cli.app import session
from minirun.engine.reconcile import reconcile
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.kernel.root import is_root


def open_instance(heals: bool = True) -> Instance:
    """`heals`: what somebody has damaged is mended first. Who shows how things are leaves them so."""
    require_root()
    instance = Instance(session().root)
    reconcile(instance, heals)
    return instance


def require_root() -> None:
    if not is_root():
        raise MinirunError(
            "minirun must be run as root: it makes namespaces, mounts and nftables rules",
            "try sudo",
            session().failure,
        )
