"""Fetch what the suites need, once, into a directory: an archive with the servers, and testcontainers for Python.

Run by the virtual environment's Python: the packages are fetched as tests fetch them.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.harness.debian_packages import fetch_whole

_TESTCONTAINERS = "testcontainers>=4.13,<5"
# PostgreSQL's dependencies without Perl, for which Debian has scripts, and without LLVM: it compiles queries.
_PACKAGES = """postgresql-15 postgresql-client-15 redis-server redis-tools tzdata netbase libc6 libcrypt1 libgcc-s1
libstdc++6 libacl1 libatomic1 libaudit1 libbsd0 libbz2-1.0 libcap-ng0 libcap2 libcom-err2 libedit2
libffi8 libgcrypt20 libgmp10 libgnutls30 libgpg-error0 libgssapi-krb5-2 libhogweed6 libicu72
libidn2-0 libjemalloc2 libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0 libldap-2.5-0 liblz4-1
liblzf1 liblzma5 libmd0 libnettle8 libp11-kit0 libpam0g libpcre2-8-0 libpq5 libreadline8 libsasl2-2
libselinux1 libssl3 libsystemd0 libtasn1-6 libtinfo6 libunistring2 libuuid1 libxml2 libxslt1.1
libzstd1 zlib1g"""
_UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "fetched")
_POSTGRES = 101  # uid
_AT_ONCE = 12  # packages: their tree is named after them


def main(place: Path) -> None:
    """Make `place`/servers.tar and `place`/python, if they are not there."""
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "python").exists():
        words = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place / "python.part")]
        subprocess.run([*words, _TESTCONTAINERS], check=True)
        (place / "python.part").rename(place / "python")
    if not (place / "servers.tar").exists():
        with tempfile.TemporaryDirectory() as work:
            _archive(Path(work) / "root", place / "servers.tar")


def _archive(root: Path, archive: Path) -> None:
    """PostgreSQL, Redis and busybox, on a system that has nothing else."""
    packages = _PACKAGES.split()
    for first in range(0, len(packages), _AT_ONCE):
        shutil.copytree(fetch_whole(packages[first : first + _AT_ONCE]), root, symlinks=True, dirs_exist_ok=True)
    for name in _UNUSED:
        shutil.rmtree(root / name, ignore_errors=True)
    for name in ("bin", "lib", "sbin"):  # /usr is merged, and has what was in them
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in ("dev", "proc", "sys", "run", "tmp", "root", "data", "www"):
        (root / name).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    busybox = shutil.which("busybox")
    assert busybox is not None, "busybox-static is needed"
    shutil.copy2(busybox, root / "usr/bin/busybox")
    names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in {"busybox", *names} - {"busybox"}:
        if not (root / "usr/bin" / name).exists():
            (root / "usr/bin" / name).symlink_to("busybox")
    (root / "www/index.html").write_text("serving\n")
    (root / "etc/passwd").write_text(f"root:x:0:0::/root:/bin/sh\npostgres:x:{_POSTGRES}:{_POSTGRES}::/data:/bin/sh\n")
    (root / "etc/group").write_text(f"root:x:0:\npostgres:x:{_POSTGRES}:\n")
    shutil.chown(root / "data", _POSTGRES, _POSTGRES)
    shutil.chown(root / "run", _POSTGRES, _POSTGRES)
    part = archive.with_suffix(".part")
    with tarfile.open(part, "w") as tar:
        tar.add(root, ".")
    part.rename(archive)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
