"""Volumes and mounts: what the words mean, what the containers see, what is kept, and what a hostile image reaches."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from minirun.errors import MinirunError
from minirun.model import Mount
from minirun.options import mounts as words
from minirun.options.mount_values import parse_tmpfs_options
from tests.harness import Host, eventually
from tests.harness.host import MINIRUN
from tests.integration.engine.test_faults import ENV, FAULTY, _count

STATE = "/var/lib/minirun"


def run(host: Host, *arguments: str, **kwargs: Any) -> str:
    """The flags, an image, and a script as the last word."""
    *flags, image, script = arguments
    return str(host.minirun("run", "--rm", "--net=none", *flags, image, "sh", "-c", script, **kwargs).stdout)


def refused(host: Host, *arguments: str, verb: str = "run", code: int = 125) -> str:
    rest = ("--rm", "--net=none", *arguments, "busybox", "true") if verb == "run" else arguments
    done = host.minirun(*verb.split(), *rest, check=False)
    assert done.returncode == code, done.stderr
    return str(done.stderr)


def names(host: Host, *flags: str) -> list[str]:
    return str(host.minirun("volume", "ls", "-q", *flags).stdout).split()


def inspect(host: Host, name: str, form: str) -> Any:
    return json.loads(host.minirun("inspect", "--format", "{{json " + form + "}}", name).stdout)


def layer(host: Host, name: str) -> str:
    """Where the files of an image of one layer are."""
    form = "{{.GraphDriver.Data.UpperDir}}"
    return str(host.minirun("image", "inspect", "--format", form, name).stdout).strip()


# --- words

MOUNTS = {
    ("-v", "/x"): Mount("volume", "", "/x"),
    ("-v", "data:/x"): Mount("volume", "data", "/x"),
    ("-v", "data:/x:ro,nocopy"): Mount("volume", "data", "/x", read_only=True, no_copy=True),
    ("-v", "/a b:/c d/../x:rslave,ro"): Mount("bind", "/a b", "/x", read_only=True, propagation="rslave"),
    ("-v", "./a:/x"): Mount("bind", os.path.abspath("a"), "/x"),
    ("--tmpfs", "/x"): Mount("tmpfs", "", "/x", options="noexec,nosuid,nodev"),
    ("--tmpfs", "/x:exec,size=1k,ro"): Mount("tmpfs", "", "/x", options="nosuid,nodev,ro,size=1024"),
    ("--mount", "dst=/x"): Mount("volume", "", "/x", must_exist=True),
    ("--mount", "type=bind,src=/a:b,target=/x,readonly"): Mount("bind", "/a:b", "/x", True, must_exist=True),
    ("--mount", 'type=bind,"source=/a,b",dst=/x,ro=false'): Mount("bind", "/a,b", "/x", must_exist=True),
    ("--mount", "type=bind,src=/a,dst=/x,bind-propagation=rshared,bind-recursive=writable"): Mount(
        "bind", "/a", "/x", options="writable", propagation="rshared", must_exist=True
    ),
    ("--mount", "src=data,dst=/x,volume-nocopy,volume-subpath=a/b"): Mount(
        "volume", "data", "/x", no_copy=True, subpath="a/b", must_exist=True
    ),
    ("--mount", "type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=700"): Mount(
        "tmpfs", "", "/x", options="noexec,nosuid,nodev,size=1048576,mode=700", must_exist=True
    ),
}


@pytest.mark.parametrize("flag", list(MOUNTS), ids=" ".join)
def test_what_is_meant(flag: tuple[str, str]) -> None:
    texts = [[flag[1]] if flag[0] == name else [] for name in ("-v", "--mount", "--tmpfs")]
    assert words.parse_mounts(*texts) == (MOUNTS[flag],)


WRONG = {
    ("-v", "x:/y"): "volume name is too short",
    ("-v", "a/b:/y"): "includes invalid characters for a local volume name",
    ("-v", "data:y"): "mount path must be absolute",
    ("-v", "data:/"): "destination can't be '/'",
    ("-v", "/a:/b:c:d"): "invalid volume specification",
    ("-v", "/a:/b:nocopy"): "invalid mode: nocopy",
    ("-v", "data:/b:rslave"): "invalid mode: rslave",
    ("-v", "/a:/b:ro,rw"): "invalid mode: ro,rw",
    ("--tmpfs", "/x:dev"): "no device can be opened",
    ("--tmpfs", "/x:frob"): 'invalid tmpfs option ["frob"]',
    ("--mount", "type=bind,src=/a"): "target is required",
    ("--mount", "type=bind,dst=/a"): "field Source must not be empty",
    ("--mount", "type=bind,src=a,dst=/a"): "mount path must be absolute",
    ("--mount", "type=tmpfs,src=/a,dst=/a"): "field Source must not be specified",
    ("--mount", "type=nfs,dst=/a"): "mount type nfs is not supported",
    ("--mount", "dst=/a,frob=1"): "unexpected key 'frob'",
    ("--mount", "dst=/a,readonly=maybe"): "invalid value for readonly: maybe",
    ("--mount", "type=bind,src=/a,dst=/a,volume-nocopy"): "cannot mix 'volume-*' options with mount type 'bind'",
    ("--mount", "type=bind,src,dst=/a"): "must be a key=value pair",
    ("--mount", 'dst="/a'): "",
    ("--mount", "src=data,dst=/a,volume-subpath=../x"): "subpath must be a relative path",
    ("--mount", "src=data,dst=/a,volume-driver=nfs"): "plugin",
}


@pytest.mark.parametrize("flag", list(WRONG), ids=" ".join)
def test_what_is_refused(flag: tuple[str, str]) -> None:
    texts = [[flag[1]] if flag[0] == name else [] for name in ("-v", "--mount", "--tmpfs")]
    with pytest.raises(MinirunError) as caught:
        words.parse_mounts(*texts)
    assert WRONG[flag] in caught.value.message + caught.value.hint


def test_two_at_one_place() -> None:
    for second in (([], ["type=bind,src=/b,dst=/x"], []), ([], [], ["/x"]), (["data:/y/../x"], [], [])):
        with pytest.raises(MinirunError, match=r"^Duplicate mount point: /x$"):
            words.parse_mounts(["/a:/x", *second[0]], *second[1:])
    # A volume without a name gives way, as what an image declares does; of two tmpfs the last is meant.
    assert words.parse_mounts(["/x", "data:/x", "/x"], [], []) == (Mount("volume", "data", "/x"),)
    assert words.parse_mounts([], [], ["/x", "/x:exec"])[0].options == parse_tmpfs_options("exec")


# --- the verbs


def test_making_listing_and_removing(crowded: Host) -> None:
    made = crowded.minirun("volume", "create", "--label", "a=b", "--driver", "local", "kept").stdout
    assert made == "kept\n"
    assert crowded.minirun("volume", "create", "kept").stdout == "kept\n"
    anonymous = crowded.minirun("volume", "create").stdout.strip()
    assert len(anonymous) == 64
    (found,) = json.loads(crowded.minirun("volume", "inspect", "kept").stdout)
    created = found.pop("CreatedAt")
    assert created.endswith("Z")
    assert found == {
        "Driver": "local",
        "Labels": {"a": "b"},
        "Mountpoint": f"{STATE}/volumes/kept/_data",
        "Name": "kept",
        "Options": None,
        "Scope": "local",
    }
    assert inspect(crowded, "kept", ".Labels.a") == "b"
    assert crowded.minirun("volume", "ls", "-f", "name=kep").stdout == "DRIVER    VOLUME NAME\nlocal     kept\n"
    assert (
        crowded.minirun("volume", "ls", "-f", "label=a=b", "--format", "{{.Name}} {{.Labels}}").stdout == "kept a=b\n"
    )
    assert set(names(crowded, "-f", "dangling=true", "-f", "driver=local")) >= {"kept", anonymous}
    assert names(crowded, "-f", "dangling=false") == names(crowded, "-f", "driver=nfs") == []
    assert (
        crowded.sh(f"stat -c %a {STATE}/volumes {STATE}/volumes/kept {STATE}/volumes/kept/_data") == "700\n700\n755\n"
    )
    assert crowded.minirun("volume", "rm", "kept", anonymous).stdout == f"kept\n{anonymous}\n"
    assert "get kept: no such volume" in refused(crowded, "kept", verb="volume rm", code=1)
    assert crowded.minirun("volume", "rm", "-f", "kept").stdout == "kept\n"
    assert "No such volume: kept" in refused(crowded, "kept", verb="volume inspect", code=1)
    assert "plugin" in refused(crowded, "-d", "nfs", "x1", verb="volume create", code=1)
    assert "does not mount a file system of type nfs" in refused(crowded, "-o", "type=nfs", "x1", verb="volume create", code=1)
    assert crowded.sh(f"ls -A {STATE}/volumes; ls -d {STATE}/removed 2>/dev/null; true") == ""


def test_a_volume_outlives_its_containers_and_is_in_use_meanwhile(crowded: Host) -> None:
    run(crowded, "-v", "data:/x", "busybox", "echo kept > /x/file")
    assert run(
        crowded, "--mount", "src=data,dst=/y,ro", "busybox", "cat /y/file; echo > /y/n 2>/dev/null || echo ro"
    ) == ("kept\nro\n")
    identity = crowded.minirun("create", "--name", "user", "-v", "data:/x:ro", "busybox", "true").stdout.strip()
    assert f"remove data: volume is in use - [{identity}]" in refused(crowded, "data", verb="volume rm", code=1)
    assert names(crowded, "-f", "dangling=false") == ["data"]
    assert crowded.minirun(
        "ps", "-a", "-f", "volume=data", "--format", "{{.Names}} {{.Mounts}} {{.LocalVolumes}}"
    ).stdout == ("user data 1\n")
    assert inspect(crowded, "user", ".Mounts") == [
        {
            "Type": "volume",
            "Name": "data",
            "Source": f"{STATE}/volumes/data/_data",
            "Destination": "/x",
            "Driver": "local",
            "Mode": "ro",
            "RW": False,
            "Propagation": "",
        }
    ]
    assert inspect(crowded, "user", ".HostConfig.Binds") == ["data:/x:ro"]
    crowded.minirun("rm", "-v", "user")
    assert names(crowded) == ["data"]
    crowded.minirun("volume", "rm", "data")
    assert crowded.sh(f"ls -A {STATE}/volumes") == ""


def test_anonymous_volumes_go_with_rm_v_and_with_rm_but_not_otherwise(crowded: Host) -> None:
    run(crowded, "-v", "/x", "busybox", "echo > /x/y")
    assert names(crowded) == []
    crowded.minirun("run", "--net=none", "--name", "anon", "-v", "/x", "busybox", "touch", "/x/y")
    (name,) = names(crowded)
    assert len(name) == 64
    assert inspect(crowded, "anon", ".Mounts")[0]["Name"] == name
    assert inspect(crowded, "anon", ".Config.Volumes") == {"/x": {}}
    crowded.minirun("rm", "anon")
    assert names(crowded) == [name]
    # By its name it is nobody's to take along.
    assert run(crowded, "-v", f"{name}:/z", "busybox", "ls /z") == "y\n"
    assert names(crowded) == [name]
    assert crowded.minirun("volume", "prune", "-f").stdout.startswith(f"Deleted Volumes:\n{name}\n\nTotal reclaimed")
    crowded.minirun("create", "--name", "anon", "-v", "/x", "busybox", "true")
    assert len(names(crowded)) == 1
    crowded.minirun("rm", "-v", "anon")
    assert crowded.sh(f"ls -A {STATE}/volumes; ls -d {STATE}/removed 2>/dev/null; true") == ""


def test_prune(crowded: Host) -> None:
    crowded.sh("true")
    for label, name in (("a=1", "first"), ("b=1", "second")):
        crowded.minirun("volume", "create", "--label", label, name)
    crowded.minirun("create", "--name", "user", "-v", "used:/x", "-v", "/y", "busybox", "true")
    anonymous = crowded.minirun("volume", "create").stdout.strip()
    crowded.sh(f"head -c 2000 /dev/zero > {STATE}/volumes/{anonymous}/_data/f")
    done = crowded.minirun("volume", "prune", input="y\n")
    assert "WARNING! This will remove anonymous local volumes not used by at least one container." in done.stdout
    assert f"Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: 2kB\n" in done.stdout
    assert "first" not in crowded.minirun("volume", "prune", "-f").stdout
    assert "first\n" in crowded.minirun("volume", "prune", "-a", "-f", "--filter", "label=a").stdout
    assert "second\n" in crowded.minirun("volume", "prune", "-f", "--filter", "all=1").stdout
    assert len(names(crowded)) == 2
    crowded.minirun("rm", "-v", "user")
    crowded.minirun("volume", "rm", "used")


def test_events(crowded: Host) -> None:
    run(crowded, "-v", "told:/x", "busybox", "true")
    crowded.minirun("volume", "rm", "told")
    shown = crowded.minirun(
        "events",
        "--since",
        "1m",
        "--until",
        "0s",
        "-f",
        "volume=told",
        "--format",
        "{{.Action}} {{.Actor.Attributes.destination}}",
    ).stdout
    assert [line.split()[0] for line in shown.splitlines()] == ["create", "mount", "unmount", "destroy"]
    assert "mount /x" in shown


def test_a_volume_of_the_hosts(crowded: Host) -> None:
    crowded.sh("mkdir -p /run/srv && echo s > /run/srv/s")
    flags = ["--opt", "type=none", "--opt", "o=bind,ro", "--opt", "device=/run/srv"]
    crowded.minirun("volume", "create", *flags, "srv")
    assert run(crowded, "-v", "srv:/x", "busybox", "cat /x/s; echo > /x/n 2>/dev/null || echo ro") == "s\nro\n"
    crowded.minirun("volume", "rm", "srv")
    assert crowded.sh("cat /run/srv/s; mkdir /run/filled") == "s\n"
    crowded.minirun("volume", "create", "-o", "o=bind", "-o", "device=/run/filled", "filled")
    run(crowded, "-v", "filled:/var/spool", "busybox", "true")
    assert crowded.sh("ls -A /run/filled") == crowded.sh(f"ls -A {layer(crowded, 'busybox')}/var/spool")
    crowded.sh("rm -r /run/filled")
    assert "failed to mount local volume filled" in refused(crowded, "-v", "filled:/x")
    crowded.minirun("volume", "rm", "filled")


# --- places


def test_paths_with_spaces_colons_and_commas(crowded: Host) -> None:
    crowded.sh("cd /run && mkdir 'a b' a:b a,b && echo space > 'a b/f' && echo colon > a:b/f && echo comma > a,b/f")
    seen = run(
        crowded,
        *("-v", "/run/a b:/my dir", "--mount", "type=bind,src=/run/a:b,dst=/colon"),
        *("--mount", 'type=bind,"src=/run/a,b","dst=/com,ma"', "--mount", "type=bind,src=/run/a b/f,dst=/one file"),
        "busybox",
        "cat '/my dir/f' /colon/f /com,ma/f '/one file'",
    )
    assert seen == "space\ncolon\ncomma\nspace\n"


def test_what_is_missing_on_the_host(crowded: Host) -> None:
    said = refused(crowded, "--mount", "type=bind,src=/run/missing,dst=/x")
    assert 'invalid mount config for type "bind": bind source path does not exist: /run/missing' in said
    assert crowded.sh("ls -d /run/missing 2>/dev/null; true") == ""
    run(crowded, "-v", "/run/missing:/x", "busybox", "touch /x/y")
    assert crowded.sh("ls /run/missing; rm -r /run/missing") == "y\n"
    assert crowded.minirun("ps", "-aqf", "status=created").stdout == ""


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_nested_in_any_order(crowded: Host, order: tuple[int, ...]) -> None:
    crowded.sh("mkdir -p /run/middle; echo m > /run/middle/m")
    flags = [("-v", "outer:/x"), ("-v", "/run/middle:/x/y"), ("--tmpfs", "/x/y/z")]
    wanted = [word for index in order for word in flags[index]]
    assert run(crowded, *wanted, "busybox", "cat /x/y/m; mount | grep -c ' /x/y/z type tmpfs'") == "m\n1\n"
    assert crowded.sh(f"ls -A {STATE}/volumes/outer/_data; rm -r /run/middle") == "y\n"
    crowded.minirun("volume", "rm", "outer")


def test_over_the_runtimes_own(crowded: Host) -> None:
    """/etc as a volume still has the container's own hosts in it; a file of the user's there goes over them."""
    crowded.sh("echo 192.0.2.7 mine > /run/hosts")
    assert "localhost" in run(crowded, "-v", "etc:/etc", "busybox", "cat /etc/hosts; ls /etc/passwd")
    assert (
        run(crowded, "-v", "etc:/etc", "-v", "/run/hosts:/etc/hosts", "busybox", "cat /etc/hosts") == "192.0.2.7 mine\n"
    )
    for place in ("/proc", "/proc/self/attr", "/proc/bus"):
        assert "cannot be mounted because it is inside /proc" in refused(crowded, "-v", f"/run:{place}")
    assert "No such file or directory: /proc/1/x" in refused(crowded, "-v", "/run:/proc/1/x")
    for mount in ("/run:/etc/passwd", "/run/hosts:/home"):
        assert "Are you trying to mount a directory onto a file (or vice-versa)?" in refused(crowded, "-v", mount)
    crowded.minirun("volume", "rm", "etc")


def test_read_only_holds_for_what_is_mounted_below(crowded: Host) -> None:
    crowded.sh("mkdir -p /run/tree/sub && mount -t tmpfs sub /run/tree/sub && echo s > /run/tree/sub/s")
    script = "cat /x/sub/s; for f in /x/n /x/sub/n; do (echo > $f) 2>/dev/null && echo wrote $f; done; true"
    assert run(crowded, "-v", "/run/tree:/x:ro", "busybox", script) == "s\n"
    bind = "type=bind,src=/run/tree,dst=/x"
    assert run(crowded, "--mount", f"{bind},ro,bind-recursive=writable", "busybox", script) == "s\nwrote /x/sub/n\n"
    alone = run(
        crowded, "--mount", f"{bind},bind-recursive=disabled", "busybox", "ls /x/sub; echo > /x/n && echo wrote"
    )
    assert alone == "wrote\n"
    # A read-only root, and what is mounted in it writable.
    wrote = run(
        crowded,
        "--read-only",
        "-v",
        "/run/tree:/x",
        "-v",
        "/y",
        "--tmpfs",
        "/t",
        "busybox",
        ("for f in /n /x/n /y/n /t/n; do (echo > $f) 2>/dev/null && echo $f; done"),
    )
    assert wrote.split() == ["/x/n", "/y/n", "/t/n"]
    crowded.sh("umount /run/tree/sub")


def test_tmpfs(crowded: Host) -> None:
    crowded.image("moded", "mkdir scratch && chmod 2750 scratch")
    seen = run(
        crowded,
        *("--tmpfs", "/a", "--tmpfs", "/b:exec,size=64k,mode=700", "--tmpfs", "/scratch"),
        *("--mount", "type=tmpfs,dst=/c,tmpfs-size=1m,readonly"),
        "moded",
        "grep -E ' /(a|b|c|scratch) ' /proc/mounts | cut -d' ' -f2,4; stat -c %a /a /b /scratch",
    ).splitlines()
    options = {line.split()[0]: set(line.split()[1].split(",")) for line in seen[:4]}
    assert {"rw", "noexec", "nosuid", "nodev"} <= options["/a"]
    assert {"rw", "nosuid", "nodev", "size=64k"} <= options["/b"]
    assert "noexec" not in options["/b"]
    assert {"ro", "size=1024k"} <= options["/c"]
    assert seen[4:] == ["1777", "700", "2750"]


def test_propagation(crowded: Host) -> None:
    crowded.sh("mkdir -p /run/up && mount -t tmpfs up /run/up && mkdir /run/up/later")
    assert "is mounted on /run/up but it is not a shared or slave mount" in refused(crowded, "-v", "/run/up:/x:rslave")
    assert "but it is not a shared mount" in refused(crowded, "-v", "/run/up:/x:shared")
    crowded.sh("mount --make-shared /run/up")
    flags = ["-v", "/run/up:/slave:rslave", "-v", "/run/up:/private", "-v", "/run/up:/shared:rshared"]
    crowded.minirun("run", "-d", "--net=none", "--privileged", "--name", "up", *flags, "busybox", "sleep", "1000")
    assert inspect(crowded, "up", "(index .Mounts 0).Propagation") == "rslave"
    crowded.sh("mount -t tmpfs later /run/up/later && touch /run/up/later/f")
    seen = "for d in slave private shared; do ls /$d/later; echo $d; done"
    assert crowded.minirun("exec", "up", "sh", "-c", seen).stdout == "f\nslave\nprivate\nf\nshared\n"
    crowded.sh("umount /run/up/later")
    crowded.minirun(
        "exec", "--", "up", "sh", "-c", "mkdir /shared/in && mount -t tmpfs in /shared/in && touch /shared/in/g"
    )
    assert crowded.sh("ls /run/up/in") == "g\n"
    crowded.minirun("rm", "-f", "up")
    crowded.sh("umount /run/up/in; umount /run/up")


def test_volumes_from(crowded: Host) -> None:
    crowded.sh("mkdir -p /run/given; echo g > /run/given/g")
    flags = ["-v", "shared:/s", "-v", "/a", "-v", "/run/given:/g:ro", "--tmpfs", "/t"]
    crowded.minirun(
        "run", "--net=none", "--name", "giver", *flags, "busybox", "sh", "-c", "echo a > /a/a; echo s > /s/s"
    )
    script = "cat /s/s /a/a /g/g; for f in /s/n /a/n /g/n; do (echo > $f) 2>/dev/null && echo $f; done; ls -d /t; true"
    assert run(crowded, "--volumes-from", "giver:ro", "busybox", script) == "s\na\ng\n"
    assert run(crowded, "--volumes-from", "giver", "busybox", script) == "s\na\ng\n/s/n\n/a/n\n"
    # What is said here goes before; and a volume without a name after.
    assert run(crowded, "--volumes-from", "giver", "-v", "/run/given:/s", "-v", "/a", "busybox", "ls /s /a") == (
        "/a:\na\nn\n\n/s:\ng\n"
    )
    assert len(names(crowded)) == 2
    assert "No such container: nobody" in refused(crowded, "--volumes-from", "nobody")
    assert "invalid mode: x" in refused(crowded, "--volumes-from", "giver:x")
    crowded.minirun("rm", "-v", "giver")
    crowded.minirun("volume", "rm", "shared")


def test_subpath(crowded: Host) -> None:
    run(crowded, "-v", "deep:/x", "busybox", "mkdir -p /x/a/b; echo d > /x/a/b/d; ln -s /etc /x/out; ln -s a/b /x/in")
    mount = "src=deep,dst=/y,volume-subpath="
    assert run(crowded, "--mount", mount + "a/b", "busybox", "cat /y/d") == "d\n"
    assert run(crowded, "--mount", mount + "in", "busybox", "cat /y/d") == "d\n"
    assert "o such file or directory" in refused(crowded, "--mount", mount + "none")
    assert "o such file or directory" in refused(crowded, "--mount", mount + "out/ssl")  # /etc of the volume: none
    crowded.minirun("volume", "rm", "deep")


# --- copy-up

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
    count = _count(primed, words)
    primed.minirun("volume", "rm", "whole")
    wanted = primed.sh(f"ls -A {layer(primed, 'busybox')}/bin")
    for step in range(1, count + 1, stride):
        done = primed.run([*FAULTY, how, str(step), *words], env=ENV, check=False)
        assert "Traceback" not in done.stderr
        assert run(primed, "-v", "whole:/x", "busybox", "ls -A /x") in ("", wanted), f"{how} at {step} of {count}"
        assert names(primed) == ["whole"]
        primed.minirun("volume", "rm", "whole")
        assert primed.sh(
            f"ls -A {STATE}/volumes {STATE}/containers; ls -d {STATE}/removed 2>/dev/null; true"
        ).split() == [
            f"{STATE}/containers:",
            f"{STATE}/volumes:",
        ]


@pytest.mark.parametrize("how", ["fail", "kill"])
def test_a_removal_that_is_cut_short(primed: Host, how: str) -> None:
    for step in range(1, 4):
        primed.minirun("volume", "create", "gone")
        primed.sh(f"mkdir -p {STATE}/volumes/gone/_data/a/b; echo > {STATE}/volumes/gone/_data/a/f")
        primed.run([*FAULTY, how, str(step), "volume", "rm", "gone"], env=ENV, check=False)
        primed.minirun("volume", "rm", "-f", "gone")
        primed.minirun("create", "--name", "user", "-v", "/x", "busybox", "true")
        primed.run([*FAULTY, how, str(step), "rm", "-v", "user"], env=ENV, check=False)
        primed.minirun("rm", "-fv", "user")
        assert primed.sh(f"ls -A {STATE}/volumes; ls -d {STATE}/removed 2>/dev/null; true") == ""


# --- cp


@pytest.mark.parametrize("state", ["created", "running", "stopped"])
def test_cp_sees_volumes(crowded: Host, state: str) -> None:
    crowded.sh("mkdir -p /run/bound /run/w; echo b > /run/bound/b; echo w > /run/w/w; rm -f /run/w/b /run/w/passwd")
    flags = ["-v", "cpd:/etc", "-v", "/run/bound:/deep/er", "-v", "/run/bound:/ro:ro", "--read-only"]
    verb = ["create"] if state == "created" else ["run", "-d"]
    crowded.minirun(*verb, "--net=none", "--name", "cpd", *flags, "busybox", "sleep", "1000")
    if state == "stopped":
        crowded.minirun("stop", "-t", "0", "cpd")
    crowded.minirun("cp", "cpd:/deep/er/b", "/run/w/")
    crowded.minirun("cp", "cpd:/etc/passwd", "/run/w/")
    crowded.minirun("cp", "/run/w/w", "cpd:/etc/new")
    crowded.minirun("cp", "/run/w/w", "cpd:/deep/er/")
    assert (
        crowded.sh(f"cat /run/w/b /run/bound/w {STATE}/volumes/cpd/_data/new; grep -c root /run/w/passwd")
        == "b\nw\nw\n1\n"
    )
    done = crowded.minirun("cp", "/run/w/w", "cpd:/ro/x", check=False)
    assert done.returncode == 1
    assert "mounted volume is marked read-only" in done.stderr
    assert "rootfs is marked read-only" in crowded.minirun("cp", "/run/w/w", "cpd:/w", check=False).stderr
    crowded.minirun("rm", "-f", "cpd")
    crowded.minirun("volume", "rm", "cpd")
    crowded.sh("rm -r /run/bound")
