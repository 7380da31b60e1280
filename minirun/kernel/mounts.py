"""Mounts by file descriptor (fsopen(2), open_tree(2), move_mount(2), openat2(2)).

A container's tree is hostile: every path in it may be a symlink, and may become one. So targets are walked one
component at a time below a descriptor of the root with RESOLVE_IN_ROOT, and a mount is moved onto the descriptor
that the walk ended at, never onto a path. `Root` is that descriptor.
"""

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from minirun.kernel.seam import Raw, shell
from minirun.kernel.syscalls import NULL, check, ffi, lib

NOSUID, NODEV, NOEXEC, RDONLY = (
    lib.MOUNT_ATTR_NOSUID,
    lib.MOUNT_ATTR_NODEV,
    lib.MOUNT_ATTR_NOEXEC,
    lib.MOUNT_ATTR_RDONLY,
)

PROC_SUPER_MAGIC = lib.PROC_SUPER_MAGIC
# A layer must mean the same in the next image: so nothing of what a kernel may be set to note in it beside whiteouts
# and opaque directories.
_SETTINGS = "redirect_dir=off,metacopy=off,index=off"
_MOST_LINKS = 40  # as the kernel's own walk
_RESOLVE_NO_XDEV = 0x01
_MS_RDONLY, _MS_NODEV = 1, 4  # mount(2)


class Root:
    """The root of a container's tree: a directory descriptor, and the only way that this module reaches in."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __str__(self) -> str:
        return "/" if self.path == "." else self.path

    def open(self, path: str, flags: int = os.O_PATH, follow: bool = True) -> int:
        """Open below the root. Symlinks lead nowhere else: an absolute one starts at the root again."""
        resolve = lib.RESOLVE_IN_ROOT | lib.RESOLVE_NO_MAGICLINKS
        if not follow:
            resolve |= lib.RESOLVE_NO_SYMLINKS
        return _openat2(self.fd, path, flags, resolve)

    def directory(self, path: str, mode: int = 0o755) -> int:
        """A descriptor of a directory below the root, made component by component where it is missing.

        A symlink is followed as the container would see it, also one that leads to nothing yet: what it names is
        made inside the root.
        """
        above = [os.dup(self.fd)]
        parts = deque(_parts(path))
        links = 0
        try:
            while parts:
                part = parts.popleft()
                if part == "..":
                    if len(above) > 1:
                        os.close(above.pop())
                    continue
                link = _read_link(above[-1], part)
                if link is None:
                    above.append(_enter(above[-1], part, mode))
                    continue
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                parts.extendleft(reversed(_parts(link)))
                while link.startswith("/") and len(above) > 1:
                    os.close(above.pop())
            return os.dup(above[-1])
        finally:
            for fd in above:
                os.close(fd)

    def file(self, path: str, mode: int = 0o644) -> int:
        """A descriptor of a file below the root, made empty where it is missing; symlinks as in `directory`."""
        for _ in range(_MOST_LINKS):
            parent, name = os.path.split("/" + path.strip("/"))
            directory = self.directory(parent)
            try:
                link = _read_link(directory, name)
                if link is None:
                    return _ensure_file(directory, name, mode)
                path = os.path.join(parent, link)
            finally:
                os.close(directory)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)

    def real_directory(self, name: str) -> int:
        """A top-level directory that the runtime mounts on: what stands there instead is replaced.

        An image (or an earlier run of the container) may have put a symlink at /proc. The replacement lands in the
        container's own writable layer, as Docker's init layer hides such a link.
        """
        try:
            if not stat.S_ISDIR(os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=self.fd)
                os.mkdir(name, 0o755, dir_fd=self.fd)
        except FileNotFoundError:
            os.mkdir(name, 0o755, dir_fd=self.fd)
        return self.open(name, os.O_PATH | os.O_DIRECTORY, follow=False)


@shell("mount --make-rprivate /")
def mounts_private() -> None:
    """Nothing that is mounted from here on is seen outside, and nothing outside comes in (mount_namespaces(7))."""
    if lib.sys_mount(NULL, b"/", NULL, lib.MS_REC | lib.MS_PRIVATE, NULL) == 0:
        return
    with _namespace_root():
        check(lib.sys_mount(NULL, b"/", NULL, lib.MS_REC | lib.MS_PRIVATE, NULL), "/")


@shell("mount -o remount,bind,ro /  # and all below")
def mounts_read_only() -> None:
    """Every mount that there is; those that come later are as they are made."""
    with _namespace_root():
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        flags = lib.AT_EMPTY_PATH | lib.AT_RECURSIVE
        check(lib.sys_mount_setattr(root, b"", flags, RDONLY, 0), "/")
        os.close(root)


@contextmanager
def _namespace_root() -> Iterator[None]:
    """Within a chroot / is no mount (EINVAL). Go to the namespace's own root, and come back."""
    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    place = os.getcwd()
    namespace_root_enter()
    try:
        yield
    finally:
        os.fchdir(here)
        os.chroot(".")
        os.close(here)
        os.chdir(place)


