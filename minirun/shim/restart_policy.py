"""Whether, and how soon, a container that ended is started again (Docker: Start containers automatically)."""

from minirun.model import Restart

_FIRST, _LONGEST = 0.1, 60.0
_STEADY = 10.0  # seconds of running after which the next end counts as the first


def wants_restart(policy: Restart, code: int, restarts: int) -> bool:
    if policy.name in ("always", "unless-stopped"):
        return True
    return policy.name == "on-failure" and code != 0 and (not policy.most or restarts < policy.most)


class BackOff:
    """100 ms, doubled with each quick end up to a minute."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay

    def next(self, ran: float) -> float:
        """Seconds to wait, after a run of `ran` seconds."""
        self.delay = _FIRST if ran >= _STEADY or not self.delay else min(2 * self.delay, _LONGEST)
        return self.delay
