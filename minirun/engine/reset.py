"""`system reset`: removing everything of one state root, so that the host is as before the first command.

First by the records, as the single commands do it: containers, networks, volumes, images. Then what the kernel and the
disk still show under this state root's names, for records may be lost or damaged, and an earlier reset killed. At last
the files, the database behind all others: as long as it is there, the directory is known for a state root. Each step
may run twice, and one that fails stops no other.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from minirun.engine.protocol import ATTACH_SOCKET
from minirun.engine.remove import remove
from minirun.engine.stop import begin_stop
from minirun.errors import MinirunError, describe
from minirun.image.records import all_images, tags
from minirun.image.remove import prune_images
from minirun.instance import DNS_SOCKET, Instance, StateRoot
from minirun.kernel import cgroups, controllers, processes, procfs
from minirun.kernel.files import mount_points, remove_directory, remove_file, remove_tree
from minirun.kernel.sockets import control_connect, control_peer
from minirun.model import ACTIVE, Container
from minirun.network import operations
from minirun.network.operations import ResetReport
from minirun.store import DATABASE
from minirun.volume.records import volumes
from minirun.volume.volumes import remove_volume, volume_dir

_TREES = ("containers", "volumes", "layers", "blobs", "images", "cache", "removed")
_FILES = (DNS_SOCKET, "resolver.log", "reserve", DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal")
_MARKS = (DATABASE, "reserve")  # by which a directory is known for a state root
_ID_LENGTH = 64
_NETNS = "/proc/{}/ns/net"


def reset(place: StateRoot) -> ResetReport:
    """Remove everything of a state root, also running containers. It may be killed, and run again.

    sqlite3.OperationalError when another process keeps the database locked.
    """
    return _Reset(place).run()


class _Reset:
    """One reset, with its report so far."""

    def __init__(self, place: StateRoot) -> None:
        self._place = place
        self._report = ResetReport()
        self._mounted = mount_points(place.root)
        self._is_state_root = self._has_marks()

    def run(self) -> ResetReport:
        """Do all steps."""
        if (self._place.root / DATABASE).exists() and (instance := self._opened()):
            self._remove_recorded(instance)
            instance.store.close()
        sandboxes: set[int] = set()
        self._try("containers without a record", partial(self._end_unrecorded, sandboxes))
        for what, step in operations.steps_on_host(sandboxes).items():
            self._try(what, partial(step, self._place, self._report))
        self._try(f"the files in {self._place.root}", self._remove_files)
        return self._report

    def _try(self, what: str, step: Callable[[], object]) -> None:
        """Run a step; what it cannot remove stops nothing."""
        try:
            step()
        except (MinirunError, OSError) as error:
            self._report.failed.append(f"cannot remove {what}: {_sentence(error)}")

    def _try_by_record(self, what: str, step: Callable[[], object]) -> None:
        """Run a step, after which others look at what it may have left. A locked database ends all: somebody works."""
        try:
            step()
        except Exception as error:
            if _is_locked(error):
                raise
            self._report.notes.append(f"{what} by the record: {_sentence(error)}")

    # --- by the records

    def _opened(self) -> Instance | None:
        try:
            return Instance(self._place.root)
        except MinirunError as error:
            if _is_locked(error.__cause__):
                raise
            self._report.notes.append(f"{error.message}: removed what the kernel and the disk show")
            return None

    def _remove_recorded(self, instance: Instance) -> None:
        store = instance.store
        self._try_by_record("the containers", partial(self._remove_containers, instance))
        self._try_by_record("the networks", partial(self._remove_networks, instance))
        self._try_by_record("the volumes", partial(self._remove_volumes, instance))
        if not self._is_mounted_in(self._place.root / "layers"):
            self._try_by_record("the images", partial(self._remove_images, instance))
        self._try_by_record("the records", lambda: store.db.execute("pragma wal_checkpoint(truncate)"))

    def _remove_containers(self, instance: Instance) -> None:
        """Kill all first, so that they end at the same time; then remove one after the other."""
        tried: set[str] = set()
        while containers := [one for one in instance.store.containers() if one.id not in tried]:
            tried |= {container.id for container in containers}
            for container in containers:
                if container.status in ACTIVE:
                    self._try_by_record(
                        f"container {container.name}", partial(begin_stop, instance, container, 9, None)
                    )
            for container in containers:
                self._try_by_record(f"container {container.name}", partial(self._remove_container, instance, container))

    def _remove_container(self, instance: Instance, container: Container) -> None:
        remove(instance, container, force=True, volumes=True)
        self._report.add("containers", container.name)

    def _remove_networks(self, instance: Instance) -> None:
        for network in operations.remove_unused(instance, instance.store.networks()):
            self._report.add("networks", network.name)

    def _remove_volumes(self, instance: Instance) -> None:
        for volume in volumes(instance.store):
            if not self._is_mounted_in(volume_dir(instance, volume.name)):
                self._try_by_record(f"volume {volume.name}", partial(self._remove_volume, instance, volume.name))

    def _remove_volume(self, instance: Instance, name: str) -> None:
        remove_volume(instance, name)
        self._report.add("volumes", name)

    def _remove_images(self, instance: Instance) -> None:
        references = tags(instance.store)
        images = all_images(instance.store, removed=True)
        prune_images(instance, images)
        for image in images:
            self._report.add("images", *references.get(image.id, [image.id[:12]]))

    # --- by what the kernel shows

    def _end_unrecorded(self, sandboxes: set[int]) -> None:
        """Kill containers that the records did not lead to. Their network namespaces are added to `sandboxes`."""
        own = _netns_of("self")
        for container_id in self._ids():
            groups = controllers.existing(self._place.cgroup, container_id)
            members = [pid for group in groups for pid in controllers.members(group)]
            shim = self._shim_of(container_id) or next(filter(None, map(procfs.parent_of_first, members)), 0)
            inside = {_netns_of(pid) for pid in [*members, *(procfs.children(shim) if shim else [])]}
            sandboxes |= (inside | {operations.noted_namespace(self._place, container_id)}) - {own, 0}
            if shim:
                processes.process_kill(shim)  # the kernel kills the container's first process with it
            for group in groups:
                cgroups.cgroup_kill(group)
            controllers.remove(groups)
            if shim or groups:
                self._report.add("containers", f"{container_id[:12]} (not on record)")
        controllers.remove(group for group in self._parent_groups() if group.exists())

    def _ids(self) -> list[str]:
        """The ids of containers by their directories and cgroups."""
        directories = [self._place.root / "containers"] if self._is_state_root else []
        parents = [*directories, *self._parent_groups()]
        names = {name for parent in parents for name in _names(parent)}
        return sorted(name for name in names if len(name) == _ID_LENGTH)

    def _parent_groups(self) -> list[Path]:
        """The group above those of the containers, in each hierarchy."""
        tops = {home.top for home in controllers.homes().values()} | {cgroups.unified()}
        return [top / self._place.cgroup for top in tops if top]

    def _shim_of(self, container_id: str) -> int:
        """The pid of the shim, which has made the socket that it is attached by; 0 for none."""
        try:
            with control_connect(str(self._place.container_dir(container_id)), ATTACH_SOCKET) as channel:
                return control_peer(channel)
        except OSError:
            return 0

    # --- files

    def _remove_files(self) -> None:
        """Remove the files that minirun knows. Others stay, and so does what is mounted below."""
        root = self._place.root
        # A DNS server that was just beginning may have made a database, before it was killed.
        if not self._is_state_root and not self._has_marks():
            if names := [name for name in _TREES if (root / name).exists()]:
                self._report.kept.append(
                    f"{root} has no {DATABASE}, so {', '.join(names)} there may be another program's"
                )
            return
        for name in _TREES:
            self._remove_tree(root / name)
        if any(self._is_mounted_in(root / name) for name in _TREES):
            kept = ", ".join(str(path) for path in self._mounted)
            self._report.failed.append(f"mounted, and left as it is: {kept}. Unmount it, then run this again")
            return
        for name in _FILES:
            remove_file(root / name)
        if unknown := _names(root):
            self._report.kept.append(f"in {root}, not minirun's: {', '.join(map(repr, unknown))}")
            return
        try:
            remove_directory(root)
        except OSError:  # a mount point, or written to meanwhile
            pass
        self._report.add("files", str(root))

    def _remove_tree(self, tree: Path) -> None:
        """Remove a directory without descending into what is mounted there: that is not minirun's."""
        for name in _names(tree):
            if not self._is_mounted_in(tree / name):
                remove_tree(tree / name) if (tree / name).is_dir() else remove_file(tree / name)
        if tree not in self._mounted and not _names(tree):
            remove_directory(tree)

    def _has_marks(self) -> bool:
        return any((self._place.root / name).exists() for name in _MARKS)

    def _is_mounted_in(self, path: Path) -> bool:
        return any(mounted.is_relative_to(path) for mounted in self._mounted)


def _is_locked(error: BaseException | None) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _sentence(error: Exception) -> str:
    return error.message if isinstance(error, MinirunError) else describe(error)


def _netns_of(pid: int | str) -> int:
    try:
        return os.stat(_NETNS.format(pid)).st_ino
    except OSError:  # it has ended
        return 0


def _names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory)) if directory.is_dir() else []
