"""save and load: Docker reads what minirun writes and the other way round, and a bad archive leaves nothing."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from typing import Any

import pytest

from minirun.cli.output.table import size
from tests.harness import Host
from tests.harness.debian_packages import DOCKER as DOCKER_PACKAGES
from tests.harness.debian_packages import overlay_packages
from tests.harness.docker_engine import DOCKER, start_docker
from tests.harness.host import MINIRUN
from tests.integration.image.image_tools import LAYERS, archive, inspect, refused, run

_BLOBS = "/var/lib/minirun/blobs"
# All that a layer can say: a file that is replaced, one that is gone, a directory that is hidden, links, owners, modes.
_CHANGE = (
    "echo two > /etc/one; rm /bin/vi; rm -r /var/www; mkdir /var/www; echo new > /var/www/new; ln /etc/one /etc/linked;"
    " ln -s one /etc/symlink; mkfifo /fifo; chown 12:34 /etc/one; chmod 4711 /etc/one; touch -d @1000000000 /etc/one"
)
_SHOW = (
    "sh",
    "-c",
    "cd /; find . -xdev -path ./proc -prune -o -path ./sys -prune -o -path ./dev -prune -o"
    " -path './etc/hosts' -o -path ./etc/hostname -o -path ./etc/resolv.conf -o -path ./.dockerenv -o"
    " -type f -exec stat -c '%n %F %a %u %g %h %s %Y' {} + -o -exec stat -c '%n %F %a %u %g' {} + | sort;"
    " cat etc/one var/www/new; readlink etc/symlink",
)


def make_image(host: Host, *names: str) -> None:
    host.minirun("run", "--name", "maker", "--net=none", "busybox", "sh", "-c", _CHANGE)
    host.minirun("commit", "-m", "why", "-c", 'CMD ["cat", "/etc/one"]', "-c", "ENV A=b", "maker", names[0])
    host.minirun("rm", "maker")
    for name in names[1:]:
        host.minirun("tag", names[0], name)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_what_is_saved_is_loaded_and_saved_again_byte_for_byte(crowded: Host) -> None:
    make_image(crowded, "saved:1", "saved:2")
    before, shown = inspect(crowded, "saved:1"), run(crowded, "saved:1", *_SHOW).stdout
    history = crowded.minirun("history", "--no-trunc", "--format", "{{.CreatedBy}} {{.Size}}", "saved:1").stdout
    crowded.minirun("save", "-o", "/run/first.tar", "saved")
    crowded.minirun("save", "-o", "/run/second.tar", "saved:2", "saved:1")
    crowded.sh(f'"{MINIRUN}" save saved > /run/third.tar; cmp /run/first.tar /run/third.tar')
    crowded.minirun("rmi", "saved:1", "saved:2")
    assert crowded.minirun("load", "-i", "/run/first.tar").stdout == "Loaded image: saved:1\nLoaded image: saved:2\n"
    after = inspect(crowded, "saved:1")
    for same in ("Id", "RepoTags", "Created", "Config", "RootFS", "Comment", "Size", "Architecture"):
        assert after[same] == before[same], same
    assert run(crowded, "saved:1", *_SHOW).stdout == shown
    assert "two\nnew\none\n" in shown
    assert run(crowded, "saved:1").stdout == "two\n"
    assert crowded.minirun("history", "--no-trunc", "--format", "{{.CreatedBy}} {{.Size}}", "saved:1").stdout == history
    crowded.minirun("save", "-o", "/run/again.tar", "saved")
    crowded.sh("cmp /run/first.tar /run/again.tar")
    # An id has no tag, and the order of the names that of the tags.
    crowded.minirun("save", "-o", "/run/by-id.tar", before["Id"])
    assert '"RepoTags":null' in crowded.sh("tar -xOf /run/by-id.tar manifest.json")
    assert '"RepoTags":["saved:2","saved:1"]' in crowded.sh("tar -xOf /run/second.tar manifest.json")
    crowded.minirun("rmi", "saved:1", "saved:2")
    assert crowded.minirun("load", "-i", "/run/by-id.tar").stdout == f"Loaded image ID: {before['Id']}\n"
    crowded.minirun("rmi", before["Id"])


@pytest.mark.parametrize("module", ["", "gzip", "backports.zstd", "lzma", "bz2"])
def test_archives_come_compressed_and_from_pipes(crowded: Host, module: str) -> None:
    crowded.minirun("save", "-o", "/run/plain.tar", "busybox")
    # Not the programs of those names: a small machine has none.
    script = f"import sys, {module} as packed; sys.stdout.buffer.write(packed.compress(sys.stdin.buffer.read()))"
    packer = f'{sys.executable} -c "{script}"' if module else "cat"
    said = crowded.sh(f'{packer} < /run/plain.tar | tee /run/packed | "{MINIRUN}" load')
    assert said == "Loaded image: busybox:latest\n"
    assert crowded.minirun("load", "-q", "-i", "/run/packed").stdout == said


def test_the_bar_is_on_the_terminal_and_the_result_on_standard_output(crowded: Host) -> None:
    crowded.minirun("save", "-o", "/run/bar.tar", "busybox")
    terminal, its_end = os.openpty()
    loading = crowded.popen([MINIRUN, "load", "-i", "/run/bar.tar"], stdout=subprocess.PIPE, stderr=its_end)
    os.close(its_end)
    assert loading.communicate(timeout=30)[0] == b"Loaded image: busybox:latest\n"
    assert b"Loading layers" in os.read(terminal, 1 << 16)
    os.close(terminal)


def test_system_df_counts_each_layer_once_and_what_was_transferred(host: Host) -> None:
    make_image(host, "counted:1")
    host.minirun("save", "-o", "/run/counted.tar", "counted:1")
    host.minirun("rmi", "counted:1", "busybox")
    host.minirun("load", "-i", "/run/counted.tar")
    host.minirun("tag", "counted:1", "counted:2")
    host.minirun("run", "--name", "maker", "--net=none", "counted:1", "touch", "/more")
    host.minirun("commit", "maker", "counted:3")
    blobs = sum(int(number) for number in host.sh(f"stat -c %s {_BLOBS}/*").split())
    whole = inspect(host, "counted:1")["Size"] + blobs
    line = ("system", "df", "--format", "{{.Size}} {{.Reclaimable}}")
    assert host.minirun(*line).stdout.splitlines()[0] == f"{size(whole, 4)} 0B (0%)"
    host.minirun("rm", "maker")
    assert host.minirun(*line).stdout.splitlines()[0] == f"{size(whole, 4)} {size(whole, 4)} (100%)"
    assert f"Total reclaimed space: {size(whole, 4)}" in host.minirun("image", "prune", "-af").stdout
    assert host.minirun(*line).stdout.splitlines()[0] == "0B 0B"


def test_a_tag_that_another_image_has_moves(crowded: Host) -> None:
    crowded.image("moving:1", "echo old > old")
    old = inspect(crowded, "moving:1")["Id"]
    crowded.minirun("save", "-o", "/run/moving.tar", "moving:1")
    crowded.image("moving:1", "echo new > new")
    new = inspect(crowded, "moving:1")["Id"]
    said = crowded.minirun("load", "-i", "/run/moving.tar").stdout
    assert said == (
        f"The image moving:1 already exists, renaming the old one with ID {new} to empty string\n"
        "Loaded image: moving:1\n"
    )
    assert inspect(crowded, "moving:1")["Id"] == old
    assert inspect(crowded, new)["RepoTags"] == []
    crowded.minirun("rmi", old, new)


def test_docker_reads_what_minirun_writes_and_the_other_way_round(host: Host) -> None:
    overlay_packages(host, DOCKER_PACKAGES)
    start_docker(host)
    make_image(host, "both:1")
    before, shown = inspect(host, "both:1"), run(host, "both:1", *_SHOW).stdout
    host.minirun("save", "-o", "/run/ours.tar", "both:1")
    assert "Loaded image: both:1" in host.sh(f"{DOCKER} load -i /run/ours.tar", timeout=120)
    theirs = json.loads(host.sh(f"{DOCKER} image inspect both:1"))[0]
    assert (theirs["Id"], theirs["RootFS"]["Layers"]) == (before["Id"], before["RootFS"]["Layers"])
    assert (theirs["Config"]["Env"], theirs["Config"]["Cmd"]) == (["A=b"], ["cat", "/etc/one"])
    assert host.sh(f"{DOCKER} run --rm --net=none both:1", timeout=120) == "two\n"
    host.sh(f"{DOCKER} save -o /run/theirs.tar both:1; {DOCKER} rmi both:1")
    host.minirun("rmi", "both:1", "busybox")
    assert host.minirun("load", "-i", "/run/theirs.tar").stdout == "Loaded image: both:1\n"
    assert inspect(host, "both:1")["Id"] == before["Id"]
    assert run(host, "both:1", *_SHOW).stdout == shown


def layout(layers: list[bytes], **changes: Any) -> dict[str, bytes]:
    """The files of an OCI image layout with one image called oci:1; `changes` replace some."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["cat", "/a"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest(data)}" for data in layers]},
        }
    ).encode()
    descriptor = {"mediaType": "application/vnd.oci.image.layer.v1.tar"}
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": f"sha256:{digest(config)}",
                "size": len(config),
            },
            "layers": [{**descriptor, "digest": f"sha256:{digest(data)}", "size": len(data)} for data in layers],
        }
    ).encode()
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": f"sha256:{digest(manifest)}",
        "size": len(manifest),
        "annotations": {"org.opencontainers.image.ref.name": "oci:1"},
        **changes.pop("entry", {}),
    }
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    files = {f"blobs/sha256/{digest(data)}": data for data in (*layers, config, manifest)}
    return {**files, "index.json": index, "oci-layout": b'{"imageLayoutVersion":"1.0.0"}', **changes}


