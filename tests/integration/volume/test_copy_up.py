"""An empty volume is filled from the image: whole or not at all, and never through a link."""

import subprocess
import sys

import pytest

from tests.harness import Host, eventually
from tests.harness.fault_sweep import Done, sweep_faults
from tests.harness.host import MINIRUN
from tests.integration.volume.volume_tools import STATE, layer, names, run

_RICH = """
mkdir -p srv/data/sub/deeper && cd srv/data && echo one > one && ln one sub/two && ln -s /etc/shadow link
ln -s nowhere dangling && mkfifo fifo && mknod node c 1 3 && chown 12:34 one && chmod 4755 one && chmod 2711 sub
truncate -s 64M sparse && setfattr -n user.note -v kept one 2>/dev/null; touch -d 2001-02-03 sub/deeper
chown 7:8 . && chmod 1770 .
"""


_LOOK = """
cd $0 && find . | sort | while read f; do stat -c '%n %F %a %u:%g %h %s' $f; done | grep -v directory
ls -ld . | cut -c1-10; stat -c '%a %u:%g' . sub; stat -c %Y sub/deeper; readlink link dangling
[ one -ef sub/two ] && echo linked; du -k sparse
"""


def test_an_empty_volume_takes_over_what_the_image_has(crowded: Host) -> None:
    crowded.image("rich", _RICH)
    rich = layer(crowded, "rich")
    there = crowded.run(["sh", "-c", _LOOK, f"{rich}/srv/data"]).stdout
    run(crowded, "-v", "up:/srv/data", "rich", "ls -ld /srv/data > /srv/data/seen")
    assert crowded.sh(f"cat {STATE}/volumes/up/_data/seen; rm {STATE}/volumes/up/_data/seen").startswith("drwxrwx--T")
    place = f"{STATE}/volumes/up/_data"
    assert crowded.run(["sh", "-c", _LOOK, place]).stdout == there
    assert "linked" in there
    assert "1770 7:8" in there
    assert crowded.sh(f"ls -A {STATE}/volumes/up") == "_data\n"
    read = f"import os; print(os.getxattr('{place}/one', 'user.note'))"
    made = f"import os; os.setxattr('{rich}/srv/data/one', 'user.note', b'kept')"
    crowded.minirun("volume", "rm", "up")
    crowded.run([sys.executable, "-c", made])
    run(crowded, "--mount", "src=up,dst=/srv/data", "rich", "true")
    assert crowded.run([sys.executable, "-c", read]).stdout == "b'kept'\n"
    # What is in it stays: no second filling, neither by another image nor after it was emptied and started again.
    assert "passwd" not in run(crowded, "-v", "up:/etc", "busybox", "ls /etc")
    crowded.minirun("volume", "rm", "up")
    assert run(crowded, "-v", "up:/srv/data:nocopy", "rich", "ls /srv/data") == ""
    crowded.minirun("run", "--net=none", "--name", "again", "-v", "fresh:/etc", "busybox", "rm", "-r", "/etc/network")
    crowded.minirun(
        "run", "--net=none", "--name", "bare", "-v", "bare:/srv/data", "rich", "sh", "-c", "rm -rf /srv/data/*"
    )
    crowded.minirun("start", "-a", "bare")
    assert crowded.sh(f"ls {STATE}/volumes/bare/_data") == ""
    crowded.minirun("rm", "again", "bare")
    crowded.minirun("volume", "rm", "up", "fresh", "bare")


def test_it_is_filled_at_the_creation(crowded: Host) -> None:
    crowded.minirun("create", "--name", "early", "-v", "early:/etc", "busybox", "true")
    assert "passwd" in run(crowded, "-v", "early:/x", "busybox", "ls /x")
    crowded.minirun("rm", "early")
    crowded.minirun("volume", "rm", "early")


