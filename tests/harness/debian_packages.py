"""Programs of Debian packages that the machine may not have, on a throwaway host alone.

Fetched once with apt, unpacked beside the virtual environment, and laid over the host's /usr and /etc: what the machine
has itself stays as it is, what it lacks is added. Nothing is installed.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.harness.host import Host

_CACHE = Path(sys.prefix) / "debian-packages"
# Names that a package gives its files when it is installed (update-alternatives(1)).
_POLICY = "usr/share/polkit-1/actions/org.fedoraproject.FirewallD1"
_KINDS = [(f"ip{six}tables", what) for six in ("", "6") for what in ("", "-save", "-restore")]
_ALTERNATIVES = {f"{_POLICY}.policy": f"{_POLICY}.server.policy.choice"} | {
    f"usr/sbin/{name}{what}": f"usr/sbin/{name}-nft{what}" for name, what in _KINDS
}
# Python stays the same file: what is laid over it has another device number, and the fork server would be taken for one
# of another installation.
_LAY = """
set -e
own=$(mktemp -d /run/laid.XXXX)
mkdir $own/up $own/work
mount -t tmpfs log /var/log
touch $own/python
mount --bind {python} $own/python
mount -t overlay -o lowerdir=/usr:{tree}/usr overlay /usr
mount --bind $own/python {python}
umount $own/python
mount -t overlay -o lowerdir=/etc:{tree}/etc,upperdir=$own/up,workdir=$own/work overlay /etc
"""


IPTABLES = ("iptables",)
DOCKER = ("docker.io",)
UFW = ("ufw",)
FIREWALLD = ("firewalld", "dbus-daemon")
REGISTRY = ("docker-registry",)
CNI = ("containernetworking-plugins", "iptables")
LAB = ("uidmap", "passt")
SKOPEO = ("skopeo",)
# All that a root file system with nginx needs, whatever the machine has itself.
NGINX = ("nginx", "nginx-common", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g")


def overlay_packages(host: Host, packages: Sequence[str] = ()) -> None:
    """Have the programs of these packages, and of all that they need, on `host`, and an /etc of its own. Where that
    cannot be, the test is skipped, with the reason."""
    tree = fetch(packages)
    done = host.run(["sh", "-c", _LAY.format(tree=tree, python=os.path.realpath(sys.executable))], check=False)
    if done.returncode:
        pytest.skip(f"{' '.join(packages)} cannot be laid over this host: {done.stderr.strip()}")


def fetch(packages: Sequence[str]) -> Path:
    tree = _CACHE / "-".join(["tree", *packages])
    if not tree.exists():
        _unpack(_missing(packages), tree)
    return tree


def fetch_whole(packages: Sequence[str]) -> Path:
    """Return a tree with these packages and nothing else, for a root file system."""
    tree = _CACHE / "-".join(["whole", *packages])
    if not tree.exists():
        _unpack(list(packages), tree)
    return tree


def fetch_from_sid(package: str) -> Path:
    """Return a tree with a package of Debian unstable, which needs no more than libc. Nothing of the machine's apt is
    changed: the lists are in a directory of their own."""
    tree = _CACHE / f"sid-{package}"
    if tree.exists():
        return tree
    known = _run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(SIGNED_BY)", "Created-By: Packages"], Path("/"))
    uri, _, keys = next((line for line in known.splitlines() if "/debian/ " in f"{line} "), "").partition(" ")
    if not uri:
        pytest.skip("this machine has no mirror of Debian")
    with tempfile.TemporaryDirectory(dir=_CACHE.parent) as place:
        signed = f"[signed-by={keys}] " if keys.startswith("/") else ""
        (Path(place) / "sources.list").write_text(f"deb {signed}{uri} sid main\n")
        (Path(place) / "lists/partial").mkdir(parents=True)
        apt = ["apt-get", "-qq"]
        for name, value in {
            "Dir::Etc::sourcelist": f"{place}/sources.list",
            "Dir::Etc::sourceparts": "/nonexistent",
            "Dir::State::lists": f"{place}/lists",
            "Dir::Cache": f"{place}/cache",
            "APT::Sandbox::User": "root",
        }.items():
            apt += ["-o", f"{name}={value}"]
        _run([*apt, "update"], Path(place))
        own = Path(place) / "tree"
        (own / "fetched").mkdir(parents=True)
        _run([*apt, "download", package], own / "fetched")
        for file in (own / "fetched").iterdir():
            _run(["dpkg", "-x", str(file), str(own)], own)
        with contextlib.suppress(OSError):  # another test process was quicker
            own.rename(tree)
    return tree


def _missing(packages: Sequence[str]) -> list[str]:
    """What apt would install; a package that is there already in another version stays as it is."""
    plan = _run(["apt-get", "-s", "--no-install-recommends", "install", *packages], Path("/")) if packages else ""
    return re.findall(r"^Inst (\S+) \(", plan, re.MULTILINE)


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
    for link, target in _ALTERNATIVES.items():
        if (own / target).exists():
            alternative = Path("/etc/alternatives") / Path(link).name
            (own / "etc/alternatives").mkdir(exist_ok=True)
            (own / link).symlink_to(alternative)
            (own / alternative.relative_to("/")).symlink_to(Path("/") / target)
    try:
        own.rename(tree)
    except OSError:  # another one was quicker
        shutil.rmtree(own)


def _run(argv: list[str], place: Path) -> str:
    try:
        done = subprocess.run(argv, cwd=place, capture_output=True, text=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{' '.join(argv)}: {error}")
    if done.returncode:
        pytest.skip(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":  # for a machine that is about to have no network
    for wanted in (IPTABLES, DOCKER, UFW, FIREWALLD, CNI, REGISTRY, LAB, SKOPEO):
        fetch(wanted)
    fetch_whole(NGINX)
    fetch_from_sid("crane")
