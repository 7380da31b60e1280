"""Images: their names, what containers take from them, import and commit, and that removing keeps what is in use."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from minirun.errors import MinirunError
from minirun.image.defaults import health_of, inherit
from minirun.image.dockerfile_words import expand, split
from minirun.image.instructions import apply
from minirun.image.records import Config, Image
from minirun.image.reference import parse
from minirun.model import Health, Mount, Spec
from tests.harness import Host, eventually
from tests.harness.host import MINIRUN

LAYERS = "/var/lib/minirun/layers"


def inspect(host: Host, name: str) -> dict[str, Any]:
    return dict(json.loads(host.minirun("image", "inspect", name).stdout)[0])


def run(host: Host, *words: str, **kwargs: Any) -> Any:
    return host.minirun("run", "--rm", "--net=none", *words, **kwargs)


def refused(host: Host, *words: str, **kwargs: Any) -> str:
    done = host.minirun(*words, check=False, **kwargs)
    assert done.returncode, done.stdout
    return str(done.stderr)


def archive(*entries: tarfile.TarInfo | tuple[str, str]) -> bytes:
    """(name, content) is a file."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for entry in entries:
            info, content = (entry, "") if isinstance(entry, tarfile.TarInfo) else (tarfile.TarInfo(entry[0]), entry[1])
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content.encode()))
    return made.getvalue()


def special(name: str, kind: bytes, link: str = "", **headers: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.pax_headers = kind, link, headers
    return info


_INSIDE = special("run/outside", tarfile.DIRTYPE)


def import_(host: Host, data: bytes, *words: str) -> Any:
    return host.minirun("import", "-", *words, input=data, text=False, check=False)


def answer(call: Callable[[], Any]) -> Any:
    """What it returns, or the words of its refusal."""
    try:
        return call()
    except MinirunError as error:
        return f"refused: {error.message}"


# --- names


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("busybox", "busybox:latest"),
        ("busybox:1.36", "busybox:1.36"),
        ("docker.io/library/busybox", "busybox:latest"),
        ("index.docker.io/library/busybox:x", "busybox:x"),
        ("library/busybox", "busybox:latest"),
        ("docker.io/me/tool", "me/tool:latest"),
        ("localhost:5000/a/b:v1", "localhost:5000/a/b:v1"),
        ("registry.example/a", "registry.example/a:latest"),
        ("a__b/c-d--e.f", "a__b/c-d--e.f:latest"),
        ("Busybox", "repository name (library/Busybox) must be lowercase"),
        ("a/B", "repository name (a/B) must be lowercase"),
        ("", "invalid reference format"),
        (":tag", "invalid reference format"),
        ("a:", "invalid reference format"),
        ("a:b:c", "invalid reference format"),
        ("a..b", "invalid reference format"),
        ("../a", "invalid reference format"),
        ("a/", "invalid reference format"),
        ("a\n", "invalid reference format"),
        ("a:" + "t" * 129, "invalid reference format"),
        ("a" * 256, "must not be more than 255"),
        ("a" * 64, "cannot specify 64-byte hexadecimal"),
        ("a@sha256:" + "0" * 64, "invalid reference format"),
    ],
)
def test_references(text: str, kept: str) -> None:
    found = answer(lambda: parse(text))
    assert kept in found if found.startswith("refused") else found == kept


# --- --change