def test_a_hostile_image_is_not_followed(crowded: Host) -> None:
    crowded.sh("mkdir -p /run/secret /run/escape && echo secret > /run/secret/key")
    crowded.image(
        "hostile",
        "ln -s /run/secret target; ln -s ../../../../../../run/secret up; mkdir tree; ln -s /run/secret tree/out;"
        " ln -s /run/secret/key tree/key; mkdir -p run/secret; echo own > run/secret/own; mkfifo pipe;"
        " ln -s loop loop; d=tree; for i in $(seq 300); do d=$d/dddddddddddddddd; done; mkdir -p $d",
    )
    for target in ("/target", "/up"):
        assert run(crowded, "-v", "trap:" + target, "hostile", f"ls {target}/ /run/secret") == (
            f"/run/secret:\nown\n\n{target}/:\nown\n"
        )
        crowded.minirun("volume", "rm", "trap")
    assert run(
        crowded, "-v", "trap:/tree", "hostile", "readlink /tree/out; readlink /tree/key; cat /tree/key 2>&1; true"
    ) == ("/run/secret\n/run/secret/key\ncat: can't open '/tree/key': No such file or directory\n")
    deepest = crowded.sh(f"cd {STATE}/volumes/trap/_data && find . -type d -name 'd*' | wc -l")
    assert deepest == "300\n"
    crowded.minirun("volume", "rm", "trap")
    for target in ("/pipe", "/loop", "/loop/x"):
        done = crowded.minirun("run", "--rm", "--net=none", "-v", f"trap:{target}", "hostile", "true", check=False)
        assert done.returncode == 125, (target, done.stderr)
    assert crowded.sh("ls -A /run/secret /run/escape; rm -r /run/secret /run/escape") == (
        "/run/escape:\n\n/run/secret:\nkey\n"
    )
    crowded.minirun("volume", "rm", "trap")


def test_a_killed_filling_is_done_anew(crowded: Host) -> None:
    """All of it or nothing is in the volume, also when the copying process and its command are killed at once."""
    crowded.image("many", "mkdir many; cd many; seq 30000 | xargs touch")
    words = [MINIRUN, "run", "--rm", "--net=none", "-v", "many:/many", "many", "true"]
    process = crowded.popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    filling = f"{STATE}/volumes/many/.minirun-filling/tree"
    eventually(lambda: crowded.sh(f"ls {filling} 2>/dev/null | head -1; true"), 20)
    crowded.sh("pkill -9 -f '[m]any:/many'; true", check=False)
    process.wait(20)
    assert crowded.sh(f"ls {STATE}/volumes/many/_data") == ""
    assert crowded.sh(f"ls {filling} | wc -l") != "30000\n"
    assert run(crowded, "-v", "many:/many", "many", "ls /many | wc -l", timeout=60) == "30000\n"
    assert crowded.sh(f"ls -A {STATE}/volumes/many") == "_data\n"
    # Killed while the copy was being moved in: the rest follows, and what a container wrote meanwhile stays.
    crowded.sh(
        f"cd {STATE}/volumes/many && mkdir .minirun-filled && mv _data/1* .minirun-filled/ && echo own > _data/12"
    )
    assert run(crowded, "-v", "many:/many", "many", "ls /many | wc -l; cat /many/12", timeout=60) == "30000\nown\n"
    assert crowded.sh(f"ls -A {STATE}/volumes/many") == "_data\n"
    crowded.minirun("volume", "rm", "many")
    assert crowded.minirun("ps", "-aq", "-f", "ancestor=many").stdout == ""


def test_two_fill_at_once(crowded: Host) -> None:
    words = [MINIRUN, "run", "--rm", "--net=none", "-v", "both:/bin", "busybox", "sh", "-c", "ls /bin | wc -l"]
    running = [crowded.popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(6)]
    results = {process.communicate(timeout=60) for process in running}
    assert len(results) == 1, results
    assert int(results.pop()[0]) > 200
    crowded.minirun("volume", "rm", "both")


@pytest.mark.parametrize(("how", "stride"), [("fail", 9), ("kill", 5)])
def test_a_fault_at_any_step_leaves_a_whole_volume_or_none(primed: Host, how: str, stride: int) -> None:
    words = ["run", "--rm", "--net=none", "-v", "whole:/bin", "-v", "/anon", "busybox", "true"]
    wanted = primed.sh(f"ls -A {layer(primed, 'busybox')}/bin")

    def check(_: Done) -> None:
        assert run(primed, "-v", "whole:/x", "busybox", "ls -A /x") in ("", wanted)
        assert names(primed) == ["whole"]
        primed.minirun("volume", "rm", "whole")
        assert primed.sh(
            f"ls -A {STATE}/volumes {STATE}/containers; ls -d {STATE}/removed 2>/dev/null; true"
        ).split() == [
            f"{STATE}/containers:",
            f"{STATE}/volumes:",
        ]

    sweep_faults(primed, how, words, check, least=31, stride=stride)
