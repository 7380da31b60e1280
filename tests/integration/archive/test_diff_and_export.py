"""diff and export: what they show of a container, its volumes and its read-only root."""

import io
import tarfile

import pytest

from tests.harness.host import MINIRUN
from tests.integration.archive.box import STATES, Box


def test_volumes_are_seen_by_cp_and_not_by_export(box: Box) -> None:
    host = box.host
    host.sh("mkdir /run/data; echo v > /run/data/v; echo f > /run/data-file")
    words = ["run", "-d", "--name", "vol", "--net=none", "-v", "/run/data:/data", "-v", "/run/data-file:/file"]
    host.minirun(*words, "busybox", "sleep", "1000")
    assert box.cp("vol:/data", "/run/w/data").returncode == 0
    assert box.cp("/run/w/data/v", "vol:/data/w").returncode == 0
    assert box.tree("/run/data") == {"v": "v\n", "w": "v\n"}
    data = host.run([MINIRUN, "export", "vol"], text=False).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = tar.getnames()
        assert tar.getmember("file").size == 0
    assert "data" in names
    assert not [name for name in names if name.startswith(("data/", "proc/", "sys/", "dev/"))]
    host.minirun("rm", "-f", "vol")


@pytest.mark.parametrize("state", STATES)
def test_diff(box: Box, state: str) -> None:
    assert box.host.minirun("diff", "box").stdout == ""
    box.inside(
        "touch -d '2001-02-03 04:05:06' /etc/group; rm /etc/shadow; mkdir /new; echo x > /new/x; chmod 711 /root;"
        " rm -r /etc/network; mkdir /etc/network; echo y > /etc/network/y; mkdir /etc/network/if-up.d; rm -r /var;"
        " echo > /tmp/gone; rm /tmp/gone; rm /bin/ash; ln -s sh /bin/ash; cat /etc/services > /etc/services2;"
        " chmod 755 /etc; echo changed > /etc/hosts"
    )
    if state == "stopped":
        box.stop()
    assert box.host.minirun("diff", "box").stdout.splitlines() == [
        "C /bin",
        "C /bin/ash",
        "C /etc",
        "C /etc/group",
        "C /etc/network",
        "D /etc/network/if-down.d",
        "D /etc/network/if-post-down.d",
        "D /etc/network/if-pre-up.d",
        "A /etc/network/y",
        "A /etc/services2",
        "D /etc/shadow",
        "A /new",
        "A /new/x",
        "C /root",
        "D /var",
    ]


@pytest.mark.parametrize("state", STATES)
def test_export(box: Box, state: str) -> None:
    box.inside("mkdir /new; echo x > /new/x; rm /etc/shadow; ln /new/x /new/y; mkfifo /new/fifo")
    if state == "stopped":
        box.stop()
    box.host.sh(
        f"{MINIRUN} export box | tar -x -C /run/w; {MINIRUN} export -o /run/box.tar box;"
        " tar t < /run/box.tar > /run/list"
    )
    assert {"new/x": "x\n", "new/y": "x\n", "new/fifo": "p"}.items() <= box.tree("/run/w").items()
    assert not box.tree("/run/w").keys() & {"etc/shadow", "dev/null", "proc/1"}
    assert box.tree("/run/w").keys() >= {"dev", "proc", "sys", "tmp", "etc/hosts", "bin/busybox", ".dockerenv"}
    listed = box.host.sh("cat /run/list").splitlines()
    assert "new/x" in listed
    assert not [name for name in listed if name.startswith(("/", "./"))]
    assert (
        box.host.sh("stat -c %a /run/box.tar; stat -c %h /run/w/new/x; ls /run/*.part 2>/dev/null", check=False)
        == "600\n2\n"
    )
    done = box.host.minirun("export", "-o", "/nope/x", "box", check=False)
    assert (done.returncode, 'directory "/nope" does not exist' in done.stderr) == (1, True)
    done = box.host.minirun("export", "-o", "/run", "box", check=False)
    assert done.returncode == 1
