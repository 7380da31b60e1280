"""RUN --mount: directories of the context, of stages and images, caches, tmpfs, secrets, and agents of ssh.

https://docs.docker.com/reference/dockerfile/#run---mount
"""

import fcntl
import os
import posixpath
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from minirun.archive.chroot import layer_writer
from minirun.engine.build.options import BuildOptions
from minirun.errors import MinirunError
from minirun.image.build import cache
from minirun.image.build.snapshots import Snapshot, scratch_tree
from minirun.image.build.source_tree import SourceTree
from minirun.image.build.transfer import receive, select, send, send_from
from minirun.image.dockerfile.source import Lines
from minirun.image.dockerfile.steps import BoundMount, Builtin, CopyStep, Origin, RunStep
from minirun.image.layers import new_layer
from minirun.instance import Instance
from minirun.kernel.files import remove_tree
from minirun.model import Mount

_SECRETS = Path("/run/minirun-secrets")  # in a tmpfs: what is there never reaches a disk
_AGENT_VARIABLE = "SSH_AUTH_SOCK"
_TMPFS_MODE = "mode=1777"
_NOWHERE = Lines(0, 0)


@dataclass
class Mounts:
    """The mounts of one RUN, ready to be mounted, and the variables that come with them."""

    mounts: list[Mount] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)  # variables, too
    secret_files: list[Path] = field(default_factory=list)

    def forget_secrets(self) -> None:
        """Remove the files of secrets: they are mounted, and the mount keeps their content."""
        while self.secret_files:
            self.secret_files.pop().unlink(missing_ok=True)


@dataclass(frozen=True)
class Sources:
    """Where mounts come from.

    snapshot: returns the file system of a stage or an image
    pause: waits a moment, and raises when the build is ending
    """

    instance: Instance
    context: SourceTree
    snapshot: Callable[[Origin], Snapshot]
    options: BuildOptions
    pause: Callable[[], None]


@contextmanager
def prepared(sources: Sources, step: RunStep) -> Iterator[Mounts]:
    """Prepare the mounts of a RUN; what they need is removed after the block. MinirunError when one cannot be had."""
    mounts = Mounts()
    with ExitStack() as stack:
        for bound in step.mounts:
            _PREPARE[bound.mount.type](sources, bound, mounts, stack)
        if step.script is not None:
            _prepare_script(sources.instance, step.script, mounts, stack)
        try:
            yield mounts
        finally:
            mounts.forget_secrets()


def _prepare_bind(sources: Sources, bound: BoundMount, mounts: Mounts, stack: ExitStack) -> None:
    mount = bound.mount
    path = mount.source.strip("/") or "."
    if isinstance(bound.origin, Builtin):
        source = _of_context(sources, path, bool(mount.is_read_only), stack)
    elif mount.is_read_only:
        snapshot = sources.snapshot(bound.origin)
        if snapshot.image is None:
            raise MinirunError(f'"/{path}": not found', f"{mount.origin} is empty")
        below = "" if path == "." else posixpath.normpath(path)
        image = snapshot.image.id
        mounts.mounts.append(
            Mount("image", f"sha256:{image}", bound.target, read_only=True, subpath=below, image=image)
        )
        return
    else:
        source = _copied(sources, sources.snapshot(bound.origin), path, stack)
    mounts.mounts.append(Mount("bind", str(source), bound.target, read_only=bool(mount.is_read_only), must_exist=True))


def _of_context(sources: Sources, path: str, read_only: bool, stack: ExitStack) -> Path:
    """Return a directory or file of the context: itself, or a copy if something is left out or may be written."""
    tree = sources.context
    found = tree.find(path)[0]
    prefix = "" if found == "." else f"{found}/"
    if read_only and not any(skipped.startswith(prefix) for skipped in tree.skip):
        fd = tree.root.open(found, follow=False)
        try:
            return Path(os.readlink(f"/proc/self/fd/{fd}"))
        finally:
            os.close(fd)
    return _copied(sources, None, path, stack)


def _copied(sources: Sources, snapshot: Snapshot | None, path: str, stack: ExitStack) -> Path:
    """Copy a path of a snapshot, or of the context, to a directory of its own: what is written there is thrown away."""
    directory = stack.enter_context(new_layer(sources.instance))
    _copy(sources, snapshot, _copy_of(path, "/content"), directory)
    return directory / "content"


def _copy(sources: Sources, snapshot: Snapshot | None, step: CopyStep, directory: Path) -> None:
    """Copy what a step says from a snapshot, None for the context, to the tree `directory`."""
    with layer_writer(directory, lambda stream: receive(step, stream)) as target:
        if snapshot is None:
            send(select(sources.context, step), step, (), target)
        else:
            with scratch_tree(sources.instance, snapshot.lower) as tree:
                send_from(tree, step, target)


def _copy_of(path: str, destination: str) -> CopyStep:
    """Return the step that copies one path."""
    return CopyStep(
        lines=_NOWHERE, origin=Builtin.CONTEXT, sources=(path,), urls=(), contents=(), destination=destination,
        chown="", chmod=None, exclude=(), is_add=False, unpacks=False, unpacks_urls=False, keeps_parents=False,
        is_linked=False, checksum="",
    )  # fmt: skip


