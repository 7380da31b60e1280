"""The busybox image: its layout, its modes, and that it runs."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.image import busybox

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the image's files belong to several users")

USED_IN_EXAMPLES = {"[", "[[", "env", "httpd", "id", "ip", "mount", "nc", "nslookup", "ps", "sh", "tail", "top", "wget"}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    target = tmp_path / "image"
    target.mkdir()
    busybox.build(target)
    return target


@pytest.fixture
def odd_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def listing(root: Path) -> dict[str, tuple[str, int, int, int]]:
    """What `find -printf '%P %M %U %G %T@'` tells of all but the applets."""
    found = {}
    for path in [root, *root.rglob("*")]:
        status = path.lstat()
        name = str(path.relative_to(root))
        if not name.startswith("bin/") or name == "bin/busybox":
            found[name] = (stat.filemode(status.st_mode), status.st_uid, status.st_gid, int(status.st_mtime))
    return found


def chroot(image: Path, *command: str) -> str:
    inside = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/bin"}
    done = subprocess.run(["chroot", image, *command], capture_output=True, text=True, check=True, env=inside)
    return done.stdout


def test_layout(image: Path) -> None:
    assert sorted(os.listdir(image)) == "bin dev etc home lib lib64 proc root sbin sys tmp usr var".split()  # noqa: SIM905
    assert os.readlink(image / "lib64") == "lib"
    assert os.readlink(image / "usr/bin/env") == "../../bin/env"
    assert [name for name in ("dev", "proc", "sys", "tmp", "lib", "root") if os.listdir(image / name)] == []
    assert not list(image.rglob("README*"))


@pytest.mark.usefixtures("odd_umask")
def test_modes_and_owners_whatever_the_umask(image: Path) -> None:
    found = listing(image)
    special = {
        "bin/busybox": ("-rwxr-xr-x", 0),
        "etc/shadow": ("-rw-------", 0),
        "home": ("drwxr-xr-x", 65534),
        "root": ("drwx------", 0),
        "tmp": ("drwxrwxrwt", 0),
        "var/spool/mail": ("drwxr-xr-x", 8),
    }
    plain = {"d": "drwxr-xr-x", "-": "-rw-r--r--", "l": "lrwxrwxrwx"}
    for name, (mode, uid, gid, _) in found.items():
        assert (name, mode, uid) == (name, *special.get(name, (plain[mode[0]], 0)))
        assert gid == uid
    assert special.keys() <= found.keys()


def test_every_applet_is_a_link_to_busybox(image: Path) -> None:
    program = (image / "bin/busybox").stat()
    assert {path.lstat().st_ino for path in (image / "bin").iterdir()} == {program.st_ino}
    assert set(os.listdir(image / "bin")) == {"busybox", *chroot(image, "/bin/busybox", "--list").split()}
    assert USED_IN_EXAMPLES.issubset(set(os.listdir(image / "bin")))
    assert program.st_ino != Path("/bin/busybox").stat().st_ino  # a write in the image must not reach the host's


def test_building_twice_gives_the_same(image: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    busybox.build(again)
    assert listing(again) == listing(image)


def test_accounts(image: Path) -> None:
    def table(name: str, fields: int) -> dict[str, list[str]]:
        rows = [line.split(":") for line in (image / "etc" / name).read_text().splitlines()]
        assert {len(row) for row in rows} == {fields}
        return {row[0]: row[1:] for row in rows}

    users, groups, secrets = table("passwd", 7), table("group", 4), table("shadow", 9)
    assert users["root"] == ["x", "0", "0", "root", "/root", "/bin/sh"]
    assert users["nobody"][1:3] == ["65534", "65534"]
    assert {row[2] for row in users.values()} <= {row[1] for row in groups.values()}
    assert users.keys() == secrets.keys()
    assert {row[0] for row in secrets.values()} == {"*"}  # nobody logs in with an empty password
    assert [row[4] for row in users.values() if not (image / row[4][1:]).is_dir()] == []


def test_it_runs(image: Path) -> None:
    assert chroot(image, "/bin/sh", "-c", "id -un; ls /").split() == ["root", *sorted(os.listdir(image))]
    assert chroot(image, "/usr/bin/env", "date", "+%Z") == "UTC\n"
    assert "nobody" in chroot(image, "ls", "-ld", "/home")
    assert "Hello from minirun" in chroot(image, "cat", "/var/www/index.html")


def test_a_program_with_shared_libraries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is not statically linked.*busybox-static"):
        busybox.build(tmp_path, Path(shutil.which("cat") or "/bin/cat"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n" + b"#" * 100, b"\x7fELF\x02\x01"])
def test_what_is_no_program_is_refused(tmp_path: Path, content: bytes) -> None:
    script = tmp_path / "busybox"
    script.write_bytes(content)
    with pytest.raises(ValueError, match="busybox-static"):
        busybox.build(tmp_path, script)


def test_no_busybox_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="busybox-static") as caught:
        busybox.build(tmp_path, tmp_path / "missing")
    assert caught.value.filename == str(tmp_path / "missing")
