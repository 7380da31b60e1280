"""The monitor's story: start the program, carry its streams, and when it ends start it again or take all back."""

import os
import signal
import socket
import sqlite3
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from minirun.engine.lifecycle import finish, tell
from minirun.engine.log import LogWriter
from minirun.engine.protocol import ATTACH_SOCKET, Kind, Outbox, Spool
from minirun.errors import FAILED, MinirunError, describe
from minirun.init.plan import Plan, packed, unpacked
from minirun.instance import Instance
from minirun.kernel import cgroups, execution, freezer, limits, processes
from minirun.kernel.devices import devices_allow
from minirun.kernel.event_loop import Interest, Part, turn_parts
from minirun.kernel.sockets import control_listen
from minirun.model import Process
from minirun.network import operations
from minirun.shim.clients import Client, Clients
from minirun.shim.idle import Kept, fall_asleep, patience
from minirun.shim.port_reservations import Holder
from minirun.shim.program import Program
from minirun.shim.restart_policy import BackOff, wants_restart
from minirun.store.reserve import spending

if TYPE_CHECKING:
    from minirun.shim.dns_keepalive import ResolverKeeper
    from minirun.shim.health import HealthCheck

T = TypeVar("T")
_RETRY = 1.0  # seconds until a state database that could not be written is tried again


