"""The images that the suites name. The real ones are out of reach where there is no network, and they change; these
have Debian's files, and of the real ones what the tests look at. They are made once, by Docker, and pushed to the
registry that stands for all others.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.compatibility.peers import Peers
from tests.compatibility.stage import Stage, staged
from tests.harness.debian_packages import NGINX, fetch_whole

_HELLO = """
Hello from Docker!
This message shows that your installation appears to be working correctly.
"""
_WITH_LIBC = ("libc6", "libgcc-s1")
_SOCAT = ("socat", "libssl3", "libwrap0", "libnsl2", "libtirpc3", "libgssapi-krb5-2", "libcom-err2", "libk5crypto3")
_SOCAT += ("libkrb5-3", "libkrb5support0", "libkeyutils1", "libcrypt1", *_WITH_LIBC)
_HOME = "home/podman"  # of podman's own test image
_PYTHON = (
    "python3-minimal",
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libexpat1",
    "zlib1g",
    "libssl3",
    *_WITH_LIBC,
)
_REGISTRY = """#!/bin/sh
case ${1:-} in "" | serve) shift ;; /*) config=$1 ;; esac
exec docker-registry serve "${config:-/etc/docker/registry/config.yml}"
"""
_REGISTRY_CONFIG = """version: 0.1
log: {fields: {service: registry}}
storage: {filesystem: {rootdirectory: /var/lib/registry}, delete: {enabled: true}}
http: {addr: ":5000"}
"""


@dataclass(frozen=True)
class Recipe:
    """An image: its names, Debian packages, files besides, and the instructions of its configuration."""

    names: tuple[str, ...]
    instructions: tuple[str, ...]
    packages: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()


_SH = ('CMD ["sh"]',)
_SHELL = ('CMD ["/bin/sh"]',)
RECIPES = (
    Recipe(("busybox:latest", "busybox:buildroot-2014.02", "quay.io/libpod/busybox:latest"), _SH),
    Recipe(("busybox:1.36", "busybox:1.37"), _SH, files=(("etc/version", "other"),)),
    Recipe(
        ("alpine:latest", "quay.io/libpod/alpine:latest"),
        _SHELL,
        files=(("etc/alpine-release", "3.20.0\n"), ("etc/os-release", 'ID=alpine\nPRETTY_NAME="Alpine"\n')),
    ),
    Recipe(("alpine:3.10", "alpine:3.20"), _SHELL, files=(("etc/alpine-release", "3.10.9\n"),)),
    Recipe(("ubuntu:latest",), ('CMD ["/bin/bash"]',), ("bash", "libtinfo6", *_WITH_LIBC)),
    Recipe(("bash:latest",), ('CMD ["bash"]',), ("bash", "libtinfo6", *_WITH_LIBC)),
    Recipe(
        ("hello-world:latest", "quay.io/libpod/hello:latest"),
        ('CMD ["/hello"]',),
        files=(("hello", "#!/bin/sh\ncat /message\n"), ("message", _HELLO)),
    ),
    Recipe(
        ("nginx:latest", "nginx:alpine", "nginx:alpine-slim", "quay.io/libpod/alpine_nginx:latest"),
        ("EXPOSE 80/tcp", "STOPSIGNAL SIGQUIT", """CMD ["nginx", "-g", "daemon off;"]"""),
        NGINX,
        (("docker-entrypoint.d/none", ""),),
    ),
    Recipe(("alpine/socat:latest",), ('ENTRYPOINT ["socat"]',), _SOCAT),
    Recipe(
        ("testcontainers/helloworld:1.2.0",),
        (
            "EXPOSE 8080 8081",
            'CMD ["sh", "-c", "echo Ready; httpd -p 8081 -h /srv/www; exec httpd -f -p 8080 -h /srv/www"]',
        ),
        files=(("srv/www/ping", "PONG"), ("srv/www/index.html", "<title>Hello world</title>")),
    ),
    Recipe(
        ("registry:2", "quay.io/libpod/registry:2.8.2"),
        (
            "EXPOSE 5000",
            "VOLUME /var/lib/registry",
            'ENTRYPOINT ["/entrypoint.sh"]',
            'CMD ["/etc/docker/registry/config.yml"]',
        ),
        ("docker-registry", *_WITH_LIBC),
        (("entrypoint.sh", _REGISTRY), ("etc/docker/registry/config.yml", _REGISTRY_CONFIG)),
    ),
    Recipe(
        ("testcontainers/ryuk:0.8.1",),
        ("EXPOSE 8080", 'CMD ["python3", "/reaper.py"]'),
        _PYTHON,
        (("reaper.py", Path(__file__).with_name("reaper.py").read_text()),),
    ),
    Recipe(
        ("quay.io/libpod/testimage:20241011", "quay.io/libpod/testimage:20221018"),
        (
            "LABEL created_by=test",
            f"WORKDIR /{_HOME}",
            'CMD ["/bin/echo", "This container is intended for podman CI testing"]',
        ),
        files=((f"{_HOME}/testimage-id", "20241011\n"), (f"{_HOME}/healthcheck", "#!/bin/sh\necho ok\n")),
    ),
)


def ensure(peers: Peers, results: Path) -> None:
    """Make the images unless they are there."""
    done = peers.cache / "registry" / "done"
    text = repr(RECIPES)
    if done.exists() and done.read_text() == text:
        return
    shutil.rmtree(peers.cache / "registry" / "storage", ignore_errors=True)
    with staged("docker", peers, results) as stage:
        for recipe in RECIPES:
            _make(stage, recipe)
        stage.host.sh(f"cp -a /run/own/storage/. {peers.cache}/registry/storage")
    done.write_text(text)


def _make(stage: Stage, recipe: Recipe) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        tree = Path(place) / "tree"
        _lay(tree, recipe)
        subprocess.run(
            ["tar", "-C", tree, "-cf", f"{place}/tree.tar", "--numeric-owner", "--owner=0", "--group=0", "."],
            check=True,
        )
        changes = [word for line in recipe.instructions for word in ("--change", line)]
        _docker(stage, "import", *changes, f"{place}/tree.tar", recipe.names[0])
    for name in recipe.names:
        if name != recipe.names[0]:
            _docker(stage, "tag", recipe.names[0], name)
        _docker(stage, "push", "-q", name)


def _docker(stage: Stage, *words: str) -> None:
    done = stage.docker(*words, timeout=120)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"


def _lay(tree: Path, recipe: Recipe) -> None:
    """Packages, busybox for all that they lack, and the files."""
    tree.mkdir()
    if recipe.packages:
        shutil.copytree(fetch_whole(recipe.packages), tree, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(tree / "fetched", ignore_errors=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            if not (tree / name).exists() and (tree / "usr").is_dir():
                (tree / "usr" / name).mkdir(exist_ok=True)
            if (tree / "usr" / name).is_dir():
                _merge(tree / name, tree / "usr" / name)
    _lay_busybox(tree)
    for name in (
        "dev",
        "etc",
        "proc",
        "root",
        "run",
        "sys",
        "tmp",
        "var/log/nginx",
        "var/lib/nginx",
        "var/opt",
        "home",
    ):
        (tree / name).mkdir(parents=True, exist_ok=True)
    (tree / "tmp").chmod(0o1777)
    users = {"root": 0, "daemon": 1, "nobody": 65534, "www-data": 33, "postgres": 70}
    _write(tree / "etc/passwd", "".join(f"{name}:x:{id_}:{id_}::/root:/bin/sh\n" for name, id_ in users.items()))
    _write(tree / "etc/group", "".join(f"{name}:x:{id_}:\n" for name, id_ in users.items()))
    for name, text in recipe.files:
        _write(tree / name, text)
        (tree / name).chmod(0o755 if text.startswith("#!") else 0o644)
    if (tree / "usr/share/nginx").is_dir():
        _write(tree / "etc/nginx/nginx.conf", _NGINX)


_NGINX = """user www-data; pid /run/nginx.pid; error_log /dev/stderr notice; events {}
http { access_log /dev/stdout; server { listen 80; root /usr/share/nginx/html; } }
"""


def _merge(old: Path, new: Path) -> None:
    """/bin is /usr/bin, where `fetch_whole` has copied it to."""
    if old.is_dir() and not old.is_symlink():
        if old.name == "lib64":
            shutil.copytree(old, new, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(old)
    if not old.is_symlink():
        old.symlink_to(Path("usr") / new.name)


def _lay_busybox(tree: Path) -> None:
    program = shutil.which("busybox")
    assert program, "needs busybox, linked statically: apt install busybox-static"
    (tree / "bin").mkdir(parents=True, exist_ok=True)
    shutil.copy2(program, tree / "bin/busybox")
    for name in _names(program):
        if not (tree / "bin" / name).exists() and not (tree / "usr/sbin" / name).exists():
            (tree / "bin" / name).symlink_to("/bin/busybox")


def _names(program: str) -> Sequence[str]:
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    return [name for name in listed if name != "busybox"]


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
