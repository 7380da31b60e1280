"""How soon a container that ended is started again; engine/restart.py has whether."""

import time

from minirun.engine.restart import wants_restart
from minirun.shim.state import State

_FIRST_DELAY, _MAX_DELAY = 0.1, 60.0  # seconds
_STABLE = 10.0  # seconds of running after which the delay starts anew


def record_restart(state: State, container: str, code: int, failure: str) -> bool:
    """Record that a run ended and another will follow. False when the policy, or a user's stop, forbids it.

    The policy is read from the record, as `minirun update --restart` may have changed it.
    """
    record = state.container()
    if record is None or not wants_restart(record.spec.restart, code, record.restarts):
        return False
    return state.retried(lambda: state.instance.store.set_restarting(container, code, time.time(), failure))


class BackOff:
    """The delay before a restart: 100 ms, doubled with each quick end, up to a minute."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay

    def next(self, ran: float) -> float:
        """Seconds to wait, after a run of `ran` seconds."""
        self.delay = _FIRST_DELAY if ran >= _STABLE or not self.delay else min(2 * self.delay, _MAX_DELAY)
        return self.delay