class Monitor:
    _instance: Instance | None = None

    def __init__(
        self, plan: Plan, first: Client | None, listener: socket.socket, held: list[int], resolver: int | None
    ) -> None:
        self.plan = plan
        self.directory = f"{plan.root}/containers/{plan.container}"
        self.resolver = None if resolver is None else self._keeper(resolver)
        self.ports = Holder(held)
        self.ever_started = self.cancelled = False
        self.back_off = BackOff()
        self.patience = patience()
        self.began = 0.0  # on the monotonic clock, this run
        self.health: HealthCheck | None = None
        self.clients = Clients(first, listener, self._outbox, self._obey, self._left)
        driver, size, files = plan.log
        self.log = None if driver == "none" else LogWriter(f"{self.directory}/log", size, files)

    @classmethod
    def fresh(cls, plan: Plan, first: Client, held: list[int], stub: int) -> "Monitor":
        """With the first process made."""
        resolver = held.pop() if plan.has_names else None
        listener = control_listen(f"{plan.root}/containers/{plan.container}", ATTACH_SOCKET)
        monitor = cls(plan, first, listener, held, resolver)
        monitor.start(stub)
        return monitor

    @classmethod
    def awake(cls, kept: Kept) -> "Monitor":
        """As it was when it fell asleep."""
        monitor = cls(unpacked(Plan, kept.plan), None, socket.socket(fileno=kept.listener), kept.ports, kept.resolver)
        monitor.ever_started, monitor.cancelled = True, kept.cancelled
        monitor.began, monitor.back_off = kept.began, BackOff(kept.delay)
        monitor.program = Program(monitor.plan, monitor._record_started, monitor._output)
        monitor.program.resume(kept)
        monitor._hear_of_the_end()
        return monitor

    def kept(self) -> Kept | None:
        """What it takes to be awake again; None while there is something to do that cannot wait for that."""
        keeps_awake = self.health is not None or self.clients or (self.log is not None and self.log.is_lossy)
        if keeps_awake or (self.resolver is not None and self.resolver.channel < 0) or not self.program.is_quiet:
            return None
        program = self.program
        return Kept(
            container=self.plan.container,
            plan=packed(self.plan),
            pid=program.pid,
            pidfd=program.pidfd,
            stdin=program.stdin,
            terminal=program.terminal,
            outputs={fd: int(kind) for fd, kind in program.outputs.items()},
            stdin_ending=program.stdin_ending,
            listener=self.clients.listener.fileno(),
            ports=self.ports.files,
            resolver=self.resolver.channel if self.resolver else None,
            delay=self.back_off.delay,
            began=self.began,
            cancelled=self.cancelled,
        )

    def _outbox(self) -> Outbox:
        return Spool(self.directory)

    def _keeper(self, fd: int | None) -> "ResolverKeeper":
        from minirun.shim.dns_keepalive import ResolverKeeper  # on the default network there are no names

        return ResolverKeeper(lambda: self.instance, None if fd is None else socket.socket(fileno=fd))

    def _keep_resolver(self) -> None:
        """Its networks may have changed."""
        has_names = operations.has_names(self.instance, self.plan.container)
        if has_names and self.resolver is None:
            self.resolver = self._keeper(None)
        elif not has_names and self.resolver is not None:
            self.resolver.close()
            self.resolver = None

    def start(self, stub: int) -> None:
        self.began = time.monotonic()
        self._hear_of_the_end()
        if self.plan.scope:
            cgroups.cgroup_settle(Path(self.plan.scope))
        if self.plan.cgroup:
            cgroups.cgroup_add(Path(self.plan.cgroup))
        if self.plan.device_rules and not self.ever_started:  # they stay with the group
            self._guard_devices()
        if self.plan.limits:
            limits.apply([Path(path) for path in self.plan.limit_groups], limits.of(self.plan.limits))
        program = Program(self.plan, self._record_started, self._output)
        program.spawn(stub)
        self.program = program
        # Opened now, while the first process is building its tree, and not before it was made: SQLite must not be
        # forked.
        self._instance = Instance(Path(self.plan.root))

    def _hear_of_the_end(self) -> None:
        """With the host's end systemd asks all in a scope to end; also one that was asleep when it came. Elsewhere it
        ends the monitor, and the container with it."""
        if self.plan.scope:
            signal.signal(signal.SIGTERM, self._cancel)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])

    def _guard_devices(self) -> None:
        """Where the kernel has no such programs, mounts that are nodev have to do."""
        try:
            devices_allow(Path(self.plan.cgroup), self.plan.device_rules)
        except OSError as error:
            if self.plan.needs_device_rules:
                raise MinirunError(f"this kernel keeps no rules for devices: {describe(error)}", code=FAILED) from error

    def _cancel(self, *_: object) -> None:
        self.cancelled = True

    def live(self) -> None:
        while True:
            while not self.program.has_ended():
                if not turn_parts(self._parts(), self._interests(), self.patience):
                    self._sleep()
            self._end_health()
            self.program.drain()
            code = self.program.reap()
            if not self._starts_again(code):
                return self._end(code)
            self._tell_end(code)
            if not self._pause(self.back_off.next(time.monotonic() - self.began)):
                return self._end(code)
            try:
                self._start_again()
            except (MinirunError, OSError) as error:  # whose namespace it shares is gone, its limits no longer possible
                self.program.failure = (FAILED, describe(error))
                return self._end(FAILED)

    def _sleep(self) -> None:
        """SIGTERM is blocked before it is said what is kept: one that comes after that is there for who wakes up."""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        if kept := self.kept():
            self._close_instance()
            fall_asleep(kept)
            self.patience = None  # it could not
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])

    @property
    def instance(self) -> Instance:
        """Its own. One that has been asleep opens it when it is needed: to write a line of the log it is not."""
        if self._instance is None:
            self._instance = self._opened()
        return self._instance

    def _opened(self) -> Instance:
        """It was there when the container started: what is wrong with it is tried again until it is not."""
        told = False
        while True:
            try:
                return Instance(Path(self.plan.root))
            except (MinirunError, OSError, sqlite3.Error) as error:
                if not told:
                    print(f"the state cannot be opened, and is tried until it can: {describe(error)}", file=sys.stderr)
                    told = True
                time.sleep(_RETRY)

    def _close_instance(self) -> None:
        if self._instance is not None:
            self._instance.store.close()
            self._instance = None

    def _interests(self) -> Iterator[Interest]:
        yield from self.program.interests()
        yield from self.clients.interests(self.program.takes_input)

    def _parts(self) -> list[Part]:
        return [part for part in (self.health, self.resolver) if part]

    # --- what clients say

    def _obey(self, client: Client, kind: Kind, body: bytes) -> None:
        program = self.program
        if kind is Kind.GO and client is self.clients.first:
            program.release()
        elif kind is Kind.STDIN and self.plan.interactive:
            program.give(body)
        elif kind is Kind.STDIN_END:
            self._input_ended(client)
        elif kind is Kind.SIGNAL:
            program.signal(body[0])
        elif kind is Kind.RESIZE:
            program.resize(*struct.unpack("HH", body))
        elif kind is Kind.PORTS:
            client.changes_ports = True
        elif kind is Kind.SETTLED:
            client.settled = True
        elif kind is Kind.CANCEL:
            self.cancelled = True  # of a program that has just been started again, too
            program.signal(9)

    def _input_ended(self, client: Client) -> None:
        """`-i` without `-d`: the input is that of who attached first, and ends with it, as Docker's StdinOnce."""
        if client.gives_stdin and self.plan.stdin_once:
            self.program.end_input()

    def _left(self, client: Client) -> None:
        """Before GO a start is taken back when its command goes; afterwards the container goes on without it."""
        self._input_ended(client)
        if client.changes_ports:
            self._recorded(lambda: self.ports.settle(self.instance, self.plan.container, client))
            self._keep_resolver()
        if client is self.clients.first and not self.program.go:
            self.program.abort("the command that started it was ended")

    # --- what the program does

    def _output(self, kind: Kind, data: bytes) -> None:
        if self.log is not None:
            self.log.write("stdout" if kind is Kind.OUT else "stderr", data)
        self.clients.output(kind, data)

    def _record_started(self) -> None:
        process = self.program.process()
        try:
            spending(self.instance.root, lambda: self._set_started(process))  # it may have filled the disk already
        except sqlite3.OperationalError as error:  # locked for long, or no room: what nobody can see is not to run
            self.program.abort(f"its start cannot be recorded: {self._trouble(error)}")
            return
        self.ever_started = True
        if process is not None and self.plan.health:
            self._recorded(self._begin_health)
        self.clients.tell(Kind.STARTED)

    def _set_started(self, process: Process | None) -> None:
        """None: it has ended already. That is recorded soon, and running without a process would be a lie."""
        store = self.instance.store
        with store.write():
            if process is not None:
                store.set_running(self.plan.container, process, time.time())
            else:
                store.set_values(self.plan.container, started_at=time.time())
            tell(store, self.plan.container, "start")

    def _begin_health(self) -> None:
        from minirun.shim.health import HealthCheck  # most containers have no check

        record = self.instance.store.container(self.plan.container)
        if record is not None and record.spec.health is not None:
            self.health = HealthCheck(self.instance, record, record.spec.health)

    def _end_health(self) -> None:
        if self.health:
            self.health.close()
            self.health = None

    def _recorded(self, write: Callable[[], T]) -> T:
        """The state database may be locked or the disk full: what happened is true all the same, so try until it is
        written. Nobody is misled meanwhile: this process lives, and whoever looks sees that."""
        told = False
        while True:
            try:
                return write()
            except sqlite3.OperationalError as error:
                if not told:
                    self.clients.tell(Kind.LOST, f"{self._trouble(error)}; tried until it can".encode())
                    told = True
                time.sleep(_RETRY)

    def _trouble(self, error: sqlite3.Error) -> str:
        from minirun.store.database_errors import of_database  # most never have any

        return of_database(error, self.instance.root).message

    # --- again

    def _starts_again(self, code: int) -> bool:
        """Not a start that never worked; nor when a user asked for the end, which is on record."""
        if not self.ever_started or not self.plan.asks_policy or self.cancelled:
            return False
        store = self.instance.store
        record = self._recorded(lambda: store.container(self.plan.container))
        # The policy is read anew: `update --restart` may have changed it.
        if record is None or not wants_restart(record.spec.restart, code, record.restarts):
            return False
        text = self.program.failure[1] if self.program.failure else ""
        return self._recorded(lambda: store.set_restarting(self.plan.container, code, time.time(), text))

    def _pause(self, seconds: float) -> bool:
        """False when a user asked for the end meanwhile."""
        until = time.monotonic() + seconds
        while not self.cancelled and (rest := until - time.monotonic()) > 0:
            turn_parts(self._parts(), self.clients.interests(True), rest)
        return not self.cancelled

    def _start_again(self) -> None:
        """The network namespace, its addresses and ports stay: only the program is new.

        The pin may have another name by now (rename), and the cgroup may be frozen still: what was paused was killed.
        """
        record = self._recorded(lambda: self.instance.store.container(self.plan.container))
        if record is not None and self.plan.netns:
            self.plan = replace(self.plan, netns=record.name)
        freezer.thaw(freezer.freezer_group(self.instance.cgroup, self.plan.container))
        self._close_instance()
        self.start(execution.sealed_stub())
        self.program.go = True

    # --- the end

    def _end(self, code: int) -> None:
        """Record how it ended, take everything back, then tell: when a command returns, all is done."""
        if self.log is not None:
            self.log.close()
        failure = self.program.failure
        remove = not self.ever_started and self.plan.fresh
        text = failure[1] if failure else ""
        me = Process(os.getpid(), processes.start_time(os.getpid()) or 0)
        self.ports.close()  # before the record gives them back: the next start may follow at once
        self._recorded(lambda: finish(self.instance, self.plan.container, me, code, text, remove))
        if self.resolver is not None:
            self.resolver.close()  # it may go with the last container, and this process still has a little to wait for
        self.clients.accept_all()  # who came meanwhile hears it, too: of one with --rm nobody else can tell
        self._tell_end(code)
        self.clients.close()

    def _tell_end(self, code: int) -> None:
        if self.program.failure is not None:
            self.clients.tell(Kind.FAILED, bytes([code]) + self.program.failure[1].encode())
        else:
            self.clients.tell(Kind.EXITED, bytes([code]))
        self.clients.dismiss()
