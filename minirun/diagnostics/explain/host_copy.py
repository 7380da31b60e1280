"""The copy of this host that `minirun explain` rehearses a command in: its records, its network, and its containers.

Everything that the command could look at is as on the host: addresses, tables, bridges, status and start times. The
containers that the command names are started there again, without their programs, so that they can be stopped, joined
and removed. Of the others there is the network namespace; the copy's first process stands in for theirs.
"""

import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from minirun.engine.lifecycle import finish_run
from minirun.instance import Instance
from minirun.kernel import processes
from minirun.kernel.host_network import HostNetwork, host_network, host_network_imitate
from minirun.kernel.mounts import NODEV, bind_mount, filesystem_mount
from minirun.kernel.netns import netns_share
from minirun.kernel.nft import nft_table
from minirun.kernel.sockets import link_state
from minirun.kernel.tree_root import Root
from minirun.model import Container, Status
from minirun.network import namespaces, operations
from minirun.network.drivers import driver_named
from minirun.network.repair.restore import repair
from minirun.network.sandbox import add_namespace

_UP = (Status.RUNNING, Status.RESTARTING)
_WORD_PARTS = re.compile(r"[:=,]")  # --network=container:web, web:/etc/hosts
_STANDS_IN = 1  # the copy's first process


@dataclass(frozen=True)
class HostCopy:
    """What was read of the host. `build` makes the copy of it in a throwaway host."""

    root: Path
    records: bytes  # the state database
    network: HostNetwork
    has_tables: bool
    has_default_bridge: bool
    namespaces: frozenset[str]  # names of pinned ones that are no container's
    containers: tuple[Container, ...]  # that are up, in the order of their starts
    acted_on: frozenset[str]  # ids of those that are really started in the copy

    @classmethod
    def of(cls, instance: Instance, words: list[str]) -> "HostCopy":
        """Read this host, for a rehearsal of the command `words`."""
        containers = [each for each in instance.store.containers() if each.status in _UP]
        containers.sort(key=lambda each: each.started_at)
        bridges = {network.bridge for network in instance.store.networks() if network.bridge}
        tables = {(family, instance.table) for family in ("inet", "bridge")}
        return cls(
            instance.root,
            _records(instance.root),
            host_network(bridges, tables),
            bool(nft_table("inet", instance.table)),
            bool(link_state(instance.default_bridge)[0]),
            frozenset(namespaces.names()) - namespaces.owners(instance).keys(),
            tuple(containers),
            _acted_on(containers, words),
        )

    def build(self, start: Callable[[Container], None]) -> dict[int, int]:
        """Make the copy in this throwaway host. `start` starts a container.

        Returns the process ids of containers in the copy, with those that they have on the host.
        """
        host_network_imitate(self.network)
        _mount_state_root(self.root, self.records)
        self._write_stand_ins()
        instance = Instance(self.root)
        acted_on = [each for each in self.containers if each.id in self.acted_on]
        if any(each.sandbox and operations.has_names(instance, each.sandbox) for each in self.containers):
            operations.dns_connection(instance).detach()  # as their shims do: the server runs while it is open
        for container in acted_on:
            _end(instance, container)
        self._restore_network(instance)
        instance.store.close()  # no fork while the database is open (sqlite.org/howtocorrupt.html, 2.6)
        for container in acted_on:
            start(container)
        instance = Instance(self.root)
        started = ((each, instance.store.container(each.id)) for each in acted_on)
        pids = {copy.init.pid: each.init.pid for each, copy in started if each.init and copy and copy.init}
        for container in acted_on:
            _as_before(instance, container)
        instance.store.close()
        return pids

    def _write_stand_ins(self) -> None:
        stand_in = (_STANDS_IN, processes.start_time(_STANDS_IN))
        with sqlite3.connect(self.root / "state.db") as db:
            for container in self.containers:
                if container.id not in self.acted_on:
                    db.execute(
                        "update containers set monitor_pid = ?, monitor_started = ?, init_pid = ?, init_started = ?"
                        " where id = ?",
                        (*stand_in, *stand_in, container.id),
                    )
        db.close()

    def _restore_network(self, instance: Instance) -> None:
        """Make the namespaces of the containers that are not started, then bridges, tables and veths by the records."""
        for name in self.namespaces:
            namespaces.create(name)
        pins: dict[str, str] = {}
        for container in self.containers:
            if container.id in self.acted_on or not container.sandbox:
                continue
            if container.sandbox in pins:
                netns_share(container.name, pins[container.sandbox])
            else:
                add_namespace(instance, container)
                pins[container.sandbox] = container.name
        if self.has_tables:
            for line in repair(instance, everything=True).failed:
                print(f"minirun: in the copy of this host: {line}", file=sys.stderr)
        if self.has_default_bridge:
            network = next(each for each in instance.store.networks() if each.is_default)
            driver_named(network.driver).ensure(instance, network)