@shell(
    f"mount -t overlay -o nodev,lowerdir={{lower}},upperdir={{upper}},workdir={{work}},{_SETTINGS} overlay {{target}}"
)
def overlay_mount(lower: str, upper: str, work: str, target: str) -> None:
    """Paths are relative to the working directory, so the container's mountinfo tells nothing of the host's.

    nodev: a device node that the container makes (it has CAP_MKNOD, as under Docker) can never be opened.
    """
    _overlay(f"lowerdir={lower},upperdir={upper},workdir={work}", _MS_NODEV, target)


@shell(
    "mkdir -p {root}/{target} && mount -t {kind} -o {all} {kind} {root}/{target}",
    all=lambda of: ",".join([*words(of["attributes"]), *([of["options"]] if of["options"] else [])]),
)
def filesystem_mount(root: Root, target: str, target_fd: int, kind: str, options: str, attributes: int) -> None:
    """A new file system of `kind` on the directory that `target_fd` is; the descriptor is closed."""
    split = (option.partition("=") for option in options.split(",") if option)
    pairs = {key: value for key, _, value in split}
    try:
        _move_onto(_filesystem(kind, pairs, attributes), target_fd, target)
    finally:
        os.close(target_fd)


@shell(
    "{place} {root}/{target} && mount --rbind -o {all} {source} {root}/{target}",
    place=lambda of: Raw("mkdir -p" if os.path.isdir(of["source"]) else "touch"),
    all=lambda of: ",".join(["rw", *words(of["attributes"])]),
)
def bind_mount(root: Root, source: str, target: str, target_fd: int, attributes: int) -> None:
    """The tree at `source` (a host path) on `target_fd`, which is closed. Read-only holds for what is below, too."""
    tree = check(lib.sys_open_tree(lib.AT_FDCWD, os.fsencode(source), lib.OPEN_TREE_CLONE | lib.AT_RECURSIVE), source)
    try:
        _set_attributes(tree, attributes, source)
        _move_onto(tree, target_fd, target)
    finally:
        os.close(target_fd)


def make_read_only(root: Root, path: str) -> None:
    """A path that this kernel lacks needs no cover."""
    with _cover(root, path) as target:
        if target is not None:
            read_only_again(root, path, target)


@shell("mount --rbind -o ro,nosuid,nodev,noexec {root}/{path} {root}/{path}")
def read_only_again(root: Root, path: str, target: int) -> None:
    """A path of the container bound onto itself, read-only."""
    flags = lib.OPEN_TREE_CLONE | lib.AT_RECURSIVE | lib.AT_EMPTY_PATH
    tree = check(lib.sys_open_tree(target, b"", flags), path)
    _set_attributes(tree, RDONLY, path)
    _move_onto(tree, target, path)


@shell("mount -o remount,bind,ro {root}")
def mount_read_only(root: Root) -> None:
    """The mount at the root of a tree, and it alone: what is mounted in it stays as it is."""
    check(lib.sys_mount_setattr(root.fd, b"", lib.AT_EMPTY_PATH, RDONLY, 0), root.path)


@shell("# open_tree(2): take {path} of another process's mounts")
def tree_of_process(pidfd: int, path: str) -> int:
    """A copy of a mount that another process has, attached to nothing yet: it can be moved into our own tree.

    The kernel copies mounts of the caller's namespace only (open_tree(2)), so this goes there and comes back. Nothing
    is followed: that tree is a container's.
    """
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    root, here = (os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for place in ("/", "."))
    check(lib.sys_setns(pidfd, lib.CLONE_NEWNS))
    try:
        theirs = Root("/")
        mount = theirs.open(path, os.O_PATH | os.O_DIRECTORY, follow=False)
        return check(lib.sys_open_tree(mount, b"", lib.OPEN_TREE_CLONE | lib.AT_EMPTY_PATH), path)
    finally:
        check(lib.sys_setns(own, lib.CLONE_NEWNS))
        os.fchdir(root)
        os.chroot(".")
        os.fchdir(here)
        for fd in (own, root, here):
            os.close(fd)


