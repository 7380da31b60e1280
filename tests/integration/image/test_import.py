"""Import: the tree is kept, bad archives are refused, and nothing is left of an import that fails."""

import json
import subprocess
import sys
import tarfile
from typing import Any

import pytest

from tests.harness import Host, eventually
from tests.harness.host import MINIRUN
from tests.integration.image.image_tools import LAYERS, archive, import_, inspect, refused, run, special

_INSIDE = special("run/outside", tarfile.DIRTYPE)


def test_a_container_has_what_its_image_says(crowded: Host) -> None:
    changes = [
        *('ENTRYPOINT ["/bin/sh", "-c"]', 'CMD ["echo $A $B $(pwd) $(id -u)"]', "ENV A=1 B=2", "WORKDIR /opt/new"),
        *("USER 1234", "LABEL l=image", "EXPOSE 80", "STOPSIGNAL SIGUSR1"),
        "HEALTHCHECK --interval=1s --retries=7 CMD true",
    ]
    crowded.image("said", ":", *(word for line in changes for word in ("-c", line)))
    assert run(crowded, "said").stdout == "1 2 /opt/new 1234\n"
    assert run(crowded, "-e", "A=x", "-e", "B", "-w", "/", "-u", "0", "said").stdout == "x / 0\n"
    assert run(crowded, "said", "echo other").stdout == "other\n"
    assert run(crowded, "--entrypoint", "echo", "said", "$A").stdout == "$A\n"
    assert run(crowded, "--entrypoint", "", "said", "echo", "plain").stdout == "plain\n"
    done = run(crowded, "--entrypoint", "", "said", check=False)
    assert (done.returncode, "no command specified" in done.stderr) == (125, True)
    crowded.minirun("run", "-d", "--name", "saying", "-P", "--health-timeout", "9s", "said", "exec sleep 100")
    found = json.loads(crowded.minirun("inspect", "saying").stdout)[0]
    config = found["Config"]
    assert (config["Entrypoint"], config["Cmd"]) == (["/bin/sh", "-c"], ["exec sleep 100"])
    assert (config["Labels"], config["StopSignal"], found["Image"]) == (
        {"l": "image"},
        "SIGUSR1",
        inspect(crowded, "said")["Id"],
    )
    health = config["Healthcheck"]
    assert (health["Interval"], health["Timeout"], health["Retries"]) == (10**9, 9 * 10**9, 7)
    assert crowded.minirun("port", "saying", "80").stdout.startswith("0.0.0.0:")
    crowded.minirun("rm", "-f", "saying")
    crowded.minirun("create", "--name", "unchecked", "--no-healthcheck", "said")
    assert "Healthcheck" not in json.loads(crowded.minirun("inspect", "unchecked").stdout)[0]["Config"]
    crowded.minirun("rm", "unchecked")


def test_export_and_import_keep_the_tree(crowded: Host) -> None:
    make = (
        "mkdir /d; echo one > /d/a; ln /d/a /d/b; ln -s ../etc /d/link; mkfifo /d/fifo; chown 12:34 /d/a /d;"
        " chmod 4711 /d/a; touch -d @1000000000 /d /d/a; rm /etc/passwd"
    )
    crowded.minirun("run", "--name", "source", "--net=none", "busybox", "sh", "-c", make)
    show = [
        "sh",
        "-c",
        "stat -c '%n %F %a %u %g %h %Y' /d /d/a /d/fifo; readlink /d/link; cat /d/b; ls /etc/passwd 2>&1",
    ]
    seen = {}
    for suffix, module in (("", ""), (".gz", "gzip"), (".bz2", "bz2"), (".xz", "lzma"), (".zst", "backports.zstd")):
        # Not the programs of those names: a small machine has none.
        packer = f"import sys, {module} as packed; sys.stdout.buffer.write(packed.compress(sys.stdin.buffer.read()))"
        pipe = f'{sys.executable} -c "{packer}"' if module else "cat"
        crowded.sh(f'"{MINIRUN}" export source | {pipe} > /run/packed{suffix}')
        printed = crowded.minirun("import", f"/run/packed{suffix}", "copy:x").stdout
        assert printed == inspect(crowded, "copy:x")["Id"] + "\n"
        seen[suffix] = run(crowded, "copy:x", *show, check=False).stdout
    assert set(seen.values()) == {seen[""]}
    assert "/d/a regular file 4711 12 34 2 1000000000" in seen[""]
    assert "/d directory 755 12 34 2 1000000000" in seen[""]
    assert seen[""].splitlines()[2:] == [
        *("/d/fifo fifo 644 0 0 1 " + seen[""].splitlines()[2].split()[-1], "../etc", "one"),
        "ls: /etc/passwd: No such file or directory",
    ]
    crowded.minirun("rm", "source")
    crowded.minirun("image", "prune", "-f")
    images = crowded.minirun("images", "-q").stdout.split()
    diff_ids = {diff_id for image in images for diff_id in inspect(crowded, image)["RootFS"]["Layers"]}
    assert len(diff_ids) == len(crowded.sh(f"ls {LAYERS}").split())