def packed(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def load(host: Host, data: bytes, *words: str) -> Any:
    return host.minirun("load", *words, input=data, text=False, check=False)


def test_an_oci_layout_is_read(crowded: Host) -> None:
    done = load(crowded, packed(layout([archive(("a", "1\n"))])))
    assert (done.returncode, done.stdout) == (0, b"Loaded image: oci:1\n"), done.stderr
    # A root without any shell: it is its layers that count.
    assert inspect(crowded, "oci:1")["Config"]["Cmd"] == ["cat", "/a"]
    top = inspect(crowded, "oci:1")["GraphDriver"]["Data"]["UpperDir"]
    assert crowded.sh(f"cat {top}/a") == "1\n"
    crowded.minirun("rmi", "oci:1")
    other = {"platform": {"os": "linux", "architecture": "s390x"}}
    done = load(crowded, packed(layout([archive(("a", "1"))], entry=other)))
    assert b"no image for linux/" in done.stderr
    assert b"it has: linux/s390x" in done.stderr
    assert (
        load(crowded, packed(layout([archive(("a", "1"))], entry=other)), "--platform", "linux/s390x").returncode == 0
    )
    crowded.minirun("rmi", "oci:1")


_LAYER = archive(("a", "1"))
_GOOD = layout([_LAYER])
_LAYER_PATH = f"blobs/sha256/{digest(_LAYER)}"


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"x": b"1"}, "neither manifest.json nor index.json"),
        ({"manifest.json": b"{"}, "manifest.json is not JSON"),
        ({"manifest.json": b'{"a": 1}'}, "manifest.json lacks something"),
        ({"manifest.json": b'[{"Config": 1, "Layers": []}]'}, "manifest.json lacks something"),
        ({"manifest.json": b'[{"Config": "c", "Layers": []}]'}, "lacks the file c"),
        ({"manifest.json": b'[{"Config": "c", "Layers": []}]', "c": b"{}"}, "invalid image configuration"),
        ({"manifest.json": b'[{"Config": "c", "Layers": []}]', "c": b"\xff"}, "is not UTF-8"),
        ({**_GOOD, "manifest.json": b'[{"Config": "/etc/passwd", "Layers": []}]'}, "lacks the file /etc/passwd"),
        ({**_GOOD, _LAYER_PATH: _LAYER + bytes(512)}, "its content has the digest"),
        ({**_GOOD, _LAYER_PATH: b"no archive" * 99}, f"layer sha256:{digest(_LAYER)}: it cannot be read"),
        ({**_GOOD, _LAYER_PATH: b"\x1f\x8b" + bytes(99)}, f"layer sha256:{digest(_LAYER)} cannot be read"),
        ({**_GOOD, "index.json": b'{"schemaVersion": 2, "manifests": []}'}, "no image for"),
        ({**_GOOD, "index.json": b'{"schemaVersion": 2, "manifests": [7]}'}, "malformed manifest"),
        ({**_GOOD, "index.json": b" " * (5 << 20)}, "longer than 4 MiB"),
        (layout([archive(("../../outside", "1"))]), "outside"),
        (layout([archive((".wh...", "1"))]), "invalid whiteout"),
        (layout([_LAYER] * 126), "max depth exceeded"),
    ],
)
def test_a_bad_archive_is_one_sentence_and_leaves_nothing(crowded: Host, files: dict[str, bytes], says: str) -> None:
    state = f"find {LAYERS} {_BLOBS} -mindepth 1 -maxdepth 1 2>/dev/null; '{MINIRUN}' images -aq"
    before = crowded.sh(state)
    done = load(crowded, packed(files))
    assert done.returncode == 1
    assert says in done.stderr.decode()
    assert done.stderr.count(b"\n") <= 2
    assert crowded.sh(state) == before