@shell("# open_tree(2): take a copy of all mounts, for the first process")
def tree_of_root() -> int:
    """A copy of all that is mounted at / and below: another process can take it for its own."""
    return check(lib.sys_open_tree(lib.AT_FDCWD, b"/", lib.OPEN_TREE_CLONE | lib.AT_RECURSIVE), "/")


@shell("# move_mount(2): put them at / && cd / && pivot_root . . && umount -l .")
def root_take(tree: int) -> None:
    """Make a detached tree the root, and let go of the one before. The descriptor is closed."""
    namespace_root_enter()
    place = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    keep = os.dup(tree)
    _move_onto(tree, place, "/")
    os.fchdir(keep)
    os.close(place)
    os.close(keep)
    check(lib.sys_pivot_root(b".", b"."), "/")
    check(lib.sys_umount2(b".", lib.MNT_DETACH), "/")
    os.chdir("/")


@shell("# move_mount(2): put it at {root}/{target}")
def tree_attach(root: Root, tree: int, target: str, target_fd: int) -> None:
    """A detached tree onto `target_fd`; both are closed."""
    try:
        _move_onto(tree, target_fd, target)
    finally:
        os.close(target_fd)


def mask(root: Root, path: str, null_fd: int) -> None:
    """Hide a path. `null_fd` was checked by the caller to be the real null device: a fake one would let a container
    choose what is bound (CVE-2025-31133)."""
    with _cover(root, path) as target:
        if target is None:
            return
        if stat.S_ISDIR(os.fstat(target).st_mode):
            mask_directory(root, path, target)
        else:
            mask_file(root, path, target, null_fd)


@shell("mount -t tmpfs -o ro,nosuid,nodev,noexec,size=0 tmpfs {root}/{path}")
def mask_directory(root: Root, path: str, target: int) -> None:
    """By an empty one that nobody can write to."""
    _move_onto(_filesystem("tmpfs", {"size": "0"}, RDONLY | NOSUID | NODEV | NOEXEC), target, path)


@shell("mount --bind /dev/null {root}/{path}")
def mask_file(root: Root, path: str, target: int, null_fd: int) -> None:
    """Hide a file behind the null device."""
    cover = check(lib.sys_open_tree(null_fd, b"", lib.OPEN_TREE_CLONE | lib.AT_EMPTY_PATH), "/dev/null")
    _move_onto(cover, target, path)


@shell("cd {path} && pivot_root . . && umount -l .")
def pivot_root(path: str) -> None:
    """Make `path` the root and let go of the old one (pivot_root(2), NOTES: `pivot_root(".", ".")`)."""
    os.chdir(path)
    if lib.sys_pivot_root(b".", b".") < 0:
        # EINVAL in a chroot: the current root must be a mount. The namespace's own root is one.
        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        namespace_root_enter()
        os.fchdir(here)
        os.close(here)
        check(lib.sys_pivot_root(b".", b"."), path)
    check(lib.sys_umount2(b".", lib.MNT_DETACH), "/")
    os.chdir("/")


def namespace_root_enter() -> None:
    """Joining the mount namespace that one is in already resets root and working directory to its own (setns(2))."""
    fd = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        check(lib.sys_setns(fd, lib.CLONE_NEWNS))
    finally:
        os.close(fd)


@shell("mount -t overlay overlay -o ro,nodev,lowerdir={layers} {target}")
def overlay_view(layers: str, target: str) -> None:
    """Layers (topmost first, joined by colons) as one tree to look at. It takes no upper directory, so it may stand
    beside the writable mount of the same layers, which must be the only one of its kind."""
    _overlay(f"lowerdir={layers}", _MS_NODEV | _MS_RDONLY, target)


@shell("unshare --mount --propagation private")
def mounts_unshare() -> None:
    """A copy of the mounts for this process alone: what it mounts is gone when it ends."""
    check(lib.sys_unshare(lib.CLONE_NEWNS))
    mounts_private()


@shell("chroot /proc/{pid}/root")
def root_enter(fd: int, pid: int) -> None:
    """Make the directory `fd`, which is the root of `pid`, the own root: no path leads out of it from here on."""
    os.fchdir(fd)
    os.chroot(".")
    os.close(fd)


