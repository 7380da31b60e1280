"""The container's mounts, in order: its own tree, the kernel's file systems, devices, files, volumes, masked paths."""

import os
import stat

from minirun.init import devices, volumes
from minirun.init.plan import Plan
from minirun.kernel import trees, userns
from minirun.kernel.mount_namespace import directory_go, mounts_private, pivot_root, tree_of_process
from minirun.kernel.mounts import (
    NODEV,
    NOEXEC,
    NOSUID,
    RDONLY,
    bind_mount,
    filesystem_mount,
    make_read_only,
    mask,
    mount_read_only,
    overlay_mount,
    tree_attach,
)
from minirun.kernel.own_ids import OWN_IDS
from minirun.kernel.tree_root import PROC_SUPER_MAGIC, Root, filesystem_magic

_TTY_GROUP = 5
_SHM_SIZE = 64 << 20  # bytes
MASKED = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/cmdline",
    "/proc/config.gz",
    "/proc/iomem",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/interrupts",
    "/proc/slabinfo",
    "/proc/vmallocinfo",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_LOCKED = NOSUID | NODEV | NOEXEC


def build(plan: Plan, ipc_of: int, owner: int = -1) -> None:
    """Replace the host's mounts by the container's: on return, / is the container's own.

    `ipc_of` is a pidfd of the process whose SysV IPC and /dev/shm it shares, `owner` a descriptor of the container's
    user namespace; each is -1 for none.
    """
    directory_go(plan.root)
    here = f"containers/{plan.container}"
    mounts = volumes.open_sources(plan.mounts, owner, 0 if plan.open_devices else NODEV)
    mounts_private()
    if owner >= 0:
        _map_own_files(owner, "layers", here)
    mounts = volumes.with_images(mounts, f"{here}/rootfs", 0 if plan.open_devices else NODEV)
    shm = tree_of_process(ipc_of, "dev/shm") if ipc_of >= 0 else -1
    overlay_mount(plan.lower, f"{here}/upper", f"{here}/work", f"{here}/rootfs")
    root = Root(f"{here}/rootfs")
    null = _real_null()
    _kernel_filesystems(root, plan)
    _shared_memory(root, plan, shm)
    devices.populate(root, plan.devices, plan.privileged)
    volumes.attach(root, [mount for mount in mounts if volumes.covers_top(mount)])
    for name in ("hosts", "hostname", "resolv.conf"):
        bind_mount(root, f"{here}/{name}", f"etc/{name}", root.file(f"etc/{name}"), NODEV)
    os.close(root.file(".dockerenv", 0o755))
    volumes.attach(root, [mount for mount in mounts if not volumes.covers_top(mount)])
    if not plan.unmasked:
        _mask_paths(root, null)
    os.close(null)
    if plan.read_only:
        os.close(root.directory(plan.workdir))  # created while that is still possible
        mount_read_only(root)
    pivot_root(f"{here}/rootfs")


def _map_own_files(owner: int, *directories: str) -> None:
    """Mount each directory over itself with mapped ids, for the overlay and for /etc/hosts and the like."""
    for path in directories:
        tree = trees.tree_copy(path)
        userns.tree_idmap(tree, owner, path)
        root = Root(path)
        tree_attach(root, tree, ".", os.dup(root.fd))
        os.close(root.fd)


def console(slave: int) -> None:
    """Bind the terminal with the descriptor `slave` to /dev/console. Called after pivot_root."""
    root = Root("/")
    bind_mount(root, f"/proc/self/fd/{slave}", "dev/console", root.file("dev/console", 0o600), 0)
    os.close(root.fd)


def _kernel_filesystems(root: Root, plan: Plan) -> None:
    sealed = 0 if plan.privileged else RDONLY
    nodev = 0 if plan.open_devices else NODEV
    proc = root.real_directory("proc")
    filesystem_mount(root, "proc", proc, "proc", "", _LOCKED)
    check = root.open("proc", os.O_RDONLY | os.O_DIRECTORY, follow=False)
    if filesystem_magic(check) != PROC_SUPER_MAGIC:
        raise OSError("/proc of the container is not a proc file system")
    os.close(check)
    filesystem_mount(root, "sys", root.real_directory("sys"), "sysfs", "", _LOCKED | sealed)
    if os.path.isdir("/sys/fs/cgroup"):
        _cgroup(root, sealed)
    filesystem_mount(root, "dev", root.real_directory("dev"), "tmpfs", "mode=755,size=65536k", nodev | NOSUID | NOEXEC)
    os.close(root.real_directory("etc"))
    # devpts alone must not be nodev: its nodes are the terminals, and no others can be created in it.
    options = "newinstance,ptmxmode=0666,mode=0620"
    if OWN_IDS.has_group(_TTY_GROUP):
        options += f",gid={_TTY_GROUP + (plan.ids[0] if plan.ids else 0)}"
    filesystem_mount(root, "dev/pts", root.directory("dev/pts"), "devpts", options, NOSUID | NOEXEC)
    filesystem_mount(root, "dev/mqueue", root.directory("dev/mqueue"), "mqueue", "", _LOCKED)


def _shared_memory(root: Root, plan: Plan, shm: int) -> None:
    """Mount /dev/shm: its own, or that of the container whose IPC it shares. POSIX shared memory is files."""
    if plan.ipc == "none":
        return
    target = root.directory("dev/shm")
    if shm >= 0:
        tree_attach(root, shm, "dev/shm", target)
    elif plan.ipc_of:
        bind_mount(root, "/dev/shm", "dev/shm", target, _LOCKED)
    else:
        options = f"mode=1777,size={plan.shm_size or _SHM_SIZE}"
        filesystem_mount(root, "dev/shm", target, "tmpfs", options, _LOCKED)


def _cgroup(root: Root, sealed: int) -> None:
    try:
        target = root.open("sys/fs/cgroup", os.O_PATH | os.O_DIRECTORY, follow=False)
    except OSError:
        return
    try:
        filesystem_mount(root, "sys/fs/cgroup", target, "cgroup2", "", _LOCKED | sealed)
    except OSError:
        pass  # a kernel without cgroup v2


def _mask_paths(root: Root, null: int) -> None:
    for path in MASKED:
        mask(root, path.lstrip("/"), null)
    for path in READ_ONLY:
        make_read_only(root, path.lstrip("/"))


def _real_null() -> int:
    fd = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
    status = os.fstat(fd)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(1, 3):
        raise OSError("/dev/null on the host is not the null device")
    return fd
