"""Mounts: -v, --tmpfs, --volumes-from, and all of them together with --mount."""

import os
from collections.abc import Iterable
from dataclasses import replace

from minirun.model import Mount
from minirun.options import option_error
from minirun.options.mount_csv import parse_mount
from minirun.options.mount_values import CONSISTENCY, PROPAGATION, parse_target, parse_tmpfs_options
from minirun.options.volumes import check_volume_name


def parse_mounts(volumes: Iterable[str], mounts: Iterable[str], tmpfs: Iterable[str]) -> tuple[Mount, ...]:
    """Parse every -v, --mount and --tmpfs.

    Two mounts with one target are an error, except that an anonymous volume gives way to another mount, and that the
    same -v twice counts once.
    """
    parsed = [*dict.fromkeys(parse_volume(text) for text in volumes), *(parse_mount(text) for text in mounts)]
    parsed += {mount.target: mount for mount in map(parse_tmpfs, tmpfs)}.values()  # of two, the last
    named = [mount for mount in parsed if mount.source or mount.kind == "tmpfs" or mount.must_exist]
    targets: set[str] = set()
    for mount in named:
        if mount.target in targets:
            raise option_error(f"Duplicate mount point: {mount.target}")
        targets.add(mount.target)
    anonymous = {mount.target: mount for mount in parsed if mount not in named and mount.target not in targets}
    return (*named, *anonymous.values())


def parse_volumes_from(text: str) -> str:
    """Check `CONTAINER[:ro|rw]`, the argument of --volumes-from, and return it."""
    name, _, mode = text.partition(":")
    if not name:
        raise option_error(f"invalid volumes-from specification: {text}", "CONTAINER or CONTAINER:ro")
    for word in mode.split(",") if mode else ():
        if word not in ("ro", "rw", "z", "Z"):
            raise option_error(f"invalid mode: {mode} in --volumes-from {text}", "ro or rw")
        _check_label(word)
    return text


def parse_volume(text: str) -> Mount:
    """Parse `[SOURCE:]TARGET[:MODE,...]`, the argument of -v. A path with a colon needs --mount."""
    parts = text.split(":")
    if len(parts) > 3 or not all(parts) or "\0" in text:
        raise option_error(
            f"invalid volume specification: '{text}'", "[SOURCE:]TARGET[:ro]; paths with a colon need --mount"
        )
    if len(parts) == 1:
        return Mount("volume", "", parse_target(text))
    source, target = parts[0], parse_target(parts[1])
    if source.startswith("."):
        source = os.path.abspath(source)
    if source.startswith("/"):
        mount = Mount("bind", os.path.normpath(source), target)
    else:
        mount = Mount("volume", check_volume_name(source), target)
    return _with_modes(replace(mount, modes=parts[2]), parts[2], text) if len(parts) == 3 else mount


def _with_modes(mount: Mount, modes: str, text: str) -> Mount:
    seen: set[str] = set()
    for word in modes.split(","):
        kind = _mode_kind(word)
        if kind in seen or kind == {"bind": "nocopy", "volume": "propagation"}[mount.kind] or not kind:
            raise option_error(
                f"invalid mode: {modes} in -v {text}", "such as ro, rw, nocopy (volumes), rslave (binds)"
            )
        seen.add(kind)
        _check_label(word)
        if kind == "access":
            mount = replace(mount, read_only=word == "ro")
        elif kind == "nocopy":
            mount = replace(mount, no_copy=True)
        elif kind == "propagation":
            mount = replace(mount, propagation=word)
    return mount


def _mode_kind(word: str) -> str:
    if word in PROPAGATION:
        return "propagation"
    if word in CONSISTENCY:
        return "consistency"
    return {"ro": "access", "rw": "access", "z": "label", "Z": "label", "nocopy": "nocopy"}.get(word, "")


def _check_label(word: str) -> None:
    """Refuse z and Z where SELinux is on. Where it is off, as on Debian and Ubuntu, Docker ignores them, too."""
    if word in ("z", "Z") and os.path.exists("/sys/fs/selinux/enforce"):
        raise option_error(f"the mode {word} is not supported: minirun sets no SELinux labels")


def parse_tmpfs(text: str) -> Mount:
    """Parse `TARGET[:OPTIONS]`, the argument of --tmpfs; options are those of mount(8)."""
    target, _, options = text.partition(":")
    return Mount("tmpfs", "", parse_target(target), options=parse_tmpfs_options(options), asked=options)