def _records(root: Path) -> bytes:
    copy = sqlite3.connect(":memory:")
    with sqlite3.connect(root / "state.db") as current:
        current.backup(copy)
    current.close()
    return copy.serialize()


def _acted_on(containers: list[Container], words: list[str]) -> frozenset[str]:
    """The ids of containers that the command may act on, and of those in the same sandboxes."""
    chosen = {each.id: each.sandbox for each in containers if _is_acted_on(each, words)}
    sandboxes = set(chosen.values()) - {""}
    return frozenset(each.id for each in containers if each.id in chosen or each.sandbox in sandboxes)


def _is_acted_on(container: Container, words: list[str]) -> bool:
    """Whether the command may act on a container: it names it, or could mean all. One with a user namespace is started
    in any case: only its first process can make it."""
    if container.ids or words[:1] == ["system"]:
        return True
    parts = [part for word in words for part in _WORD_PARTS.split(word) if part]
    return any(part == container.name or (len(part) > 1 and container.id.startswith(part)) for part in parts)


def _end(instance: Instance, container: Container) -> None:
    """End the container in the copy, where its processes are missing, so that it can start with the addresses and ports
    that it has. With --rm it would be removed."""
    store = instance.store
    addresses = {each.network: str(each.address) for each in store.endpoints(sandbox=container.id) if each.address}
    with store.write():
        store.set_values(container.id, held=json.dumps(store.held(container.id) | addresses))
        store.set_spec(container.id, replace(container.spec, auto_remove=False))
    finish_run(instance, container.id, container.shim, 0)


def _as_before(instance: Instance, container: Container) -> None:
    """Put back what the end and the start have changed in the record."""
    with instance.store.write():
        instance.store.set_spec(container.id, container.spec)
        instance.store.set_values(
            container.id,
            started_at=container.started_at,
            finished_at=container.finished_at,
            health=container.health,
            restarts=container.restarts,
            paused=int(container.paused),
        )


def _mount_state_root(root: Path, records: bytes) -> None:
    """Cover the state root with one in memory that has the given records and the same images."""
    current = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    top = Root("/")
    filesystem_mount(top, str(root), os.dup(current), "tmpfs", "mode=700", NODEV)
    (root / "state.db").write_bytes(records)
    (root / "state.db").chmod(0o600)
    covered, copy = f"/proc/self/fd/{current}", Root(str(root))
    for name in ("layers", "cache", "containers", "volumes"):
        (root / name).mkdir(mode=0o700)
    for name in _entries(f"{covered}/containers"):
        (root / "containers" / name).mkdir(mode=0o700)
    for name in _entries(f"{covered}/layers"):  # one by one: commands may add layers beside them
        (root / "layers" / name).mkdir()
        bind_mount(copy, f"{covered}/layers/{name}", f"layers/{name}", copy.open(f"layers/{name}"), 0)
    if os.path.isdir(f"{covered}/cache"):
        bind_mount(copy, f"{covered}/cache", "cache", copy.open("cache"), 0)
    for fd in (current, copy.fd, top.fd):
        os.close(fd)


def _entries(directory: str) -> list[str]:
    return os.listdir(directory) if os.path.isdir(directory) else []
