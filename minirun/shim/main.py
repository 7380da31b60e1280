"""The shim's main part, from the plan to the end: start the program, carry its streams, restart it or clean up."""

import os
import signal
import socket
import sqlite3
import struct
import time
from collections.abc import Iterator
from dataclasses import replace

from minirun.engine.lifecycle import finish_run
from minirun.engine.log import LogWriter
from minirun.engine.protocol import ATTACH_SOCKET, Kind, Outbox, Spool
from minirun.errors import FAILED, MinirunError, describe
from minirun.init.helper import StartHelper
from minirun.init.plan import Plan, pack, unpack
from minirun.kernel import execution, freezer, processes
from minirun.kernel.event_loop import Interest, Part, turn_parts
from minirun.kernel.sockets import control_listen
from minirun.model import Process
from minirun.shim.clients import Client, Clients
from minirun.shim.container_process import ContainerProcess, allow_devices, prepare_cgroup
from minirun.shim.dns_keepalive import DnsKeepalive
from minirun.shim.health import HealthCheck
from minirun.shim.idle import IdleState, become_sleeper, idle_timeout
from minirun.shim.port_relay import PortRelay
from minirun.shim.port_reservations import ReservedSockets
from minirun.shim.restart_policy import BackOff, record_restart
from minirun.shim.state import State


