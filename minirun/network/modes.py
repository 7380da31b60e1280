"""From a mode to its wiring. What networks need is imported only for those who use them."""

from minirun.model import Mode
from minirun.network.wiring import Wiring


def wiring_for(mode: Mode) -> Wiring:
    if mode is Mode.HOST:
        from minirun.network.host import Host

        return Host()
    if mode is Mode.NONE:
        from minirun.network.none import Isolated

        return Isolated()
    if mode is Mode.CONTAINER:
        from minirun.network.container import Joined

        return Joined()
    from minirun.network.attached import Attached

    return Attached()