def test_what_cannot_be_imported(crowded: Host) -> None:
    whole = archive(("a", "1" * 5000), ("b", "2"))
    before = crowded.sh(f"ls {LAYERS}"), crowded.minirun("images", "-aq").stdout
    for data, says in (
        (b"no archive at all" * 99, "the archive cannot be read"),
        (whole[:3000], "the archive cannot be read"),
        (whole[:6656], "cut off"),  # between two entries
        (whole[:6656] + b"x" * 512 + whole[6656:], "cut off"),
        (b"\x28\xb5\x2f\xfd" + bytes(99), "the archive cannot be read"),
        (b"\x1f\x8b" + bytes(99), "the archive cannot be read"),
    ):
        done = import_(crowded, data)
        assert done.returncode == 1
        assert says in done.stderr.decode(), data[:20]
        assert done.stderr.count(b"\n") <= 2
    assert "fetches nothing" in refused(crowded, "import", "http://192.0.2.1/x.tar")
    assert "open /run/nope: no such file" in refused(crowded, "import", "/run/nope")
    assert "invalid reference format" in refused(crowded, "import", "/run/nope", "UPPER")
    assert "not a valid change command" in refused(crowded, "import", "/run/nope", "-c", "FROM x")
    assert "operating system is not supported" in refused(crowded, "import", "--platform", "windows", "/run/nope")
    assert (crowded.sh(f"ls {LAYERS}"), crowded.minirun("images", "-aq").stdout) == before


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([("../../../../run/outside/x", "1")], "outside"),
        ([_INSIDE, special("out", tarfile.SYMTYPE, "/run/outside"), ("out/x", "1")], ""),
        ([_INSIDE, special("out", tarfile.SYMTYPE, "../../../../../run/outside"), ("out/x", "1")], ""),
        ([special("out", tarfile.SYMTYPE, "/run/outside"), ("out/x", "1")], "ile exists"),
        ([special("x", tarfile.LNKTYPE, "../../state.db")], "outside"),
        (
            [special("s", tarfile.SYMTYPE, "/var/lib"), special("x", tarfile.LNKTYPE, "s/minirun/state.db")],
            "o such file",
        ),
        ([special("d", tarfile.DIRTYPE, **{"SCHILY.xattr.trusted.overlay.redirect": "/../../.."}), ("d/f", "1")], ""),
    ],
)
def test_a_hostile_archive_stays_in_its_layer(crowded: Host, entries: list[Any], says: str) -> None:
    crowded.sh("mkdir -p /run/outside /run/outside/below")
    done = import_(crowded, archive(*entries), "hostile")
    assert (done.returncode != 0) == bool(says), done.stderr
    assert says in done.stderr.decode()
    assert crowded.sh("ls /run/outside") == "below\n"
    if not says:
        top = inspect(crowded, "hostile")["GraphDriver"]["Data"]["UpperDir"]
        assert crowded.sh(f"cd {top}; cat run/outside/x d/f 2>/dev/null", check=False) == "1"
        assert (
            "overlay"
            not in crowded.run([sys.executable, "-c", f"import os; print(os.listxattr('{top}/d'))"], check=False).stdout
        )


def test_an_image_for_another_platform_is_told_of(crowded: Host) -> None:
    crowded.image("foreign", ":", "--platform", "linux/s390x")
    done = run(crowded, "foreign", "true")
    assert done.stderr.startswith(
        "WARNING: The requested image's platform (linux/s390x) does not match the detected host"
    )
    assert run(crowded, "--platform", "linux/s390x", "foreign", "true").stderr == ""
    assert "Unable to find image 'foreign:latest' locally" in refused(
        crowded, "run", "--platform", "linux/arm64", "foreign", "true"
    )


def test_a_device_of_an_image_cannot_be_opened(crowded: Host) -> None:
    crowded.image("devices", "mknod disk b 254 0; mknod gone c 0 0")
    done = run(crowded, "devices", "sh", "-c", "ls -l /disk; head -c1 /disk", check=False)
    assert "254,   0" in done.stdout
    assert "ermission denied" in done.stderr


def test_an_import_that_is_killed_is_swept(host: Host) -> None:
    host.sh("mkfifo /run/pipe")
    with open(f"/proc/{host.pid}/root/run/pipe", "r+b", buffering=0) as pipe:
        importing = host.popen([MINIRUN, "import", "/run/pipe", "never"], stdout=subprocess.PIPE)
        pipe.write(archive(("a", "1" * 9000))[:9728])
        place = eventually(lambda: host.sh(f"ls {LAYERS} 2>/dev/null", check=False).strip())
        host.minirun("images")
        assert host.sh(f"ls {LAYERS}").strip() == place  # it is being made
        importing.kill()
        importing.wait()
    eventually(lambda: host.minirun("images") and host.sh(f"ls {LAYERS}") == "")


def test_no_room_leaves_nothing(host: Host) -> None:
    host.sh(
        "mkdir /run/small; mount -t tmpfs -o size=3m small /run/small;"
        " head -c 9000000 /dev/urandom > /run/big; tar -C /run -cf /run/big.tar big"
    )
    says = refused(host, "--root", "/run/small", "import", "/run/big.tar", "big")
    assert "No space left on device" in says
    assert len(says.splitlines()) == 1
    assert host.sh("ls /run/small/layers") == ""
    assert host.minirun("--root", "/run/small", "images", "-q").stdout == ""
