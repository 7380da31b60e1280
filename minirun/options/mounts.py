"""-v, --mount, --tmpfs, --volumes-from: what is to be mounted, in the words of `docker run`."""

import os
from collections.abc import Iterable
from dataclasses import replace

from minirun.model import Mount
from minirun.options import bad
from minirun.options.mount_csv import parse_mount
from minirun.options.mount_words import CONSISTENCY, PROPAGATION, check_volume_name, target_of
from minirun.options.tmpfs import options_of


def parse_mounts(volumes: Iterable[str], mounts: Iterable[str], tmpfs: Iterable[str]) -> tuple[Mount, ...]:
    """All of them; two at one place are an error, but for one without a name, which gives way."""
    found = [*(parse_volume(text) for text in volumes), *(parse_mount(text) for text in mounts)]
    found += {one.target: one for one in map(parse_tmpfs, tmpfs)}.values()  # of two, the last
    named = [one for one in found if one.source or one.kind == "tmpfs" or one.must_exist]
    targets: set[str] = set()
    for one in named:
        if one.target in targets:
            raise bad(f"Duplicate mount point: {one.target}")
        targets.add(one.target)
    nameless = {one.target: one for one in found if one not in named and one.target not in targets}
    return (*named, *nameless.values())


def parse_volumes_from(text: str) -> str:
    """CONTAINER[:ro|rw]."""
    name, _, mode = text.partition(":")
    if not name:
        raise bad(f"invalid volumes-from specification: {text}", "CONTAINER or CONTAINER:ro")
    for word in mode.split(",") if mode else ():
        if word not in ("ro", "rw", "z", "Z"):
            raise bad(f"invalid mode: {mode} in --volumes-from {text}", "ro or rw")
        _check_label(word)
    return text


# --- -v


def parse_volume(text: str) -> Mount:
    """[SOURCE:]TARGET[:MODE,...]. A colon in a path cannot be said this way, but with --mount."""
    parts = text.split(":")
    if len(parts) > 3 or not all(parts) or "\0" in text:
        raise bad(f"invalid volume specification: '{text}'", "[SOURCE:]TARGET[:ro]; paths with a colon need --mount")
    if len(parts) == 1:
        return Mount("volume", "", target_of(text))
    source, target = parts[0], target_of(parts[1])
    if source.startswith("."):
        source = os.path.abspath(source)
    if source.startswith("/"):
        mount = Mount("bind", os.path.normpath(source), target)
    else:
        mount = Mount("volume", check_volume_name(source), target)
    return _with_modes(mount, parts[2], text) if len(parts) == 3 else mount


def _with_modes(mount: Mount, modes: str, text: str) -> Mount:
    seen: set[str] = set()
    for word in modes.split(","):
        kind = _mode_kind(word)
        if kind in seen or kind == {"bind": "nocopy", "volume": "propagation"}[mount.kind] or not kind:
            raise bad(f"invalid mode: {modes} in -v {text}", "such as ro, rw, nocopy (volumes), rslave (binds)")
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
    """Where SELinux is off, as on Debian and Ubuntu, there is nothing to label: Docker, too, does nothing then."""
    if word in ("z", "Z") and os.path.exists("/sys/fs/selinux/enforce"):
        raise bad(f"the mode {word} asks for an SELinux label: minirun gives none")


# --- --tmpfs


def parse_tmpfs(text: str) -> Mount:
    """TARGET[:OPTIONS], options as mount(8) takes them; Docker's defaults are noexec,nosuid,nodev."""
    target, _, options = text.partition(":")
    return Mount("tmpfs", "", target_of(target), options=options_of(options))