@pytest.mark.parametrize(
    ("lines", "config"),
    [
        (['CMD ["a", "b c"]'], {"Cmd": ["a", "b c"]}),
        (["cmd a $B 'c'"], {"Cmd": ["/bin/sh", "-c", "a $B 'c'"]}),
        (["CMD [a]"], {"Cmd": ["/bin/sh", "-c", "[a]"]}),
        (["ENTRYPOINT top -b"], {"Entrypoint": ["/bin/sh", "-c", "top -b"]}),
        (["CMD x", 'ENTRYPOINT ["y"]'], {"Cmd": ["/bin/sh", "-c", "x"], "Entrypoint": ["y"]}),
        (["ENV a=b c=\"d e\" f='$a' g=x\\ y"], {"Env": ["a=b", "c=d e", "f=$a", "g=x y"]}),
        (["ENV a some words  here"], {"Env": ["a=some words  here"]}),
        (["ENV a=1", "ENV a=2 b=$a c=${a} d=${none:-x$a} e=${a:+y}"], {"Env": ["a=2", "b=1", "c=1", "d=x1", "e=y"]}),
        (
            ["EXPOSE 80 53/udp 8000-8001/TCP"],
            {"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}}},
        ),
        (['LABEL a=b \'c d\'="e\\"f"'], {"Labels": {"a": "b", "c d": 'e"f'}}),
        (["STOPSIGNAL SIGUSR1"], {"StopSignal": "SIGUSR1"}),
        (["USER 1000:1000"], {"User": "1000:1000"}),
        (['VOLUME ["/a b", "/c"]', "VOLUME /d /e"], {"Volumes": {"/a b": {}, "/c": {}, "/d": {}, "/e": {}}}),
        (["WORKDIR /a", "WORKDIR b/../c"], {"WorkingDir": "/a/c"}),
        (["ENV D=x", "WORKDIR /$D/y"], {"Env": ["D=x"], "WorkingDir": "/x/y"}),
        (["HEALTHCHECK NONE"], {"Healthcheck": {"Test": ["NONE"]}}),
        (
            ['HEALTHCHECK --interval=5s --retries=2 CMD ["a", "b"]'],
            {"Healthcheck": {"Test": ["CMD", "a", "b"], "Interval": 5 * 10**9, "Retries": 2}},
        ),
        (
            ["HEALTHCHECK --start-period=1m CMD a b"],
            {"Healthcheck": {"Test": ["CMD-SHELL", "a b"], "StartPeriod": 60 * 10**9}},
        ),
    ],
    ids=lambda one: one[0] if isinstance(one, list) else "",
)
def test_the_lines_of_a_dockerfile(lines: list[str], config: Config) -> None:
    assert apply({}, lines) == config


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("ADD a b", "ADD is not a valid change command"),
        ("RUN x", "RUN is not a valid change command"),
        ("NOPE x", "unknown instruction: NOPE"),
        ("CMD", "CMD requires at least one argument"),
        ("ENV a", "ENV must have two arguments"),
        ("ENV a=b c", 'can\'t find = in "c"'),
        ("ENV =b", "ENV names can not be blank"),
        ("ENV a='b", "unexpected end of statement"),
        ("ENV a=${b!c}", "failed to process"),
        ("EXPOSE http", "invalid containerPort: http"),
        ("STOPSIGNAL nope", "Invalid signal: nope"),
        ("VOLUME relative", "invalid volume: relative"),
        ("VOLUME /", "invalid volume: /"),
        ("HEALTHCHECK x", 'Unknown type "X" in HEALTHCHECK'),
        ("HEALTHCHECK --every=5s CMD x", "Unknown flag: every"),
        ("HEALTHCHECK --interval=x CMD x", "invalid duration"),
    ],
)
def test_a_line_that_is_wrong(line: str, says: str) -> None:
    with pytest.raises(MinirunError) as caught:
        apply({}, [line])
    assert says in caught.value.message


def test_an_entrypoint_takes_the_command_of_before_away() -> None:
    before: Config = {"Cmd": ["old"], "Env": ["A=1"]}
    assert apply(before, ['ENTRYPOINT ["new"]']) == {"Entrypoint": ["new"], "Env": ["A=1"]}
    assert before == {"Cmd": ["old"], "Env": ["A=1"]}


def test_words() -> None:
    assert split(r"""a 'b c' "d \" e" f\ g""") == ["a", "'b c'", r'"d \" e"', r"f\ g"]
    assert expand(r""""a\n\"$x" '$x' \$x $""", {"x": "1"}) == r"""a\n"1 $x $x $"""


# --- what a container takes from its image


def _image(config: Config) -> Image:
    return Image("0" * 64, {"config": config}, (), 0, 0)


