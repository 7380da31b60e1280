"""In the DNS server's process: the kernel reports every change, so damage is repaired at once.

Most changes are minirun's own doing. So a look for damage follows a moment after the first of some changes, and looking
takes at most a tenth of the time. Two things no look would find are known from the event itself: another process
has deleted something in minirun's tables, and another program's chains were added or changed (firewall/foreign.py).
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from minirun.instance import Instance
from minirun.kernel.event_loop import READ, Interest
from minirun.kernel.netlink_events import LinkChanges, RuleChanges
from minirun.network.firewall import foreign
from minirun.network.repair.damage import find_damage
from minirun.network.repair.restore import Repairs, repair

# Seconds:
_LOOK_DELAY = 0.03  # after a change, since changes seldom come alone
_FIRST_LOOK = 0.5  # after the process was started: a start under way attaches the DNS server to its network itself
_BUSY_DELAY = 0.1  # until the next try, while a command is repairing
_MIN_RETRY, _MAX_RETRY = 0.5, 30.0  # after a repair that failed
_REST = 9  # times what a look took, before the next


class Watcher:
    """The part of the DNS server's process (dns/process.py) that watches the networks.

    `note` writes a line to the process's log.
    """

    def __init__(self, instance: Instance, note: Callable[[str], None]) -> None:
        self._instance = instance
        self._note = note
        self._links = LinkChanges()
        self._rules = RuleChanges()
        self._own_processes = {"minirun", Path("/proc/self/comm").read_text().strip()}
        self._own_rules_changed = False
        self._foreign_rules_changed = True  # perhaps: between the last command's look and the sockets above
        self._next_look: float | None = time.monotonic() + _FIRST_LOOK
        self._earliest = self._delay = 0.0

    def interests(self) -> Iterator[Interest]:
        """The sockets to read from, for the event loop."""
        yield self._links.socket.fileno(), READ, self._on_link_event
        yield self._rules.socket.fileno(), READ, self._on_rule_event

    def due(self) -> float | None:
        """Seconds until `tick` is to be called; None: not before the next event."""
        return None if self._next_look is None else max(0.0, self._next_look - time.monotonic())

    def tick(self) -> None:
        """Look for damage when it is time, and repair it."""
        if self._next_look is None or time.monotonic() < self._next_look:
            return
        began, self._next_look = time.monotonic(), None
        try:
            repairs = self._look()
        except BlockingIOError:
            self._next_look = began + _BUSY_DELAY
            return
        except (OSError, sqlite3.Error) as error:
            repairs = Repairs(failed=[f"cannot look for damaged networks: {error}"])
        for line in repairs.failed:
            self._note(line)
        now = time.monotonic()
        self._earliest = now + _REST * (now - began)
        self._delay = min(max(2 * self._delay, _MIN_RETRY), _MAX_RETRY) if repairs.failed else 0.0
        if repairs.failed:
            self._next_look = now + self._delay

    def _look(self) -> Repairs:
        repairs = Repairs()
        if self._own_rules_changed or find_damage(self._instance):
            repairs = repair(self._instance, rules=self._own_rules_changed, waits=False)
        elif self._foreign_rules_changed:
            repairs.done.extend(foreign.ensure(self._instance))
        if not repairs.failed:
            self._own_rules_changed = self._foreign_rules_changed = False
        return repairs

    def _on_link_event(self) -> None:
        self._links.drop_all()
        self._look_soon()

    def _on_rule_event(self) -> None:
        for transaction in self._rules.read():
            if transaction.process in self._own_processes:
                continue
            own = {("inet", self._instance.table), ("bridge", self._instance.table)}
            self._own_rules_changed |= not own.isdisjoint(transaction.lessened)
            self._foreign_rules_changed |= not transaction.chains <= own
        if self._rules.has_overflowed:
            self._rules.has_overflowed = False
            self._own_rules_changed = self._foreign_rules_changed = True
        self._look_soon()

    def _look_soon(self) -> None:
        """Schedule a look, unless one is: a failed repair is not retried sooner because much else changes."""
        if self._next_look is None:
            self._next_look = max(time.monotonic() + _LOOK_DELAY, self._earliest)
