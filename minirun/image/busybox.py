"""The busybox image, built without network from Debian's static busybox and the data files in rootfs/.

The result has the layout of Docker Hub's `busybox`; rootfs/README.md says what is in it and why.
"""

import errno
import os
import struct
import subprocess
from pathlib import Path

from minirun.kernel.own_ids import OWN_IDS

BUSYBOX = "busybox:latest"
RECIPE = Path(__file__).parent / "rootfs"
PACKAGE = "busybox-static"

_DIRECTORIES = (
    *("bin", "dev", "etc", "home", "lib", "proc", "root", "sbin", "sys", "tmp"),
    *("usr/bin", "usr/sbin", "var/spool/mail", "var/www"),
    *(f"etc/network/{moment}.d" for moment in ("if-pre-up", "if-up", "if-down", "if-post-down")),
)
_SYMLINKS = {"lib64": "lib", "usr/bin/env": "../../bin/env"}
_NOBODY, _MAIL = 65534, 8
_OWNERS = {"home": _NOBODY, "var/spool/mail": _MAIL}
_MODES = {"bin/busybox": 0o755, "etc/shadow": 0o600, "root": 0o700, "tmp": 0o1777}
_PT_INTERP = 3
_DIRECTORY_MODE, _FILE_MODE = 0o755, 0o644


def build(target: Path, busybox: Path = Path("/bin/busybox")) -> None:
    """Fill the empty directory `target` with the image's root file system.

    The same busybox and recipe give the same tree, including times, whatever the umask and the time of day.
    FileNotFoundError if there is no busybox, ValueError if it needs shared libraries; both say what to install.
    """
    program = _read(busybox)
    if not _is_static(program):
        raise ValueError(f"{busybox} is not statically linked: apt install {PACKAGE}")
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
        reason = f"the busybox image needs Debian's static busybox: apt install {PACKAGE}"
        raise FileNotFoundError(errno.ENOENT, reason, str(busybox)) from error


def _is_static(program: bytes) -> bool:
    """Return whether this is an ELF file without interpreter (elf(5), PT_INTERP): shared libraries need one."""
    if len(program) < 64 or program[:4] != b"\x7fELF":
        return False
    is_64_bit = program[4] == 2
    order = "<" if program[5] == 1 else ">"
    (table,) = struct.unpack_from(order + ("Q" if is_64_bit else "I"), program, 32 if is_64_bit else 28)
    size, count = struct.unpack_from(order + "HH", program, 54 if is_64_bit else 42)
    kinds = (struct.unpack_from(order + "I", program, table + i * size)[0] for i in range(count))
    return _PT_INTERP not in kinds


def _applets(busybox: Path) -> list[str]:
    """Return the applets of this build of busybox."""
    listed = subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, check=True, text=True, env={})
    return listed.stdout.split()


def _recipe_files() -> list[Path]:
    """Return the files that are copied into the image; the README beside their directories is not."""
    return [file for top in ("etc", "var") for file in sorted((RECIPE / top).rglob("*")) if file.is_file()]


def _install(program: bytes, directory: Path, applets: list[str]) -> None:
    """Install busybox with a hard link for each applet, like `busybox --install`."""
    (directory / "busybox").write_bytes(program)
    for applet in set(applets) - {"busybox"}:
        os.link(directory / "busybox", directory / applet)


def _settle(target: Path, time: int) -> None:
    """Set owner, mode and time of all entries, at the end because adding one changes its directory's time."""
    for folder, directories, files, folder_fd in os.fwalk(target, topdown=False):
        for name in directories + files:
            path = os.path.relpath(os.path.join(folder, name), target)
            if path.startswith("bin/") and name != "busybox":
                continue  # a hard link to bin/busybox
            owner = _OWNERS.get(path, 0)
            os.chown(name, *OWN_IDS.owner(owner, owner), dir_fd=folder_fd, follow_symlinks=False)
            if path not in _SYMLINKS:
                default = _DIRECTORY_MODE if name in directories else _FILE_MODE
                os.chmod(name, _MODES.get(path, default), dir_fd=folder_fd)
            os.utime(name, (time, time), dir_fd=folder_fd, follow_symlinks=False)
    os.chmod(target, _DIRECTORY_MODE)
    os.utime(target, (time, time))
