"""Restart policies and their back-off."""

import pytest

from minirun.engine.restart import wants_restart
from minirun.model import Restart
from minirun.shim.restart_policy import BackOff


@pytest.mark.parametrize(
    ("policy", "code", "restarts", "again"),
    [
        (Restart("no"), 1, 0, False),
        (Restart("always"), 0, 99, True),
        (Restart("unless-stopped"), 1, 99, True),
        (Restart("on-failure"), 0, 0, False),
        (Restart("on-failure"), 1, 99, True),
        (Restart("on-failure", 3), 1, 2, True),
        (Restart("on-failure", 3), 1, 3, False),
    ],
)
def test_restart_policies(policy: Restart, code: int, restarts: int, again: bool) -> None:
    assert wants_restart(policy, code, restarts) is again


def test_back_off_doubles_to_a_minute_and_forgets_after_a_steady_run() -> None:
    back_off = BackOff()
    assert [back_off.next(0) for _ in range(4)] == [0.1, 0.2, 0.4, 0.8]
    assert [back_off.next(0) for _ in range(9)][-1] == 60
    assert back_off.next(11) == 0.1
