"""Programs of Debian packages that the machine may not have, on a throwaway host alone.

Fetched once with apt, unpacked beside the virtual environment, and laid over the host's /usr and /etc: what the machine
has itself stays as it is, what it lacks is added. Nothing is installed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.host import Host

_CACHE = Path(sys.prefix) / "debian-packages"
_LAY = """
set -e
mkdir -p /run/laid/up /run/laid/work
mount -t overlay -o lowerdir=/usr:{tree}/usr overlay /usr
mount -t overlay -o lowerdir=/etc:{tree}/etc,upperdir=/run/laid/up,workdir=/run/laid/work overlay /etc
"""


def lay(host: Host, *packages: str) -> None:
    """Have the programs of these packages on `host`. Where that cannot be, the test is skipped, with the reason."""
    missing = [name for name in packages if not _is_installed(name)]
    tree = _CACHE / "-".join(["tree", *missing])
    if not tree.exists():
        _unpack(missing, tree)
    done = host.run(["sh", "-c", _LAY.format(tree=tree)], check=False)
    if done.returncode:
        pytest.skip(f"{' '.join(missing)} cannot be laid over this host: {done.stderr.strip()}")


def _is_installed(package: str) -> bool:
    done = subprocess.run(["dpkg-query", "-W", "-f=${Status}", package], capture_output=True, text=True, check=False)
    return done.stdout.endswith(" installed")


def _unpack(packages: list[str], tree: Path) -> None:
    """Whole or not at all: other test processes may be at it."""
    own = tree.with_name(f"{tree.name}.{os.getpid()}")
    shutil.rmtree(own, ignore_errors=True)
    for part in ("usr", "etc", "fetched"):
        (own / part).mkdir(parents=True)
    if packages:
        _run(["apt-get", "-qq", "download", *packages], own / "fetched")
    for package in sorted((own / "fetched").iterdir()):
        _run(["dpkg", "-x", str(package), str(own)], own)
    for part in ("bin", "lib", "sbin"):  # there, too, where /usr is merged
        if (own / part).is_dir():
            shutil.copytree(own / part, own / "usr" / part, symlinks=True, dirs_exist_ok=True)
    try:
        own.rename(tree)
    except OSError:  # another one was quicker
        shutil.rmtree(own)


def _run(argv: list[str], place: Path) -> None:
    try:
        done = subprocess.run(argv, cwd=place, capture_output=True, text=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{' '.join(argv)}: {error}")
    if done.returncode:
        pytest.skip(f"{' '.join(argv)}: {done.stderr.strip()}")