def test_what_cannot_be_saved_or_loaded(crowded: Host) -> None:
    assert "No such image: nope:latest" in refused(crowded, "save", "-o", "/run/nope.tar", "busybox", "nope")
    assert crowded.sh("ls /run/nope.tar* 2>/dev/null", check=False) == ""
    assert 'directory "/run/none" does not exist' in refused(crowded, "save", "-o", "/run/none/x", "busybox")
    assert '"/run" must be a regular file' in refused(crowded, "save", "-o", "/run", "busybox")
    assert "no such file" in refused(crowded, "load", "-i", "/run/none")
    assert "invalid platform" in refused(crowded, "load", "--platform", "a/b/c/d", "-i", "/run/none")
    assert "cannot be read" in refused(crowded, "load", "-i", "/dev/null")
    crowded.image("changed", "echo 1 > file")
    top = inspect(crowded, "changed")["GraphDriver"]["Data"]["UpperDir"]
    crowded.sh(f"echo 2 > {top}/file")
    assert "were changed" in refused(crowded, "save", "-o", "/run/changed.tar", "changed")
    crowded.minirun("rmi", "changed")


def test_a_load_that_is_killed_is_swept(host: Host) -> None:
    host.minirun("run", "--rm", "--net=none", "busybox", "true")
    host.minirun("save", "-o", "/run/whole.tar", "busybox")
    host.minirun("rmi", "busybox")
    crash = (
        "from minirun.image import load; import os, signal;"
        "load._record = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        "from minirun.instance import Instance; list(load.load(Instance(), open('/run/whole.tar', 'rb'), 'x'))"
    )
    assert host.run([sys.executable, "-c", crash], check=False).returncode == -9
    assert host.sh(f"ls {LAYERS} {_BLOBS}").split() != [f"{LAYERS}:", f"{_BLOBS}:"]
    host.minirun("images")
    assert host.sh(f"ls {LAYERS} {_BLOBS}").split() == [f"{_BLOBS}:", f"{LAYERS}:"]
    assert host.minirun("load", "-i", "/run/whole.tar").stdout == "Loaded image: busybox:latest\n"


def test_no_room_leaves_nothing(host: Host) -> None:
    host.sh("mkdir /run/small; mount -t tmpfs -o size=3m small /run/small")
    files = packed(layout([archive(("a", "x" * 9_000_000))]))
    done = host.minirun("--root", "/run/small", "load", input=files, text=False, check=False)
    assert b"No space left on device" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert host.sh("ls /run/small/layers /run/small/blobs 2>/dev/null", check=False).split() in (
        [],
        ["/run/small/layers:", "/run/small/blobs:"],
    )
