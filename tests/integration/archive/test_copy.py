"""cp: what it means, and that a hostile tree leads it nowhere else."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness import Host, eventually
from tests.harness.host import MINIRUN, REPO
from tests.harness.tar_archives import tar_of
from tests.integration.archive.box import STATES, Box

# The table of https://docs.docker.com/reference/cli/docker/container/cp/: options, source, destination, and what is
# new at the destination, or the start of the error.
_MAKE = (
    "mkdir -p d/sub into; echo -n f > f; echo -n in > d/in; echo -n deep > d/sub/deep; echo -n old > old;"
    " ln -s d link; ln -s f flink; ln -s into tointo; ln -s old toold; ln -s fresh dangling"
)


_D = {"in": "in", "sub": "/", "sub/deep": "deep"}


def _below(name: str, found: dict[str, str]) -> dict[str, str]:
    return {name: "/", **{f"{name}/{path}": what for path, what in found.items()}}


CASES: list[tuple[str, str, str, dict[str, str] | str]] = [
    ("", "f", "new", {"new": "f"}),
    ("", "f", "new/", "no such directory"),
    ("", "f", "old", {"old": "f"}),
    ("", "f", "old/", "not a directory"),
    ("", "f", "into", {"into/f": "f"}),
    ("", "f", "into/", {"into/f": "f"}),
    ("", "f", "into/.", {"into/f": "f"}),
    ("", "f", "missing/new", "missing"),
    ("", "d", "new", _below("new", _D)),
    ("", "d", "new/", _below("new", _D)),
    ("", "d/.", "new", _below("new", _D)),
    ("", "d", "old", "cannot copy directory"),
    ("", "d", "into", _below("into/d", _D)),
    ("", "d/", "into", _below("into/d", _D)),
    ("", "d/.", "into", {f"into/{path}": what for path, what in _D.items()}),
    ("", "d", "missing/new", "missing"),
    ("", "nope", "new", "nope"),
    ("", "f/", "new", "not a directory"),
    ("", "flink", "new", {"new": "-> f"}),
    ("-L", "flink", "new", {"new": "f"}),
    ("-L", "flink", "into", {"into/flink": "f"}),
    ("", "link", "into", {"into/link": "-> d"}),
    ("", "link/", "into", _below("into/link", _D)),
    ("", "link/.", "into", {f"into/{path}": what for path, what in _D.items()}),
    ("-L", "link", "into", _below("into/link", _D)),
    ("", "f", "tointo", {"into/f": "f"}),
    ("", "f", "toold", {"old": "f"}),
    ("", "f", "dangling", {"fresh": "f"}),
]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("direction", ["in", "out"])
def test_what_the_documentation_says(box: Box, state: str, direction: str) -> None:
    count = len(CASES)
    source, target = ("/run/w/", "/t/") if direction == "in" else ("/t/", "/run/w/")
    box.inside(f"for i in $(seq 0 {count}); do mkdir -p /t/$i; cd /t/$i; {_MAKE}; done")
    box.host.sh(f"for i in $(seq 0 {count}); do mkdir -p /run/w/$i; cd /run/w/$i; {_MAKE}; done")
    if state == "stopped":
        box.stop()
    seen = box.upper + "/t" if direction == "in" else "/run/w"
    before = box.tree(f"{seen}/{count}")
    for index, (options, here, there, expected) in enumerate(CASES):
        case = f"{options} {here} {there}"
        words = [f"{source}{index}/{here}", f"{target}{index}/{there}"]
        words[0 if direction == "out" else 1] = f"box:{words[0 if direction == 'out' else 1]}"
        done = box.cp(*options.split(), *words)
        after = box.tree(f"{seen}/{index}")
        if isinstance(expected, str):
            assert (done.returncode, after) == (1, before), (case, done.stderr)
            assert expected in done.stderr, case
        else:
            assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), case
            assert {path: what for path, what in after.items() if before.get(path) != what} == expected, case


def test_words_of_the_command_line(box: Box) -> None:
    for words, message in (
        (("box:/etc", "box:/tmp"), "copying between containers is not supported"),
        (("/etc", "/tmp"), "must specify at least one container source"),
        (("./box:/etc", "/tmp"), "must specify at least one container source"),
        (("", "box:/tmp"), "source can not be empty"),
        (("box:/etc", ""), "destination can not be empty"),
        (("nobody:/etc", "/tmp"), "No such container: nobody"),
        (("box:/nope", "/run"), "Could not find the file /nope in container box"),
        (("box:nope/x", "/run"), "Could not find the file nope/x in container box"),
        (("/etc/passwd", "box:/nope/x"), "Could not find the file /nope in container box"),
        (("/nope", "box:/"), "lstat /nope: no such file or directory"),
        (("box:/etc", "/nope/x"), 'invalid output path: directory "/nope" does not exist'),
        (("-", "box:/etc/passwd"), 'destination "box:/etc/passwd" must be a directory'),
        (("-", "box:/nope"), 'destination "box:/nope" must be a directory'),
        (("/etc/passwd", "box:/dev/null"), "must be a directory or a regular file: got a device"),
    ):
        done = box.cp(*words)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert message in done.stderr, words
    box.host.sh("cd /run/w && echo colon > a:b && mkdir -p etc")
    assert box.cp("./a:b", "box:tmp/", cwd=None).returncode == 1  # no such file where the test runs
    assert box.cp("/run/w/a:b", "box:tmp").returncode == 0
    assert box.inside("cat /tmp/a:b") == "colon\n"


def test_owner_mode_and_time(box: Box) -> None:
    make = (
        "mkdir d; echo x > d/f; chown -R 1234:2345 d; chmod 4751 d/f; touch -d '2001-02-03 04:05:06' d/f d; chmod 750 d"
    )
    show = "cd {} && stat -c '%n %u:%g %a %Y' d d/f"
    box.host.sh(f"cd /run/w && {make}")
    box.inside(f"cd /tmp && {make}")
    stamp = 981173106
    for option, owner in (("-q", "0:0"), ("-a", "1234:2345")):
        box.inside("rm -rf /in; mkdir /in")
        box.host.sh("rm -rf /run/out; mkdir /run/out")
        assert box.cp(option, "/run/w/d", "box:/in").returncode == 0
        assert box.inside(show.format("/in")) == f"d {owner} 750 {stamp}\nd/f {owner} 4751 {stamp}\n"
        assert box.cp(option, "box:/tmp/d", "/run/out").returncode == 0
        assert box.host.sh(show.format("/run/out")) == f"d {owner} 750 {stamp}\nd/f {owner} 4751 {stamp}\n"


def test_any_bytes_any_names_any_size(box: Box) -> None:
    script = (
        "import os; os.makedirs(b'/run/w/d/\\xff\\xfe'); os.chdir(b'/run/w/d')\n"
        "for n in (b'a b', b'new\\nline', b'\\xff\\xfe/x', 'ümläut'.encode(), b'-r', b'n' * 255):\n"
        "    open(n, 'wb').write(os.urandom(3000))\n"
        "open('big', 'wb').write(os.urandom(3 << 20)); open('empty', 'wb')"
    )
    box.host.run([sys.executable, "-c", script])
    assert box.cp("/run/w/d", "box:/d").returncode == 0
    assert box.cp("box:/d", "/run/w/back").returncode == 0
    box.host.sh("diff -r /run/w/d /run/w/back && test $(find /run/w/back -type f -printf x | wc -c) = 8")
    box.stop()
    assert box.cp("box:/d", "/run/w/again").returncode == 0
    box.host.sh("diff -r /run/w/d /run/w/again")


def test_a_tree_deeper_than_a_path_can_be_long(box: Box) -> None:
    deep = "import os\nfor _ in range(1200): os.mkdir('deeper'); os.chdir('deeper')\nopen('end', 'w').write('x')"
    count = "import os\nn = 0\nwhile os.path.isdir('deeper'): os.chdir('deeper'); n += 1\nprint(n, open('end').read())"
    box.host.sh("mkdir /run/w/d")
    box.host.run(["sh", "-c", f'cd /run/w/d && exec {sys.executable} -c "$0"', deep])
    assert box.cp("/run/w/d", "box:/d").returncode == 0
    assert box.cp("box:/d", "/run/w/back").returncode == 0
    assert box.host.run(["sh", "-c", f'cd /run/w/back && exec {sys.executable} -c "$0"', count]).stdout == "1200 x\n"
    assert len(box.host.minirun("diff", "box").stdout.splitlines()) == 1202
    assert box.host.run([MINIRUN, "export", "box"], text=False).stdout.count(b"deeper/end") == 1


@pytest.mark.parametrize("state", STATES)
def test_a_symlink_leads_where_the_container_would_see_it(box: Box, state: str) -> None:
    box.host.sh("mkdir /run/secret; echo secret > /run/secret/s; echo mine > /run/w/mine")
    box.inside(
        "ln -s /run/secret/s /file; ln -s /run/secret /dir; ln -s ../../../../run/secret /up; ln -s /etc/passwd /pw;"
        " mkdir /tree; ln -s /run/secret /tree/sub; ln -s /run/secret/new /new"
    )
    if state == "stopped":
        box.stop()
    for words in (["-L", "box:/file"], ["box:/dir/s"], ["box:/dir/"], ["box:/up/s"], ["-L", "box:/up"], ["box:/dir/."]):
        done = box.cp(*words, "/run/w/got")
        assert done.returncode == 1, words
        assert "Could not find the file" in done.stderr
        assert "got" not in box.tree("/run/w")
    assert box.cp("box:/file", "/run/w/got").returncode == 0
    assert box.cp("box:/tree", "/run/w/tree").returncode == 0
    assert box.tree("/run/w") == {
        "mine": "mine\n",
        "got": "-> /run/secret/s",
        "tree": "/",
        "tree/sub": "-> /run/secret",
    }
    for target in ("/file", "/dir/s", "/up/s", "/new", "/dir/", "/tree/sub/x"):
        assert box.cp("/run/w/mine", f"box:{target}").returncode == 1, target
    assert box.cp("/run/w/mine", "box:/pw").returncode == 0
    assert box.tree("/run/secret") == {"s": "secret\n"}
    assert "mine" not in box.host.sh("cat /etc/passwd")
    assert box.tree(box.upper)["etc/passwd"] == "mine\n"


def test_a_link_in_the_users_own_directory_is_not_followed_below_the_destination(box: Box) -> None:
    box.inside("mkdir -p /t/d; echo x > /t/d/x; echo f > /t/f")
    box.host.sh(
        "mkdir /run/w/to /run/else; echo kept > /run/else/f; ln -s /run/else /run/w/to/d; ln -s /run/else/f /run/w/to/f"
    )
    done = box.cp("box:/t/d", "/run/w/to")
    assert done.returncode == 1
    assert 'cannot overwrite non-directory "/run/w/to/d" with directory' in done.stderr
    assert box.cp("box:/t/f", "/run/w/to/").returncode == 0  # the link is replaced
    assert box.tree("/run/else") == {"f": "kept\n"}
    assert box.tree("/run/w/to") == {"d": "-> /run/else", "f": "f\n"}


@pytest.mark.parametrize("what", ["read", "write", "tree"])
def test_a_path_that_is_swapped_all_the_time(box: Box, what: str) -> None:
    """CVE-2018-15664: between a look and a use, a directory becomes a symlink to the host's."""
    box.host.sh(
        "mkdir -p /run/secret/sub; echo secret > /run/secret/x; echo secret > /run/secret/sub/x;"
        " echo mine > /run/w/mine"
    )
    box.inside(
        "mkdir -p /t/real/sub; echo inside > /t/real/x; echo inside > /t/real/sub/x; ln -s /run/secret /t/evil;"
        " mv /t/real /t/p"
    )
    swap = "cd /t; while :; do mv p real; mv evil p; mv p evil; mv real p; done"
    loop = box.host.popen([MINIRUN, "exec", "box", "sh", "-c", swap], stderr=subprocess.DEVNULL)
    worked = 0
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        if what == "write":
            worked += box.cp("/run/w/mine", "box:/t/p/mine").returncode == 0
        else:
            box.host.sh("rm -rf /run/w/got")
            worked += box.cp("box:/t/p/x" if what == "read" else "box:/t", "/run/w/got").returncode == 0
            assert "secret\n" not in box.tree("/run/w").values()
    box.host.minirun("exec", "box", "sh", "-c", "kill -9 -1", check=False)
    loop.wait(5)
    assert worked
    assert box.tree("/run/secret") == {"x": "secret\n", "sub": "/", "sub/x": "secret\n"}


