"""In the resolver's process: damage is mended at once, because the kernel tells of every change.

What it tells is mostly minirun's own doing, and so a look (healing.damage) follows a moment after the first of some
changes, and never so often that looking takes more than a tenth of the time. Two things no look would find, and are
known from the message: that somebody else has deleted something within minirun's tables, and that somebody else's
chains have come or changed (neighbours.py).
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from minirun.instance import Instance
from minirun.kernel.event_loop import READ, Interest
from minirun.kernel.netlink_events import LinkChanges, RuleChanges
from minirun.network.firewall import foreign
from minirun.network.repair.detect import Mended, damage, mend

_SOON = 0.03  # seconds: a change seldom comes alone
_AT_FIRST = 0.5  # after the process was started: a start that is under way makes the leg of its network itself
_REST = 9  # times what a look took, before the next
_BUSY = 0.1  # seconds after which to try again, when a command is mending
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0  # after what could not be mended


class Watcher:
    """One part of the process (resolver/process.py)."""

    def __init__(self, instance: Instance, note: Callable[[str], None]) -> None:
        self._instance = instance
        self._note = note
        self._links = LinkChanges()
        self._rules = RuleChanges()
        self._mine = {"minirun", Path("/proc/self/comm").read_text().strip()}
        self._are_rules_hurt = self._are_others_changed = False
        self._at: float | None = time.monotonic() + _AT_FIRST
        self._earliest = self._delay = 0.0

    def interests(self) -> Iterator[Interest]:
        yield self._links.socket.fileno(), READ, self._hear_of_links
        yield self._rules.socket.fileno(), READ, self._hear_of_rules

    def due(self) -> float | None:
        return None if self._at is None else max(0.0, self._at - time.monotonic())

    def tick(self) -> None:
        if self._at is None or time.monotonic() < self._at:
            return
        began, self._at = time.monotonic(), None
        try:
            mended = self._look()
        except BlockingIOError:
            self._at = began + _BUSY
            return
        except (OSError, sqlite3.Error) as error:
            mended = Mended(failed=[f"networks could not be looked at: {error}"])
        for line in mended.failed:
            self._note(line)
        now = time.monotonic()
        self._earliest = now + _REST * (now - began)
        self._delay = min(max(2 * self._delay, _FIRST_DELAY), _LONGEST_DELAY) if mended.failed else 0.0
        if mended.failed:
            self._at = now + self._delay

    def _look(self) -> Mended:
        mended = Mended()
        if self._are_rules_hurt or damage(self._instance):
            mended = mend(self._instance, rules=self._are_rules_hurt, waits=False)
        elif self._are_others_changed:
            mended.done.extend(foreign.ensure(self._instance))
        if not mended.failed:
            self._are_rules_hurt = self._are_others_changed = False
        return mended

    def _hear_of_links(self) -> None:
        self._links.drop_all()
        self._look_soon()

    def _hear_of_rules(self) -> None:
        for transaction in self._rules.read():
            if transaction.process in self._mine:
                continue
            own = {("inet", self._instance.table), ("bridge", self._instance.table)}
            self._are_rules_hurt |= not own.isdisjoint(transaction.lessened)
            self._are_others_changed |= not transaction.chains <= own
        self._look_soon()

    def _look_soon(self) -> None:
        """Not sooner than it is to be: what cannot be mended is not tried more often because much else changes."""
        if self._at is None:
            self._at = max(time.monotonic() + _SOON, self._earliest)