@pytest.mark.parametrize(
    ("config", "entrypoint", "words", "argv"),
    [
        ({"Cmd": ["c"]}, (), (), ("c",)),
        ({"Cmd": ["c"]}, (), ("w",), ("w",)),
        ({"Entrypoint": ["e"]}, (), (), ("e",)),
        ({"Entrypoint": ["e", "f"], "Cmd": ["c"]}, (), (), ("e", "f", "c")),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, (), ("w",), ("e", "w")),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, ("x",), (), ("x",)),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, ("x",), ("w",), ("x", "w")),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, ("",), ("w",), ("w",)),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, ("",), (), "no command specified"),
        ({}, (), (), "no command specified"),
        ({"Cmd": [""]}, (), (), "executable file not found"),
    ],
)
def test_the_command(config: Config, entrypoint: tuple[str, ...], words: tuple[str, ...], argv: Any) -> None:
    spec = Spec("x", words, entrypoint=entrypoint)
    found = answer(lambda: inherit(spec, _image(config), ()))
    if isinstance(found, str):
        assert argv in found
    else:
        assert found.argv == argv
        assert found.argv[: len(found.entrypoint)] == found.entrypoint


def test_what_is_said_goes_over_the_image() -> None:
    config: Config = {
        "Cmd": ["c"],
        "Env": ["A=1", "B=2", "C=3"],
        "WorkingDir": "/w",
        "User": "7",
        "Labels": {"a": "1", "b": "2"},
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/data/": {}, "/tmp/own": {}},
        "StopSignal": "SIGINT",
    }
    asked = Spec("x", (), workdir="")
    found = inherit(asked, _image(config), ())
    assert (found.env, found.workdir, found.user) == ((("A", "1"), ("B", "2"), ("C", "3")), "/w", "7")
    assert (found.labels, found.expose, found.stop_signal) == ((("a", "1"), ("b", "2")), ("80/tcp",), "SIGINT")
    assert found.mounts == (Mount("volume", "", "/data"), Mount("volume", "", "/tmp/own"))
    mount = Mount("bind", "/x", "/data")
    asked = Spec(
        *("x", ()),
        env=(("B", "x"), ("D", "4")),
        workdir="/v",
        user="8",
        labels=(("b", "x"),),
        expose=("81/tcp",),
        mounts=(mount,),
        stop_signal="SIGHUP",
    )
    found = inherit(asked, _image(config), ["C"])
    assert (found.env, found.workdir, found.user) == ((("A", "1"), ("B", "x"), ("D", "4")), "/v", "8")
    assert (found.labels, found.expose, found.stop_signal) == ((("a", "1"), ("b", "x")), ("80/tcp", "81/tcp"), "SIGHUP")
    assert found.mounts == (mount, Mount("volume", "", "/tmp/own"))
    assert inherit(Spec("x", (), workdir=""), _image({"Cmd": ["c"]}), ()).workdir == "/"


def test_the_health_check_of_an_image() -> None:
    assert health_of(_image({})) is None
    assert health_of(_image({"Healthcheck": {"Test": ["NONE"]}})) is None
    said = {"Test": ["CMD-SHELL", "x y"], "Interval": 2 * 10**9, "Retries": 9}
    assert health_of(_image({"Healthcheck": said})) == Health(("/bin/sh", "-c", "x y"), interval=2, retries=9)
    assert health_of(_image({"Healthcheck": {"Test": ["CMD", "x"]}})) == Health(("x",))


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


# --- import


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
    for suffix, module in (("", ""), (".gz", "gzip"), (".bz2", "bz2"), (".xz", "lzma")):
        # Not the programs of those names: a small machine has none.
        packer = f"import sys, {module}; sys.stdout.buffer.write({module}.compress(sys.stdin.buffer.read()))"
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
    assert crowded.minirun("images", "-q").stdout.count("\n") == len(crowded.sh(f"ls {LAYERS}").split())