def test_no_device_is_made_on_the_host(box: Box) -> None:
    box.inside("mkdir /t; cd /t; mknod block b 8 0; mknod char c 1 1; mkfifo fifo; echo x > file")
    done = box.cp("box:/t", "/run/w/t")
    assert done.returncode == 0
    assert box.tree("/run/w/t") == {"file": "x\n", "fifo": "p"}
    assert "block is a device" in done.stderr
    assert "char is a device" in done.stderr
    done = box.cp("box:/t/char", "/run/w/char")
    assert done.returncode == 1
    assert "is a device" in done.stderr
    assert "char" not in box.tree("/run/w")
    assert box.cp("box:/dev", "/run/w/dev").returncode == 0
    assert box.tree("/run/w/dev") == {}


def test_holes_hard_links_and_sockets(box: Box) -> None:
    listen = "import socket; socket.socket(socket.AF_UNIX).bind('/run/w/d/socket')"
    box.host.sh(
        "mkdir /run/w/d; cd /run/w/d; truncate -s 300M hole; echo end >> hole; echo x > a; ln a b; ln a c;"
        " ln -s a s; ln -P s t; mkfifo p; ln p q"
    )
    box.host.run([sys.executable, "-c", listen])
    assert box.cp("/run/w/d", "box:/d", timeout=60).returncode == 0
    assert box.cp("box:/d", "/run/w/back", timeout=60).returncode == 0
    size, blocks = box.host.sh("stat -c '%s %b' /run/w/back/hole").split()
    assert (int(size), int(blocks) < 1000) == (300 * 2**20 + 4, True)
    assert box.host.sh("cd /run/w/back; tail -c 4 hole; stat -c %h a s p; ls").split() == [
        "end", "3", "2", "2", "a", "b", "c", "hole", "p", "q", "s", "t",
    ]  # fmt: skip


