"""From a mode to its wiring. What networks need is imported only for those who use them."""

from minirun.model import Mode
from minirun.network.modes.protocol import Wiring


def wiring_for(mode: Mode) -> Wiring:
    if mode is Mode.HOST:
        from minirun.network.modes.host import Host

        return Host()
    if mode is Mode.NONE:
        from minirun.network.modes.none import Isolated

        return Isolated()
    if mode is Mode.CONTAINER:
        from minirun.network.modes.container import Joined

        return Joined()
    from minirun.network.modes.bridge import Attached

    return Attached()
