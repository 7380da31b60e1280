"""A look at the legs, soon after the process was started: it may have a new namespace, because somebody removed the pin
of the old one, while containers that know nothing of that go on."""

import time
from collections.abc import Iterator

from minirun.instance import Instance
from minirun.network.names import ensure_leg, has_leg, has_names
from minirun.turn import Interest

_SOON = 0.5  # seconds: a start that is under way makes its own


class Legs:
    """One part of the process (process.py)."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._at: float | None = time.monotonic() + _SOON

    def interests(self) -> Iterator[Interest]:
        return iter(())

    def due(self) -> float | None:
        return None if self._at is None else max(0.0, self._at - time.monotonic())

    def tick(self) -> None:
        if self._at is not None and time.monotonic() >= self._at:
            self._at = None
            self._restore()

    def _restore(self) -> None:
        used = {end.network for end in self._instance.store.endpoints()}
        networks = [one for one in self._instance.store.networks() if one.id in used and has_names(one)]
        missing = [network for network in networks if not has_leg(self._instance, network)]
        if not missing:
            return
        from minirun.kernel.netlink import Netlink  # 10 MB that are not needed but for this

        netlink = Netlink()
        try:
            for network in missing:
                ensure_leg(self._instance, netlink, network)
        finally:
            netlink.close()