def test_what_cannot_be_imported(crowded: Host) -> None:
    whole = archive(("a", "1" * 5000), ("b", "2"))
    before = crowded.sh(f"ls {LAYERS}"), crowded.minirun("images", "-aq").stdout
    for data, says in (
        (b"", "the archive cannot be read"),
        (b"no archive at all" * 99, "the archive cannot be read"),
        (whole[:3000], "the archive cannot be read"),
        (whole[:6656], "cut off"),  # between two entries
        (whole[:6656] + b"x" * 512 + whole[6656:], "cut off"),
        (b"\x28\xb5\x2f\xfd" + bytes(99), "zstd"),
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


# --- commit


def test_commit_keeps_what_is_deleted_and_replaced(crowded: Host) -> None:
    crowded.image("base", "mkdir -p d/sub e; echo 1 > d/a; echo 1 > d/sub/b; echo 1 > e/c; echo 1 > f; ln f g")
    change = "rm /f; rm -r /d; mkdir /d; echo 2 > /d/new; rm -r /e; echo 2 > /e; ln /d/new /h; chmod 6711 /h"
    crowded.minirun("run", "--name", "first", "--net=none", "base", "sh", "-c", change)
    upper = f"/var/lib/minirun/containers/{json.loads(crowded.minirun('inspect', 'first').stdout)[0]['Id']}/upper"
    crowded.run([sys.executable, "-c", f"import os; os.setxattr('{upper}/d', 'user.note', b'\\xff\\n=')"], check=False)
    crowded.minirun("commit", "first", "second")
    show = "cd /; find d e f g h 2>/dev/null; cat e h g; stat -c '%a %h' h; test h -ef d/new && echo linked"
    text = "d\nd/new\ne\ng\nh\n2\n2\n1\n6711 2\nlinked\n"
    assert run(crowded, "second", "sh", "-c", show).stdout == text
    crowded.minirun("run", "--name", "third", "--net=none", "second", "sh", "-c", "rm -r /d; rm /h /e; mkdir /d /e")
    assert crowded.minirun("diff", "third").stdout == "C /d\nD /d/new\nC /e\nD /h\n"
    crowded.minirun("commit", "third", "fourth")
    assert run(crowded, "fourth", "sh", "-c", "cd /; find d e f g h 2>/dev/null; true").stdout == "d\ne\ng\n"
    assert [len(inspect(crowded, name)["RootFS"]["Layers"]) for name in ("base", "second", "fourth")] == [1, 2, 3]
    assert inspect(crowded, "fourth")["Parent"] == inspect(crowded, "second")["Id"]
    top = inspect(crowded, "second")["GraphDriver"]["Data"]["UpperDir"]
    assert crowded.sh(f"cd {top}; ls -A; ls -A etc 2>/dev/null", check=False).split() == ["d", "e", "etc", "f", "h"]
    names = crowded.run([sys.executable, "-c", f"import os; print(os.listxattr('{top}/d'))"]).stdout
    assert names.strip() in (
        "['trusted.overlay.opaque']",
        "['user.note', 'trusted.overlay.opaque']",
        "['trusted.overlay.opaque', 'user.note']",
    )
    crowded.minirun("rm", "first", "third")


def test_a_volume_of_an_image(crowded: Host) -> None:
    crowded.image("holding", "mkdir data; echo kept > data/file", "-c", "VOLUME /data /more")
    held = crowded.minirun("volume", "ls", "-q").stdout
    script = "cat /data/file; mount | grep -c -e ' /data ' -e ' /more '"
    assert run(crowded, "holding", "sh", "-c", script).stdout == "kept\n2\n"
    assert crowded.minirun("volume", "ls", "-q").stdout == held  # --rm takes them along
    crowded.minirun("create", "--name", "holder", "-v", "/third", "--tmpfs", "/more", "holding", "x")
    mounts = json.loads(crowded.minirun("inspect", "holder").stdout)[0]["Mounts"]
    assert sorted(one["Destination"] for one in mounts if one["Type"] == "volume") == ["/data", "/third"]
    crowded.minirun("commit", "holder", "holding:2")
    assert list(inspect(crowded, "holding:2")["Config"]["Volumes"]) == ["/data", "/more", "/third"]
    crowded.minirun("rm", "-v", "holder")
    assert crowded.minirun("volume", "ls", "-q").stdout == held


def test_commit_takes_the_configuration_of_the_container(crowded: Host) -> None:
    flags = ["-e", "A=1", "-w", "/tmp", "-u", "9", "-l", "x=y", "-p", "0.0.0.0::81", "--health-cmd", "true"]
    crowded.minirun("run", "-d", "--name", "given", *flags, "--entrypoint", "sleep", "busybox", "1000")
    words = ["-a", "me", "-m", "why", "-c", "ENV A=2 B=$A", "-c", "CMD 5", "-c", "VOLUME /v"]
    identity = crowded.minirun("commit", *words, "given", "given:new").stdout.strip()
    found = inspect(crowded, "given:new")
    assert (found["Id"], found["Author"], found["Comment"]) == (identity, "me", "why")
    config = found["Config"]
    assert (config["Entrypoint"], config["Cmd"]) == (["sleep"], ["/bin/sh", "-c", "5"])
    assert (config["Env"], config["WorkingDir"], config["User"]) == (["A=2", "B=1"], "/tmp", "9")
    assert (config["Labels"], config["ExposedPorts"], config["Volumes"]) == ({"x": "y"}, {"81/tcp": {}}, {"/v": {}})
    assert config["Healthcheck"]["Test"][-1] == "true"
    seen = crowded.minirun(
        "events", "--since", "1m", "--until", "0s", "--filter", "container=given", "--format", "{{.Action}}"
    ).stdout.split()
    assert seen[-3:] == ["pause", "unpause", "commit"]
    crowded.minirun("commit", "-p=false", "given")
    seen = crowded.minirun(
        "events", "--since", "1m", "--until", "0s", "--filter", "container=given", "--format", "{{.Action}}"
    ).stdout.split()
    assert seen[-2:] == ["commit", "commit"]
    crowded.minirun("pause", "given")
    crowded.minirun("commit", "given")
    assert crowded.minirun("ps", "--filter", "name=given", "--format", "{{.State}}").stdout == "paused\n"
    crowded.minirun("rm", "-f", "given")
    assert "No such container" in refused(crowded, "commit", "nope")
    assert "Error parsing reference" in refused(crowded, "commit", "base", "a:b:c")


_MANY = """
import sys
from minirun.image import records
from minirun.image.create import add_image
from minirun.image.resolve import find_image
from minirun.instance import Instance
instance = Instance()
image = find_image(instance, "busybox")
for number in range(int(sys.argv[1])):
    def fill(layer):
        (layer / "layers").mkdir()
        (layer / "layers" / str(number)).write_text(str(number))
        (layer / "last").write_text(str(number))
        return format(number, "064x")
    image = add_image(instance, fill, {"config": image.config, "parent": image.id}, {}, "many:latest", image)
"""


def test_many_layers(crowded: Host) -> None:
    crowded.run([sys.executable, "-c", _MANY, "124"])
    assert len(inspect(crowded, "many")["RootFS"]["Layers"]) == 125
    script = "ls /layers | wc -l; cat /last; rm /layers/7; echo new > /layers/8"
    assert crowded.minirun("run", "--name", "deep", "--net=none", "many", "sh", "-c", script).stdout == "124\n123"
    assert crowded.minirun("diff", "deep").stdout == "C /layers\nD /layers/7\nC /layers/8\n"
    names = crowded.sh(f'"{MINIRUN}" export deep | tar -t')
    assert names.count("layers/") == 124
    crowded.sh("echo in > /run/in")
    crowded.minirun("cp", "/run/in", "deep:/layers/9")
    assert crowded.sh(f'"{MINIRUN}" cp deep:/layers/9 - | tar -xO') == "in\n"
    assert "max depth exceeded" in refused(crowded, "commit", "deep")
    crowded.minirun("rm", "deep")
    assert crowded.minirun("rmi", "many").stdout.count("Deleted") == 248  # images and layers, but for busybox's own


# --- the list, and removing


def test_lists(host: Host) -> None:
    host.minirun("tag", "docker.io/library/busybox", "me/tool:1")
    for name in ("one", "two"):
        import_result = import_(host, archive((name, "x" * 1500)), name, "-c", f"LABEL name={name}")
        assert import_result.returncode == 0
    import_(host, archive(("none", "")))

    def names(*words: str) -> list[str]:
        form = "{{.Repository}}:{{.Tag}}"
        return sorted(host.minirun("images", "--format", form, *words).stdout.split())

    everything = ["<none>:<none>", "busybox:latest", "me/tool:1", "one:latest", "two:latest"]
    assert names() == everything
    assert names("me/tool") == names("me/tool:1") == names("docker.io/me/*") == ["me/tool:1"]
    assert names("*") == ["busybox:latest", "one:latest", "two:latest"]
    assert names("me/tool:2") == []
    assert names("--filter", "dangling=true") == ["<none>:<none>"]
    assert names("--filter", "dangling=false") == everything[1:]
    assert names("--filter", "label=name") == ["one:latest", "two:latest"]
    assert names("--filter", "label=name=two") == ["two:latest"]
    assert names("--filter", "since=one") == ["<none>:<none>", "two:latest"]
    assert names("--filter", "before=one") == ["busybox:latest", "me/tool:1"]
    assert names("--filter", "reference=o*", "--filter", "reference=two:la*") == ["one:latest", "two:latest"]
    assert "invalid filter" in refused(host, "images", "--filter", "nope=1")
    header, first, *_ = host.minirun("images", "--digests", "two").stdout.splitlines()
    assert header.split() == ["REPOSITORY", "TAG", "DIGEST", "IMAGE", "ID", "CREATED", "SIZE"]
    assert first.split()[0] == "two"
    assert first.endswith("1.5kB")
    one = inspect(host, "one")["Id"]
    assert host.minirun("images", "-q", "--no-trunc", "one").stdout == one + "\n"
    assert host.minirun("images", "-q", "one").stdout == one[7:19] + "\n"
    assert json.loads(host.minirun("image", "ls", "--format", "json", "one").stdout)["Tag"] == "latest"
    assert host.minirun("inspect", "--type", "image", "-f", "{{.Id}}", one[7:15]).stdout == one + "\n"
    assert host.minirun("inspect", "-f", "{{.Id}}", one[:20]).stdout == one + "\n"
    assert host.minirun("history", "-q", "one").stdout == one[7:19] + "\n"
    assert "No such image: nope" in refused(host, "image", "inspect", "nope")
    host.minirun("tag", one[7:20], "three:v")
    host.minirun("tag", "three:v", "three:w")
    host.minirun("tag", "two", "three:w")
    assert inspect(host, one)["RepoTags"] == ["one:latest", "three:v"]
    assert "Error parsing reference" in refused(host, "tag", "one", "UPPER")
    assert "No such image: nope:latest" in refused(host, "tag", "nope", "x")
    asked = host.minirun("image", "prune", input="y\n").stdout
    assert "WARNING! This will remove all dangling images." in asked
    assert asked.count("deleted: sha256:") == 2
    host.minirun("create", "--name", "user", "two", "x")
    pruned = host.minirun("image", "prune", "-a", "-f").stdout
    assert "untagged: one:latest" in pruned
    assert "Total reclaimed space: 1.985MB" in pruned
    assert names() == ["three:w", "two:latest"]
    assert len(host.sh(f"ls {LAYERS}").split()) == 1


def test_an_image_in_use_stays(host: Host) -> None:
    host.minirun("run", "-d", "--name", "up", "--net=none", "busybox", "sleep", "1000")
    identity = inspect(host, "busybox")["Id"][7:]
    up = json.loads(host.minirun("inspect", "up").stdout)[0]["Id"][:12]
    short = identity[:12]
    for words, says in (
        (
            ["busybox"],
            f'unable to remove repository reference "busybox" (must force) - container {up} is using its referenced'
            f" image {short}",
        ),
        ([short], f"unable to delete {short} (cannot be forced) - image is being used by running container {up}"),
        (["-f", short], f"unable to delete {short} (cannot be forced) - image is being used by running container {up}"),
    ):
        assert f"conflict: {says}" in refused(host, "rmi", *words)
    host.minirun("stop", "-t", "0", "up")
    assert f"(must be forced) - image is being used by stopped container {up}" in refused(host, "image", "rm", short)
    host.minirun("tag", "busybox", "also")
    assert host.minirun("rmi", "busybox").stdout == "Untagged: busybox:latest\n"
    host.minirun("tag", "also", "other:1")
    assert "image is referenced in multiple repositories" in refused(host, "rmi", short)
    removed = host.minirun("rmi", "-f", identity).stdout.splitlines()
    assert removed == ["Untagged: also:latest", "Untagged: other:1", f"Deleted: sha256:{identity}"]
    assert host.minirun("images", "-aq").stdout == ""
    assert "No such image" in refused(host, "rmi", identity)
    assert host.minirun("rmi", "-f", "nope").returncode == 0
    host.minirun("start", "up")  # the container still has its files
    assert host.minirun("exec", "up", "echo", "here").stdout == "here\n"
    host.minirun("rm", "-f", "up")
    host.minirun("images")
    assert host.sh(f"ls {LAYERS}") == ""
    assert run(host, "busybox", "echo", "again").stdout == "again\n"
    assert inspect(host, "busybox")["Id"][7:] == identity


def test_parents_go_with_their_last_child(host: Host) -> None:
    host.minirun("run", "--name", "made", "--net=none", "busybox", "touch", "/x")
    for name in ("child", "second"):
        host.minirun("commit", "made", name)
    host.minirun("create", "--name", "third", "child", "x")
    for name, found in (("busybox", ["made", "third"]), ("child", ["third"]), ("second", [])):
        shown = host.minirun("ps", "-a", "--filter", f"ancestor={name}", "--format", "{{.Names}}").stdout
        assert sorted(shown.split()) == found
    host.minirun("rm", "made", "third")
    base = inspect(host, "busybox")["Id"]
    assert "image has dependent child images" in refused(host, "rmi", "-f", base)
    assert host.minirun("rmi", "busybox").stdout == "Untagged: busybox:latest\n"
    assert sorted(host.minirun("images", "--format", "{{.Repository}}").stdout.split()) == ["child", "second"]
    assert "<none>" in host.minirun("images", "-a").stdout
    assert base not in host.minirun("rmi", "--no-prune", "child").stdout
    assert run(host, "second", "ls", "/x").stdout == "/x\n"
    assert f"Deleted: {base}" in host.minirun("rmi", "second").stdout
    assert host.sh(f"ls {LAYERS}") == ""


def test_removing_while_containers_are_made(host: Host) -> None:
    """Each either has its image, and runs, or was told that there is none."""
    data = f"/proc/{host.pid}/root/run/i.tar"
    host.sh(f'"{MINIRUN}" create --name tree busybox; "{MINIRUN}" export tree > /run/i.tar; "{MINIRUN}" rm tree')
    assert os.path.exists(data)
    for _ in range(3):
        host.minirun("import", "/run/i.tar", "brief")
        making = [
            host.popen([MINIRUN, "run", "--rm", "--net=none", "brief", "true"], stderr=subprocess.PIPE)
            for _ in range(2)
        ]
        removing = host.popen([MINIRUN, "rmi", "-f", "brief"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for process in making:
            said = process.communicate(timeout=60)[1].decode()
            told = ("No such image", "Unable to find image", "the image brief of this container is gone")
            assert process.returncode == 0 or any(one in said for one in told), said
        assert removing.wait(timeout=60) == 0
    host.minirun("rmi", "busybox")
    host.minirun("image", "prune", "-a", "-f")
    assert host.sh(f"ls {LAYERS}") == ""


_TOO_LATE = """
from minirun import engine
from minirun.image.defaults import inherit
from minirun.image.remove import remove_image
from minirun.image.resolve import image_to_run
from minirun.instance import Instance
from minirun.model import Spec
instance = Instance()
spec = inherit(Spec("busybox", ("true",)), image_to_run(instance, "busybox"), ())
validate = engine._validate
def validate_slowly(*words):
    try:
        return validate(*words)
    finally:
        remove_image(instance, "busybox", force=False, prune=True)
engine._validate = validate_slowly
engine.create(instance, "late", spec)
"""


def test_an_image_that_is_removed_between_the_look_and_the_record(host: Host) -> None:
    done = host.run([sys.executable, "-c", _TOO_LATE], check=False)
    assert "NotFoundError: No such image: busybox" in done.stderr
    assert host.minirun("ps", "-aq").stdout == ""


def test_what_there_is_no_registry_for(crowded: Host) -> None:
    for words in (("pull", "-q", "alpine"), ("image", "pull", "alpine"), ("push", "x"), ("build", "-t", "x", ".")):
        assert "minirun import" in refused(crowded, *words)
