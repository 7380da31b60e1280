"""The busybox image, made on this machine: Debian's static busybox and the data files under rootfs/, no network.

The result has the layout of Docker Hub's `busybox`; rootfs/README.md says what is in it and why.
"""

import errno
import os
import struct
from pathlib import Path

RECIPE = Path(__file__).parent / "rootfs"
PACKAGE = "busybox-static"

_DIRECTORIES = [
    "bin",
    "dev",
    "etc",
    "home",
    "lib",
    "proc",
    "root",
    "sbin",
    "sys",
    "tmp",
    "usr/bin",
    "usr/sbin",
    "var/spool/mail",
    "var/www",
    "etc/network/if-down.d",
    "etc/network/if-post-down.d",
    "etc/network/if-pre-up.d",
    "etc/network/if-up.d",
]
_SYMLINKS = {"lib64": "lib", "usr/bin/env": "../../bin/env"}
_NOBODY, _MAIL = 65534, 8
_OWNERS = {"home": _NOBODY, "var/spool/mail": _MAIL}
_MODES = {"bin/busybox": 0o755, "etc/shadow": 0o600, "root": 0o700, "tmp": 0o1777}
_DIRECTORY_MODE, _FILE_MODE = 0o755, 0o644


def build(target: Path, busybox: Path = Path("/bin/busybox")) -> None:
    """Fill the empty directory `target` with the image's root file system.

    FileNotFoundError when there is no busybox, ValueError when it needs shared libraries: both name Debian's package.
    The same busybox and recipe give the same tree, times included, whatever the umask and the hour.
    """
    program = _read(busybox)
    if _needs_libraries(program):
        raise ValueError(
            f"{busybox} is not a static program, so it cannot run alone in an image: apt install {PACKAGE}"
        )
    for directory in _DIRECTORIES:
        (target / directory).mkdir(parents=True, exist_ok=True)
    for name, points_to in _SYMLINKS.items():
        (target / name).symlink_to(points_to)
    for source in _recipe_files():
        (target / source.relative_to(RECIPE)).write_bytes(source.read_bytes())
    _install(program, target / "bin", _applets(busybox))
    _settle(target, int(busybox.stat().st_mtime))


def _read(busybox: Path) -> bytes:
    try:
        return busybox.read_bytes()
    except FileNotFoundError as error:
        reason = f"the busybox image is made from Debian's static busybox: apt install {PACKAGE}"
        raise FileNotFoundError(errno.ENOENT, reason, str(busybox)) from error


def _needs_libraries(program: bytes) -> bool:
    """Whether an ELF file names an interpreter (elf(5), PT_INTERP), as all do that are linked to shared libraries."""
    if program[:4] != b"\x7fELF":
        raise ValueError(f"busybox is not an ELF program: apt install --reinstall {PACKAGE}")
    wide = program[4] == 2
    order = "<" if program[5] == 1 else ">"
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), program, 32 if wide else 28)
    size, count = struct.unpack_from(order + "HH", program, 54 if wide else 42)
    interp = 3
    return any(struct.unpack_from(order + "I", program, table + i * size)[0] == interp for i in range(count))


def _applets(busybox: Path) -> list[str]:
    """Asked of the program itself: each build of busybox has its own set."""
    import subprocess

    listed = subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, check=True, text=True, env={})
    return listed.stdout.split()


def _recipe_files() -> list[Path]:
    """What goes into the image as it is; the README beside these two directories does not."""
    return [file for top in ("etc", "var") for file in sorted((RECIPE / top).rglob("*")) if file.is_file()]


def _install(program: bytes, directory: Path, applets: list[str]) -> None:
    """A hard link for each applet, as `busybox --install` makes them: busybox acts by the name it is called by."""
    (directory / "busybox").write_bytes(program)
    for applet in set(applets) - {"busybox"}:
        os.link(directory / "busybox", directory / applet)


def _settle(target: Path, time: int) -> None:
    """Give everything its owner, mode and time: bottom up, since adding an entry changes its directory's time."""
    for folder, directories, files, folder_fd in os.fwalk(target, topdown=False):
        for name in directories + files:
            path = os.path.relpath(os.path.join(folder, name), target)
            if path.startswith("bin/") and name != "busybox":
                continue  # a hard link: settled as bin/busybox
            owner = _OWNERS.get(path, 0)
            os.chown(name, owner, owner, dir_fd=folder_fd, follow_symlinks=False)
            if path not in _SYMLINKS:
                default = _DIRECTORY_MODE if name in directories else _FILE_MODE
                os.chmod(name, _MODES.get(path, default), dir_fd=folder_fd)
            os.utime(name, (time, time), dir_fd=folder_fd, follow_symlinks=False)
    os.chmod(target, _DIRECTORY_MODE)
    os.utime(target, (time, time))
