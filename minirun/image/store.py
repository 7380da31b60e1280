"""Images: named trees below the state root. busybox is built on first use, from the host's own static busybox."""

import os
import time
from dataclasses import dataclass

from minirun.errors import FAILED, MinirunError, NotFoundError
from minirun.files import remove_tree
from minirun.instance import Instance

BUSYBOX = "busybox"
_LATEST = ":latest"


@dataclass(frozen=True, slots=True)
class Image:
    name: str
    created: float
    size: int


def image_layers(instance: Instance, reference: str) -> str:
    """The image's tree, as a path relative to the state root."""
    name = reference.removesuffix(_LATEST)
    tree = instance.image_dir(name) / "rootfs"
    if name == BUSYBOX and not tree.is_dir():
        _build_busybox(instance)
    elif not _is_plain(name) or not tree.is_dir():
        raise NotFoundError(
            f"Unable to find image '{reference}' locally",
            "minirun images shows what there is; pulling from a registry is not supported",
            FAILED,
        )
    return f"images/{name}/rootfs"


def images(instance: Instance) -> list[Image]:
    base = instance.root / "images"
    if not base.is_dir():
        return []
    return [_describe(instance, name) for name in sorted(os.listdir(base)) if (base / name / "rootfs").is_dir()]


def default_command(name: str) -> tuple[str, ...]:
    """What runs when no command is given."""
    return ("sh",)


def _build_busybox(instance: Instance) -> None:
    """Built beside and renamed: a half-built image is never seen, and two first uses do not meet."""
    from minirun.image.busybox import build

    final = instance.image_dir(BUSYBOX)
    final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = final.with_name(f".{BUSYBOX}-{os.getpid()}-{time.monotonic_ns()}")
    (beside / "rootfs").mkdir(parents=True)
    try:
        build(beside / "rootfs")
        os.rename(beside, final)
    except (ValueError, FileNotFoundError) as error:
        raise MinirunError(f"the busybox image cannot be built: {error}", code=FAILED) from error
    except OSError:
        if not final.is_dir():
            raise
    finally:
        remove_tree(beside)


def _is_plain(name: str) -> bool:
    return bool(name) and not name.startswith(".") and "/" not in name and "\0" not in name


def _describe(instance: Instance, name: str) -> Image:
    tree = instance.image_dir(name) / "rootfs"
    seen: dict[int, int] = {}
    for directory, _, files in os.walk(tree):
        for file in files:
            found = os.lstat(os.path.join(directory, file))
            seen[found.st_ino] = found.st_size
    return Image(name, tree.stat().st_mtime, sum(seen.values()))