class Shim:
    """One container's shim, over all runs of its program."""

    def __init__(
        self, plan: Plan, first: Client | None, listener: socket.socket, reserved: list[int], dns: int | None
    ) -> None:
        self.plan = plan
        self.directory = f"{plan.root}/containers/{plan.container}"
        self.state = State(plan.root, plan.container, lambda text: self.clients.tell(Kind.LOST, text.encode()))
        self.dns = DnsKeepalive(lambda: self.state.instance, dns)
        self.ports = ReservedSockets(reserved)
        self.relay = PortRelay(self.state, plan.container)
        self.ever_started = self.cancelled = False
        self.back_off = BackOff()
        self.idle_timeout = idle_timeout()
        self.began = 0.0  # of this run, on the monotonic clock
        self.health: HealthCheck | None = None
        self.identity = Process(os.getpid(), processes.start_time(os.getpid()) or 0)  # on record
        self.clients = Clients(first, listener, self._outbox, self._on_message, self._on_leave)
        driver, size, files = plan.log
        self.log = None if driver == "none" else LogWriter(f"{self.directory}/log", size, files)

    @classmethod
    def fresh(cls, plan: Plan, first: Client, received: list[int], stub: int, helper: StartHelper) -> "Shim":
        """Make a shim and the container's first process, by way of `helper`.

        `first` is the command that starts it, `received` the descriptors that it sent, `stub` the sealed executable.
        """
        dns = received.pop() if plan.has_names else None
        listener = control_listen(f"{plan.root}/containers/{plan.container}", ATTACH_SOCKET)
        shim = cls(plan, first, listener, received, dns)
        shim.start(stub, helper)
        return shim

    @classmethod
    def awake(cls, state: IdleState, code: int | None) -> "Shim":
        """Restore the shim as it was when it became idle. `code`: the container has ended so, and was reaped."""
        listener = socket.socket(fileno=state.listener)
        shim = cls(unpack(Plan, state.plan), None, listener, state.ports, state.resolver)
        shim.ever_started, shim.cancelled = True, state.cancelled
        shim.began, shim.back_off = state.began, BackOff(state.delay)
        shim.process = ContainerProcess(shim.plan, shim._record_started, shim._on_output)
        shim.process.resume(state)
        shim.process.code = code
        shim.identity = Process(*state.identity)
        if state.relay is not None:
            os.close(state.relay)
        shim.relay.resume(state.relayed)
        shim._handle_sigterm()
        return shim

    def _outbox(self) -> Outbox:
        return Spool(self.directory)

    # --- a run from start to end

    def start(self, stub: int, helper: StartHelper) -> None:
        """Prepare the cgroup and have `helper` make the first process; it then waits for GO. `stub` is closed."""
        self.began = time.monotonic()
        self._handle_sigterm()
        prepare_cgroup(self.plan)
        process = ContainerProcess(self.plan, self._record_started, self._on_output)
        process.spawn(stub, helper)
        self.process = process
        # Now, while the first process builds its tree: the program begins later, after GO.
        if self.plan.device_rules and not self.ever_started:  # they stay with the group over restarts
            allow_devices(self.plan)
        self.state.open()

    def _handle_sigterm(self) -> None:
        """At shutdown systemd sends SIGTERM to all in a scope, also to an idle shim: the restart policy ends then.

        Without a scope the signal ends the shim, and the container with it.
        """
        if self.plan.scope:
            signal.signal(signal.SIGTERM, self._cancel)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])

    def _cancel(self, *_: object) -> None:
        self.cancelled = True

    def live(self) -> None:
        """The event loop, over all runs. Returns when the container's end is recorded and all clients know it."""
        while True:
            while not self.process.has_ended():
                if not turn_parts(self._parts(), self._interests(), self.idle_timeout):
                    self._idle()
            self._end_health()
            self.process.drain()
            code = self.process.reap()
            if not self._will_restart(code):
                return self._end(code)
            self._report_end(code)
            if not self._wait(self.back_off.next(time.monotonic() - self.began)):
                return self._end(code)
            try:
                self._restart()
            except (MinirunError, OSError) as error:  # the container whose namespace it shares is gone, for example
                self.process.failure = (FAILED, describe(error))
                return self._end(FAILED)

    def _interests(self) -> Iterator[Interest]:
        yield from self.process.interests()
        yield from self.clients.interests(self.process.streams.takes_input)

    def _parts(self) -> list[Part]:
        return [self.dns, self.relay, *([self.health] if self.health else [])]

    # --- idle

    def _idle(self) -> None:
        """Become the sleeper, if nothing prevents it.

        SIGTERM is blocked before the state is read: one that comes later is pending for the shim that wakes up.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        if state := self._idle_state():
            self.state.close()
            become_sleeper(state)
            self.idle_timeout = None  # it failed: don't try again
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])

    def _idle_state(self) -> IdleState | None:
        """What the shim needs to go on later; None while it has something to do before the next event."""
        is_busy = self.health is not None or self.clients or (self.log is not None and self.log.is_lossy)
        if is_busy or self.dns.is_lost or self.relay.is_used or not self.process.is_quiet:
            return None
        return IdleState(
            container=self.plan.container,
            plan=pack(self.plan),
            **self.process.idle_fields(),
            listener=self.clients.listener.fileno(),
            ports=self.ports.files,
            resolver=self.dns.fd,
            relay=self.relay.fd,
            relayed=self.relay.targets,
            delay=self.back_off.delay,
            began=self.began,
            cancelled=self.cancelled,
            identity=(self.identity.pid, self.identity.started),
            may_restart=self._may_restart(),
        )

    def _may_restart(self) -> bool:
        """Whether another run may follow. It stays true while the shim is idle: `update --restart` wakes it."""
        if self.cancelled or not self.plan.asks_policy:
            return False
        record = self.state.container_at_once()
        return record is None or record.spec.restart.name != "no"

    # --- clients

    def _on_message(self, client: Client, kind: Kind, body: bytes) -> None:
        process = self.process
        if kind is Kind.GO and client is self.clients.first:
            process.release()
            self.relay.settle(self.ports.files)
        elif kind is Kind.STDIN and self.plan.interactive:
            process.streams.write_input(body)
        elif kind is Kind.STDIN_END:
            self._end_input(client)
        elif kind is Kind.SIGNAL:
            process.signal(body[0])
        elif kind is Kind.RESIZE:
            process.streams.resize(*struct.unpack("HH", body))
        elif kind is Kind.PORTS:
            client.changes_ports = True
        elif kind is Kind.SETTLED:
            client.settled = True
        elif kind is Kind.CANCEL:
            self.cancelled = True
            process.signal(9)  # it may have just been restarted

    def _end_input(self, client: Client) -> None:
        """With `-i` but not `-d`, standard input ends with the first client that gives it (Docker's StdinOnce)."""
        if client.gives_stdin and self.plan.stdin_once:
            self.process.streams.end_input()

    def _on_leave(self, client: Client) -> None:
        """Before GO, a start ends with its command; afterwards the container goes on without it."""
        self._end_input(client)
        if client.changes_ports:
            self.relay.release()
            self.state.retried(lambda: self.ports.settle(self.state.instance, self.plan.container, client))
            self.dns.renew(self.plan.container)
            self.relay.settle(self.ports.files)
        if client is self.clients.first and not self.process.go:
            self.process.abort("the command that started it was ended")

    # --- the program

    def _on_output(self, kind: Kind, data: bytes) -> None:
        if self.log is not None:
            self.log.write("stdout" if kind is Kind.OUT else "stderr", data)
        self.clients.output(kind, data)

    def _record_started(self) -> None:
        process = self.process.process()
        try:
            self.state.set_started(process)
        except sqlite3.OperationalError as error:  # locked for long, or no space: it must not run without a record
            self.process.abort(f"cannot record its start: {self.state.explain(error)}")
            return
        self.ever_started = True
        if process is not None and self.plan.health:
            self.state.retried(self._begin_health)
        self.clients.tell(Kind.STARTED)

    def _begin_health(self) -> None:
        self.health = HealthCheck.begin(self.state.instance, self.plan.container)

    def _end_health(self) -> None:
        if self.health:
            self.health.close()
            self.health = None

    # --- restart

    def _will_restart(self, code: int) -> bool:
        """Record a restart, unless the start never worked, or a user or the policy forbids it."""
        if not self.ever_started or not self.plan.asks_policy or self.cancelled:
            return False
        failure = self.process.failure[1] if self.process.failure else ""
        return record_restart(self.state, self.plan.container, code, failure)

    def _wait(self, seconds: float) -> bool:
        """Serve clients for so long. False when a user has asked for the end meanwhile."""
        until = time.monotonic() + seconds
        while not self.cancelled and (rest := until - time.monotonic()) > 0:
            turn_parts(self._parts(), self.clients.interests(True), rest)
        return not self.cancelled

    def _restart(self) -> None:
        """Start the program again; the network namespace, its addresses and ports stay.

        `rename` may have changed the pin's name, and the cgroup of a paused container that was killed is still frozen.
        """
        record = self.state.container()
        if record is not None and self.plan.netns:
            self.plan = replace(self.plan, netns=record.name)
        freezer.thaw(freezer.freezer_group(self.state.instance.cgroup, self.plan.container))
        self.process.reap_maker()
        self.state.close()
        self.start(execution.sealed_stub(), StartHelper())
        self.process.go = True

    # --- the end

    def _end(self, code: int) -> None:
        """Record the end and clean up, then tell the clients: when a command returns, all is done."""
        if self.log is not None:
            self.log.close()
        failure = self.process.failure[1] if self.process.failure else ""
        remove = not self.ever_started and self.plan.fresh
        self.relay.close()
        self.ports.close()  # before the record releases them: the next start may follow at once
        self.state.retried(
            lambda: finish_run(self.state.instance, self.plan.container, self.identity, code, failure, remove)
        )
        self.dns.close()  # the server may end now; this process may have to wait for slow clients
        self.clients.accept_all()  # a client that came meanwhile learns the end here: with --rm, there is no record
        processes.end_nicely()
        self._report_end(code)
        self.process.reap_maker()  # only now: it may still be ending
        self.clients.close()

    def _report_end(self, code: int) -> None:
        if self.process.failure is not None:
            self.clients.tell(Kind.FAILED, bytes([code]) + self.process.failure[1].encode())
        else:
            self.clients.tell(Kind.EXITED, bytes([code]))
        self.clients.dismiss()