def test_a_full_disk_on_either_side(box: Box) -> None:
    box.host.sh(
        "mkdir /run/small; mount -t tmpfs -o size=64k small /run/small;"
        " head -c 1000000 /dev/zero | tr '\\0' x > /run/w/big"
    )
    assert box.cp("/run/w/big", "box:/big").returncode == 0
    done = box.cp("box:/big", "/run/small/big")
    box.host.sh("umount /run/small")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr


_READ_ONLY = f"""
import sys; sys.path.insert(0, {str(REPO)!r})
from dataclasses import replace; from pathlib import Path; from minirun.store import Store
store = Store(Path("/var/lib/minirun"))
box = store.find_containers("box")[0]
store.set_spec(box.id, replace(box.spec, read_only=True))
"""


@pytest.mark.parametrize("state", STATES)
def test_a_read_only_root(box: Box, state: str) -> None:
    """By its record: whether the mount is read-only, too, is another's to see to."""
    box.host.run([sys.executable, "-c", _READ_ONLY])
    box.host.sh("echo x > /run/w/x")
    if state == "stopped":
        box.stop()
    done = box.cp("/run/w/x", "box:/x")
    assert done.returncode == 1
    assert "container rootfs is marked read-only" in done.stderr
    assert "x" not in box.tree(box.upper)
    assert box.cp("/run/w/x", "box:/dev/shm/x").returncode == (0 if state == "running" else 1)
    assert box.cp("box:/etc/passwd", "/run/w/passwd").returncode == 0