def _prepare_cache(sources: Sources, bound: BoundMount, mounts: Mounts, stack: ExitStack) -> None:
    mount = bound.mount

    def fill(directory: Path) -> None:
        if not isinstance(bound.origin, Builtin):
            step = _copy_of(mount.source.strip("/") or ".", "/")
            _copy(sources, sources.snapshot(bound.origin), step, directory)
        os.chown(directory, mount.uid or 0, mount.gid or 0)
        os.chmod(directory, 0o755 if mount.mode is None else mount.mode)

    directory = stack.enter_context(cache.cache_mount(sources.instance, mount.id, mount.sharing, fill, sources.pause))
    mounts.mounts.append(Mount("bind", str(directory), bound.target, read_only=bool(mount.is_read_only)))


def _prepare_tmpfs(sources: Sources, bound: BoundMount, mounts: Mounts, stack: ExitStack) -> None:
    words = [_TMPFS_MODE]
    words += [f"size={bound.mount.size}"] if bound.mount.size else []
    words += ["ro"] if bound.mount.is_read_only else []
    mounts.mounts.append(Mount("tmpfs", "", bound.target, options=",".join(words)))


def _prepare_secret(sources: Sources, bound: BoundMount, mounts: Mounts, stack: ExitStack) -> None:
    mount = bound.mount
    secret = sources.options.secrets.get(mount.id)
    if secret is None:
        if mount.is_required:
            raise MinirunError(f"secret {mount.id}: not found", f"minirun build --secret id={mount.id},src=FILE")
        return
    content = secret.content()
    if mount.env is not None:
        mounts.secrets[mount.env] = os.fsdecode(content)
    if not bound.target:
        return
    file = Path(stack.enter_context(_secrets_directory())) / str(len(mounts.secret_files))
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    mounts.secret_files.append(file)
    with os.fdopen(fd, "wb") as target:
        target.write(content)
        os.fchown(fd, mount.uid or 0, mount.gid or 0)
        os.fchmod(fd, 0o400 if mount.mode is None else mount.mode)
    mounts.mounts.append(Mount("bind", str(file), bound.target, read_only=True, must_exist=True))


@contextmanager
def _secrets_directory() -> Iterator[str]:
    """Yield a directory in memory for the files of secrets, and remove it after the block."""
    with _locked_secrets(fcntl.LOCK_SH):  # nobody removes it before it is locked
        directory = tempfile.mkdtemp(dir=_SECRETS)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield directory
    finally:
        remove_tree(Path(directory))
        os.close(fd)
        remove_left_secrets()


def remove_left_secrets() -> None:
    """Remove the secrets of builds that were killed."""
    if not _SECRETS.is_dir():
        return
    with _locked_secrets(fcntl.LOCK_EX):
        for name in os.listdir(_SECRETS):
            _remove_unless_used(_SECRETS / name)
        if not os.listdir(_SECRETS):
            _SECRETS.rmdir()


def _remove_unless_used(directory: Path) -> None:
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:  # its build has just ended
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_tree(directory)
    except BlockingIOError:
        pass  # a build uses it
    finally:
        os.close(fd)


@contextmanager
def _locked_secrets(how: int) -> Iterator[None]:
    """Hold a lock on the directory of all secrets."""
    fd = _open_secrets()
    try:
        fcntl.flock(fd, how)
        while not os.fstat(fd).st_nlink:  # removed before it was locked
            os.close(fd)
            fd = _open_secrets()
            fcntl.flock(fd, how)
        yield
    finally:
        os.close(fd)


def _open_secrets() -> int:
    while True:
        _SECRETS.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError):  # removed just now
            return os.open(_SECRETS, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _prepare_ssh(sources: Sources, bound: BoundMount, mounts: Mounts, stack: ExitStack) -> None:
    mount = bound.mount
    if (mount.uid, mount.gid, mount.mode) != (None, None, None):
        raise MinirunError(
            "uid, gid and mode of an ssh mount are not supported: it is the agent's own socket", "RUN it as root"
        )
    socket = sources.options.ssh.get(mount.id)
    if socket is None:
        if mount.is_required:
            raise MinirunError(f"no SSH key {mount.id!r} forwarded from the client", "minirun build --ssh default")
        return
    mounts.environment.setdefault(_AGENT_VARIABLE, bound.target)
    mounts.mounts.append(Mount("bind", socket, bound.target, must_exist=True))


def _prepare_script(instance: Instance, script: tuple[str, str], mounts: Mounts, stack: ExitStack) -> None:
    """Put a here-document with a #! line where the command line names it."""
    name, text = script
    file = stack.enter_context(new_layer(instance)) / "script"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    file.chmod(0o755)
    mounts.mounts.append(Mount("bind", str(file), f"/dev/pipes/{name}", read_only=True, must_exist=True))


_PREPARE: dict[str, Callable[[Sources, BoundMount, Mounts, ExitStack], None]] = {
    "bind": _prepare_bind,
    "cache": _prepare_cache,
    "tmpfs": _prepare_tmpfs,
    "secret": _prepare_secret,
    "ssh": _prepare_ssh,
}