@shell("cd {path}")
def directory_go(path: str) -> None:
    """Change the working directory."""
    os.chdir(path)


@shell("chroot {path}")
def directory_enter(path: str) -> None:
    """Make `path` the root and the working directory (chroot(2))."""
    os.chroot(path)
    os.chdir("/")


def words(attributes: int) -> list[str]:
    """As mount(8) calls them."""
    names = {RDONLY: "ro", NOSUID: "nosuid", NODEV: "nodev", NOEXEC: "noexec"}
    return [name for flag, name in names.items() if attributes & flag]


def is_mount_point(directory: int, name: str) -> bool:
    """Whether something is mounted on an entry of a directory (openat2(2), RESOLVE_NO_XDEV)."""
    try:
        os.close(_openat2(directory, name, os.O_PATH | os.O_NOFOLLOW, _RESOLVE_NO_XDEV))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return True
    return False


def filesystem_magic(fd: int) -> int:
    """f_type of the file system that a descriptor is on (statfs(2))."""
    magic = ffi.new("unsigned long *")
    check(lib.sys_filesystem_magic(fd, magic))
    return int(magic[0])


def _read_link(directory: int, name: str) -> str | None:
    """What a symlink holds; None for anything else, and for what is not there."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
        return None


def _enter(directory: int, name: str, mode: int) -> int:
    try:
        os.mkdir(name, mode, dir_fd=directory)
    except FileExistsError:
        pass
    return _openat2(directory, name, os.O_PATH | os.O_DIRECTORY, lib.RESOLVE_BENEATH | lib.RESOLVE_NO_SYMLINKS)


def _ensure_file(directory: int, name: str, mode: int) -> int:
    try:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(name, flags, mode, dir_fd=directory))
    except FileExistsError:
        pass
    return _openat2(directory, name, os.O_PATH, lib.RESOLVE_BENEATH | lib.RESOLVE_NO_SYMLINKS)


@contextmanager
def _cover(root: Root, path: str) -> Iterator[int | None]:
    try:
        fd = root.open(path, follow=False)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _overlay(layers: str, flags: int, target: str) -> None:
    """By mount(2): fsconfig(2) takes 255 bytes of layers, but for kernels from 6.5 on; this takes a page of them."""
    options = f"{layers},{_SETTINGS}".encode()
    if len(options) >= os.sysconf("SC_PAGE_SIZE"):  # the kernel would cut it off without a word
        raise OSError(errno.E2BIG, "the names of the layers are longer than a page", target)
    check(lib.sys_mount(b"overlay", os.fsencode(target), b"overlay", flags, options), target)


def _filesystem(kind: str, options: dict[str, str], attributes: int) -> int:
    context = check(lib.sys_fsopen(kind.encode(), 0), kind)
    try:
        for key, value in {"source": kind, **options}.items():
            command = lib.FSCONFIG_SET_STRING if value else lib.FSCONFIG_SET_FLAG
            text = os.fsencode(value) if value else NULL
            check(lib.sys_fsconfig(context, command, key.encode(), text, 0), f"{kind}: {key}={value}")
        check(lib.sys_fsconfig(context, lib.FSCONFIG_CMD_CREATE, NULL, NULL, 0), kind)
        return check(lib.sys_fsmount(context, 0, attributes), kind)
    finally:
        os.close(context)


def _set_attributes(tree: int, attributes: int, path: str) -> None:
    if attributes:
        check(lib.sys_mount_setattr(tree, b"", lib.AT_EMPTY_PATH | lib.AT_RECURSIVE, attributes, 0), path)


def _move(mount: int, to_fd: int, to_path: str) -> None:
    flags = lib.MOVE_MOUNT_F_EMPTY_PATH | (0 if to_path else lib.MOVE_MOUNT_T_EMPTY_PATH)
    try:
        check(lib.sys_move_mount(mount, b"", to_fd, os.fsencode(to_path), flags), to_path)
    finally:
        os.close(mount)


def _move_onto(mount: int, target_fd: int, path: str) -> None:
    try:
        _move(mount, target_fd, "")
    except OSError as error:
        error.filename = path
        raise


def _openat2(fd: int, path: str, flags: int, resolve: int) -> int:
    return check(lib.sys_openat2(fd, os.fsencode(path), flags | os.O_CLOEXEC, 0, resolve), path)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
