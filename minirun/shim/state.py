"""The shim's access to the state database, which may be locked or on a full disk at any moment."""

import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from minirun.engine.lifecycle import record_event
from minirun.errors import MinirunError, describe
from minirun.instance import Instance
from minirun.model import Container, Process
from minirun.store.faults import database_error, with_reserve

T = TypeVar("T")
_RETRY = 1.0  # seconds between two attempts


class State:
    """Opens the instance when it is needed, and repeats what fails.

    `on_trouble` gets one sentence for each operation that cannot be done at once.
    """

    def __init__(self, root: str, container: str, on_trouble: Callable[[str], None]) -> None:
        self._root = Path(root)
        self._container = container
        self._on_trouble = on_trouble
        self._instance: Instance | None = None

    @property
    def instance(self) -> Instance:
        """The instance, opened on first use: to write the log, an awakened shim does not need it.

        It existed when the container started, so whatever is wrong with it now, opening is repeated until it works.
        """
        reported = False
        while self._instance is None:
            try:
                self.open()
            except (MinirunError, OSError, sqlite3.Error) as error:
                if not reported:
                    print(f"cannot open the state, retrying: {describe(error)}", file=sys.stderr)
                    reported = True
                time.sleep(_RETRY)
        return self._instance

    def open(self) -> None:
        """Open the instance. Raises whatever is wrong with it."""
        self._instance = Instance(self._root)

    def close(self) -> None:
        """Close the instance, before a fork or execve: SQLite must not be forked."""
        if self._instance is not None:
            self._instance.store.close()
            self._instance = None

    def container(self) -> Container | None:
        """Read the container's record."""
        return self.retried(lambda: self.instance.store.container(self._container))

    def container_at_once(self) -> Container | None:
        """The same without a wait; None also when it cannot be read now."""
        try:
            if self._instance is None:
                self.open()
            return self.instance.store.container(self._container)
        except (MinirunError, OSError, sqlite3.Error):
            return None

    def retried(self, operation: Callable[[], T]) -> T:
        """Repeat `operation` until the database is neither locked nor full: what it records has happened already.

        Nobody is misled meanwhile: this process lives, and every command checks that.
        """
        reported = False
        while True:
            try:
                return operation()
            except sqlite3.OperationalError as error:
                if not reported:
                    self._on_trouble(f"{self.explain(error)}; tried until it can")
                    reported = True
                time.sleep(_RETRY)

    def explain(self, error: sqlite3.Error) -> str:
        """The sentence for users about an error of the database."""
        return database_error(error, self.instance.root).message

    def set_started(self, process: Process | None) -> None:
        """Record the start, with the space kept for that: the program may have filled the disk already.

        `process` is None when it has ended already; then it is never recorded as running. sqlite3.OperationalError when
        the database is locked for long.
        """
        with_reserve(self.instance.root, lambda: self._set_started(process))

    def _set_started(self, process: Process | None) -> None:
        store = self.instance.store
        with store.write():
            if process is not None:
                store.set_running(self._container, process, time.time())
            else:
                store.set_values(self._container, started_at=time.time())
            record_event(store, self._container, "start")
