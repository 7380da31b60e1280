"""Mounts in a running container: binds, nesting, read-only, tmpfs, propagation, --volumes-from and subpaths."""

import pytest

from tests.harness import Host
from tests.integration.volume.volume_tools import STATE, inspect, names, refused, run


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


def test_the_files_of_an_image(crowded: Host) -> None:
    crowded.image("tools", "mkdir -p opt/a && echo one > opt/a/one && echo old > opt/changed")
    crowded.minirun(
        "run", "--name", "more", "--net=none", "tools", "sh", "-c", "echo new > /opt/changed; rm /opt/a/one"
    )
    crowded.minirun("commit", "more", "changed")
    crowded.minirun("rm", "more")
    whole, part = "type=image,src=tools,dst=/tools", "type=image,src=changed,dst=/part,image-subpath=opt"
    script = "cat /tools/opt/a/one /tools/opt/changed /part/changed; ls /part/a; echo > /tools/x || echo > /part/x"
    for userns in ("host", "auto"):
        flags = ("--rm", "--net=none", f"--userns={userns}", "--mount", whole, "--mount", part)
        done = crowded.minirun("run", *flags, "busybox", "sh", "-c", script, check=False)
        assert done.stdout == "one\nold\nnew\n"
        assert done.stderr.count("Read-only file system") == 2
    crowded.minirun("create", "--name", "user", "--net=none", "--mount", part, "busybox", "cat", "/part/changed")
    crowded.minirun("cp", "user:/part/changed", "/run/changed")
    assert crowded.sh("cat /run/changed") == "new\n"
    done = crowded.minirun("rmi", "changed", check=False)
    assert (done.returncode, "is using its referenced image" in done.stderr) == (1, True)
    assert "changed" not in crowded.minirun("image", "prune", "-af").stdout
    (mount,) = inspect(crowded, "user", ".Mounts")
    assert (mount["Type"], mount["Source"], mount["Destination"], mount["RW"]) == ("image", "changed", "/part", False)
    requested = inspect(crowded, "user", ".HostConfig.Mounts")[0]
    assert requested["ImageOptions"] == {"Subpath": "opt"}
    crowded.minirun("rmi", "-f", "changed")  # its layers stay for their user, as those of a container's own image
    assert crowded.minirun("start", "-a", "user").stdout == "new\n"
    crowded.minirun("rm", "user")
    says = refused(crowded, "--mount", "type=image,src=nosuch,dst=/x")
    assert "Unable to find image 'nosuch:latest'" in says
    assert "No such file" in refused(crowded, "--mount", "type=image,src=busybox,dst=/x,image-subpath=none")
    crowded.minirun("rmi", "tools")