def test_two_at_once_into_a_stopped_container(box: Box) -> None:
    """An overlay must not be mounted twice for writing: they take turns. Reading needs no turn."""
    box.stop()
    box.host.sh("mkfifo /run/w/fifo; head -c 3000000 /dev/urandom > /run/w/big")
    first = box.host.popen(["sh", "-c", f"{MINIRUN} cp - box:/ < /run/w/fifo"], stderr=subprocess.DEVNULL)
    with open(f"/proc/{box.host.pid}/root/run/w/fifo", "wb") as fifo:
        fifo.write(tar_of(("x", "file", "x")))
        fifo.flush()
        assert eventually(lambda: _chrooted(box.host))
        second = box.host.popen([MINIRUN, "cp", "/run/w/big", "box:/big"], stderr=subprocess.PIPE)
        assert box.cp("box:/etc/passwd", "/run/w/passwd").returncode == 0
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(0.5)
    assert first.wait(5) == 0
    assert second.wait(5) == 0
    box.host.sh(f"cmp /run/w/big {box.upper}/big; test -f {box.upper}/x")


def test_the_helper_has_no_more_rights_than_the_container(box: Box) -> None:
    """A link below /proc to what only the host's root may see stays shut for it."""
    box.host.sh("mkfifo /run/w/fifo")
    feeding = box.host.popen(["sh", "-c", f"{MINIRUN} cp - box:/tmp < /run/w/fifo"], stderr=subprocess.DEVNULL)
    with open(f"/proc/{box.host.pid}/root/run/w/fifo", "wb") as fifo:
        fifo.write(tar_of(("x", "file", "x")))
        fifo.flush()
        # It waits for the rest of the archive; what it has dropped by then, it has dropped before it writes anything.
        eventually(lambda: [status for status in _chrooted(box.host) if not _capabilities(status) & ~0xA80425FB])
    feeding.wait(5)


