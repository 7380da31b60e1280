"""Health checks: a program that runs in the container at intervals, and the status that its exit codes give.

https://docs.docker.com/reference/dockerfile/#healthcheck
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator

from minirun.engine.environment import with_environment
from minirun.engine.exec import ExecProcess, start_exec
from minirun.engine.exec_records import end_of
from minirun.engine.lifecycle import record_event
from minirun.engine.readiness import listens_on
from minirun.errors import MinirunError
from minirun.init.exec_process import ExecPlan, ExecRequest
from minirun.init.program import StartError
from minirun.instance import Instance
from minirun.kernel import controllers, processes
from minirun.kernel.event_loop import READ, Interest, is_ready
from minirun.model import Container, Health, Status
from minirun.options.values import timestamp
from minirun.security.confinement import confinement_for

_KEPT_RESULTS = 5
_MAX_OUTPUT = 4096  # bytes
STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"


class HealthCheck:
    """The health of one run of the program. Part of the event loop (kernel.event_loop.Part)."""

    def __init__(self, instance: Instance, container: Container, health: Health) -> None:
        self._instance = instance
        self._id = container.id
        self._health = health
        self._early_until = time.monotonic() + health.start_period
        self._status = STARTING
        self._streak = 0
        self._log: list[dict[str, object]] = []
        self._check: ExecProcess | None = None
        self._output = bytearray()
        self._start = self._deadline = 0.0
        self._checked = 0.0  # when the last check began, by the monotonic clock
        self._next = self._next_check()
        self._record()

    @classmethod
    def begin(cls, instance: Instance, container_id: str) -> "HealthCheck | None":
        """The check of a container that has just started; None when it has none, or is gone."""
        container = instance.store.container(container_id)
        if container is None or container.spec.health is None:
            return None
        return cls(instance, container, container.spec.health)

    def due(self) -> float:
        """Seconds until `tick` is due."""
        return max(0.0, (self._deadline if self._check else self._next) - time.monotonic())

    def interests(self) -> Iterator[Interest]:
        """What the event loop is to wait for now."""
        if self._check is not None:
            yield self._check.pidfd, READ, self._finish
            for helper in self._check.helpers[:1]:  # they end together
                yield helper, READ, self._check.reap_helpers
            for fd in self._check.outputs:
                yield fd, READ, lambda fd=fd: self._read(fd)  # type: ignore[misc]

    def tick(self) -> None:
        """If it is time, begin the next check, or kill one that takes too long."""
        if self.due() > 0:
            return
        if self._check is None:
            self._run_check()
        else:
            processes.signal_send(self._check.pidfd, 9, self._check.pid)
            processes.wait_gone(self._check.pidfd, None)
            seconds = f"{self._health.timeout:g}s"
            self._finish(timed_out=f"Health check exceeded timeout ({seconds})")

    def close(self) -> None:
        """The container has ended: kill a check that runs, without a result."""
        if self._check is not None:
            processes.signal_send(self._check.pidfd, 9, self._check.pid)
            self._reap(self._check)
            self._check = None

    def _run_check(self) -> None:
        container = self._instance.store.container(self._id)
        now = time.monotonic()
        if container is None or container.status is not Status.RUNNING or container.paused:
            self._next = self._next_check()
            return
        self._start, self._checked, self._deadline = time.time(), now, now + (self._health.timeout or 30)
        self._output.clear()
        if self._health.listening:
            self._look(container)
            return
        request = ExecRequest(argv=self._health.test, workdir=container.spec.workdir)
        try:
            target = with_environment(self._instance, container)
            groups = tuple(controllers.existing(self._instance.cgroup, self._id))
            confined = confinement_for(self._instance, target.spec.security)
            self._check = start_exec(ExecPlan(target, request, confined, groups))
        except StartError as error:
            self._judge(error.code, error.text)
        except (MinirunError, OSError) as error:  # the program has just ended
            self._judge(-1, str(error))

    def _look(self, container: Container) -> None:
        try:
            missing = listens_on(self._instance, container, self._health.listening)
        except (MinirunError, OSError) as error:  # the program has just ended
            missing = str(error)
        self._judge(1 if missing else 0, missing)

    def _read(self, fd: int) -> None:
        if self._check is None or fd not in self._check.outputs:
            return  # its end was handled in the same turn of the loop
        data = os.read(fd, _MAX_OUTPUT)
        if not data:
            del self._check.outputs[fd]
            os.close(fd)
        elif len(self._output) < _MAX_OUTPUT:
            self._output += data[: _MAX_OUTPUT - len(self._output)]

    def _finish(self, timed_out: str = "") -> None:
        check = self._check
        if check is None or not processes.wait_gone(check.pidfd, 0):
            return
        for fd in list(check.outputs):
            while fd in check.outputs and is_ready(fd):
                self._read(fd)
        code = self._reap(check)
        self._check = None
        self._judge(-1 if timed_out else code, timed_out or self._output.decode("utf-8", "replace"))

    def _reap(self, check: ExecProcess) -> int:
        for fd in (check.pidfd, *check.outputs):
            os.close(fd)
        check.reap_helpers()
        return end_of(check)

    def _judge(self, code: int, output: str) -> None:
        """Record a result. Failures of checks that began within the start period don't count until one succeeds."""
        before = self._status
        entry = {"Start": _stamp(self._start), "End": _stamp(time.time()), "ExitCode": code, "Output": output}
        self._log = [*self._log, entry][-_KEPT_RESULTS:]
        if code == 0:
            self._status, self._streak = HEALTHY, 0
        elif self._status != STARTING or self._checked >= self._early_until:
            self._streak += 1
            if self._streak >= self._health.retries:
                self._status = UNHEALTHY
        self._next = self._next_check()
        self._record(changed=self._status != before)

    def _record(self, changed: bool = False) -> None:
        state = {"Status": self._status, "FailingStreak": self._streak, "Log": self._log}
        store = self._instance.store
        try:
            with store.write():
                store.set_values(self._id, health=json.dumps(state))
                if changed:
                    record_event(store, self._id, f"health_status: {self._status}")
        except sqlite3.OperationalError:
            pass  # locked for long, or no space: the next result is recorded with all before it

    def _next_check(self) -> float:
        """When the next check begins: the interval of the start period ends with it."""
        now = time.monotonic()
        if self._status == STARTING and now < self._early_until:
            return min(now + self._health.start_interval, self._early_until)
        return now + self._health.interval


def _stamp(seconds: float) -> str:
    return timestamp(int(seconds * 1e9))
