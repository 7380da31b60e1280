"""From a mode to its driver. The bridge driver is imported only for those who use it."""

from minirun.model import Mode
from minirun.network.driver import Driver


def driver_for(mode: Mode) -> Driver:
    if mode is Mode.HOST:
        from minirun.network.host import Host

        return Host()
    if mode is Mode.NONE:
        from minirun.network.none import Isolated

        return Isolated()
    if mode is Mode.CONTAINER:
        from minirun.network.container import Joined

        return Joined()
    from minirun.network.bridge import Bridge

    return Bridge()