def _capabilities(status: str) -> int:
    fields = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    return int(fields["CapEff"], 16)


def _chrooted(host: Host) -> list[str]:
    """The status of each cp whose root is a container's."""
    found = []
    for process in Path(f"/proc/{host.pid}/root/proc").glob("[0-9]*"):
        try:
            elsewhere = not os.path.samefile(process / "root", f"/proc/{host.pid}/root")
            if elsewhere and b"\0cp\0" in (process / "cmdline").read_bytes():
                found.append((process / "status").read_text())
        except OSError:
            continue
    return found


def test_an_archive_keeps_its_owners_and_an_empty_one_is_fine(box: Box) -> None:
    box.host.sh("cd /run/w && mkdir owned && echo x > owned/f && chown -R 33:44 owned && tar -cf /run/owned.tar owned")
    for option in ("-q", "-a"):
        box.inside("rm -rf /in; mkdir /in")
        box.host.sh(f"{MINIRUN} cp {option} - box:/in < /run/owned.tar")
        assert box.inside("stat -c '%u:%g' /in/owned /in/owned/f") == "33:44\n33:44\n"
    script = "{0} cp - box:/in </dev/null 2>&1; {0} cp - box:/in/owned/f </dev/null 2>&1"
    done = box.host.sh(script.format(MINIRUN), check=False)
    assert done == 'minirun: destination "box:/in/owned/f" must be a directory\n'


def test_what_a_tmpfs_will_cover_is_refused(primed: Host) -> None:
    primed.minirun("create", "--name", "covered", "--tmpfs", "/tmp", "--tmpfs", "/var/deep", "busybox", "sleep", "1000")
    primed.sh("echo x > /run/file")
    primed.image("linking", "mkdir -p real/in; ln -s real link")
    for path in ("/tmp", "/tmp/", "/tmp/name", "/etc/../tmp/x"):
        done = primed.minirun("cp", "/run/file", f"covered:{path}", check=False)
        assert done.returncode == 1
        assert "/tmp is a tmpfs, which is there only while the container runs" in done.stderr
    primed.minirun("cp", "/run/file", "covered:/tmpx")
    primed.minirun("create", "--name", "linked", "--tmpfs", "/link/in", "-v", "kept:/link/in/kept", "linking", "true")
    assert primed.minirun("cp", "/run/file", "linked:/real/in/x", check=False).returncode == 1
    primed.minirun("cp", "/run/file", "linked:/link/in/kept/")  # a volume within it
    assert primed.sh("cat /var/lib/minirun/volumes/kept/_data/file") == "x\n"
    primed.minirun("start", "covered")
    primed.minirun("cp", "/run/file", "covered:/tmp/")
    assert primed.minirun("exec", "covered", "cat", "/tmp/file", "/tmpx").stdout == "x\nx\n"


def test_a_closed_standard_input_is_an_empty_archive(box: Box) -> None:
    assert box.host.sh(f"{MINIRUN} cp - box:/ <&- 2>&1") == ""
