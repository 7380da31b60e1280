"""build: what a Dockerfile leads to, what the cache keeps, every flag; and a build that ends early leaves nothing."""

import hashlib
import json
import lzma
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Host, eventually
from tests.harness.false_registry import debian_registry
from tests.harness.host import MINIRUN
from tests.integration.image.image_tools import LAYERS, archive, inspect, refused, run

_CACHED = re.compile(r"#\d+ CACHED")


@pytest.fixture(scope="module", name="builder")
def fixture_builder() -> Iterator[Host]:
    """One host for all builds that end as they should."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces")
    with Host() as host:
        host.minirun("run", "--rm", "busybox", "true")  # says that it has enabled forwarding
        yield host


def build(host: Host, dockerfile: str, *words: str, **kwargs: Any) -> Any:
    """Build a Dockerfile without a context."""
    return host.minirun("build", *words, "-", input=dockerfile, **kwargs)


def context(directory: Path, dockerfile: str, **files: str) -> str:
    """Write a build context; `__` in a name is a slash, `_` a dot."""
    (directory / "Dockerfile").write_text(dockerfile)
    for name, content in files.items():
        path = directory / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return str(directory)


def output_of(host: Host, image: str, script: str) -> str:
    return str(run(host, image, "sh", "-c", script).stdout)


STAGES = """
ARG BASE=busybox
FROM $BASE AS base
ARG VERSION=1
ENV NAME=app PATH=$PATH:/opt
RUN mkdir /made && echo "$NAME $VERSION" > /made/file
FROM base AS left
RUN echo left > /left
FROM scratch AS right
COPY one.txt /right
FROM base
WORKDIR /srv/$NAME
COPY one.txt two.txt ./
COPY tree tree
COPY --from=left /left /l
COPY --from=right /right /r
RUN rm two.txt && ls > listing
USER 12:34
EXPOSE 80
VOLUME /data
LABEL kind=test
HEALTHCHECK --interval=3s CMD true
STOPSIGNAL SIGINT
ENTRYPOINT ["cat"]
CMD ["listing"]
"""


def test_stages_become_an_image(builder: Host, tmp_path: Path) -> None:
    where = context(tmp_path, STAGES, one_txt="1\n", two_txt="2\n", tree__deep__leaf="leaf\n")
    first = builder.minirun("build", "-t", "staged", "--build-arg", "VERSION=2", where)
    assert first.stdout == ""
    assert "[stage-3 2/7] WORKDIR /srv/$NAME" in first.stderr
    assert not _CACHED.search(first.stderr)
    assert run(builder, "staged").stdout == "listing\none.txt\ntree\n"
    shown = run(builder, "--entrypoint", "sh", "--user", "0", "staged", "-c", "cat /made/file /l /r tree/deep/leaf")
    assert shown.stdout == "app 2\nleft\n1\nleaf\n"
    image = inspect(builder, "staged")
    config = {name: value for name, value in image["Config"].items() if value}
    assert config == {
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt", "NAME=app"],
        "Cmd": ["listing"],
        "Entrypoint": ["cat"],
        "WorkingDir": "/srv/app",
        "User": "12:34",
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/data": {}},
        "Labels": {"kind": "test"},
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 3_000_000_000},
        "StopSignal": "SIGINT",
    } | ({"Image": config["Image"]} if "Image" in config else {})
    history = builder.minirun("history", "--no-trunc", "--format", "{{.CreatedBy}}", "staged").stdout.splitlines()
    assert history[:3] == ['CMD ["listing"]', 'ENTRYPOINT ["cat"]', "STOPSIGNAL SIGINT"]
    assert 'RUN |1 VERSION=2 /bin/sh -c mkdir /made && echo "$NAME $VERSION" > /made/file' in history
    # The cache, by content: nothing is executed again, and the image is the same one.
    (tmp_path / "one.txt").touch()
    second = builder.minirun("build", "-t", "again", "--build-arg", "VERSION=2", where)
    assert len(_CACHED.findall(second.stderr)) == 9
    assert inspect(builder, "again")["Id"] == image["Id"]
    (tmp_path / "two.txt").write_text("three\n")
    third = builder.minirun("build", "-q", "--build-arg", "VERSION=2", where)
    assert third.stdout.strip() != image["Id"]
    assert third.stderr == ""


def test_a_layer_is_what_a_step_has_changed(builder: Host) -> None:
    build(
        builder, "FROM busybox\nRUN echo a > /a; rm -r /var/www\nRUN --mount=type=tmpfs,target=/x/y touch /x/y/z", "-tl"
    )
    names = builder.sh(f"cd {LAYERS} && ls -A $(ls -t | head -2)")
    assert "etc" not in names, "files of the runtime are not part of a layer"
    assert "x" not in names.split(), "nor is the mount point of a tmpfs"
    assert output_of(builder, "l", "cat /a; ls -d /var/www /x 2>&1; true").startswith("a\nls: ")


COPIES = [
    ("COPY one.txt /new", "/new", "1"),
    ("COPY one.txt /made/", "/made/one.txt", "1"),
    ("COPY one.txt /etc", "/etc/one.txt", "1"),
    ("COPY *.txt /all/", "/all/two.txt", "2"),
    ("COPY tree /t", "/t/deep/leaf", "leaf"),
    ("COPY tree/deep /etc", "/etc/leaf", "leaf"),
    ("COPY --parents tree/./deep/leaf /p/", "/p/deep/leaf", "leaf"),
    ("COPY --exclude=one* . /x/", "/x/two.txt", "2"),
    ("COPY --link one.txt /linked/", "/linked/one.txt", "1"),
    ("COPY <<EOF /doc\nhello\nEOF", "/doc", "hello"),
    ("RUN <<EOF\necho a > /script\necho b >> /script\nEOF", "/script", "a\nb"),
    ("RUN <<EOF\n#!/bin/sh\necho $0 > /shebang\nEOF", "/shebang", "/dev/pipes/EOF"),
    ("RUN ln -s /made /link && mkdir /made\nCOPY one.txt /link/", "/made/one.txt", "1"),
    ("ADD a.tar /unpacked/", "/unpacked/member", "packed"),
    ("ADD a.tar.xz /unpacked/", "/unpacked/member", "packed"),
    ("COPY a.tar /kept/", "/kept/a.tar", None),
    ("WORKDIR /a/b\nCOPY one.txt .", "/a/b/one.txt", "1"),
    ("COPY link tree /both/", "/both/link", "1"),
    ("COPY lin* /", "/link", "1"),
    ("RUN mkdir /a && touch /a/member\nRUN mkdir -p /b/member/x\nADD a.tar /b/", "/b/member", "packed"),
]


@pytest.mark.parametrize(("instruction", "path", "content"), COPIES, ids=[case[0][:30] for case in COPIES])
def test_where_copied_files_go(builder: Host, tmp_path: Path, instruction: str, path: str, content: str | None) -> None:
    where = context(tmp_path, f"FROM busybox\n{instruction}", one_txt="1", two_txt="2", tree__deep__leaf="leaf")
    (tmp_path / "a.tar").write_bytes(archive(("member", "packed")))
    (tmp_path / "a.tar.xz").write_bytes(lzma.compress(archive(("member", "packed"))))
    (tmp_path / "link").symlink_to("one.txt")
    name = builder.minirun("build", "-q", where).stdout.strip()
    if content is None:
        output_of(builder, name, f"test -f {path}")
    else:
        assert output_of(builder, name, f"cat {path}").strip() == content


def test_owners_modes_and_what_is_left_out(builder: Host, tmp_path: Path) -> None:
    dockerfile = """
FROM busybox
RUN echo 'app:x:1000:2000::/:/bin/sh' >> /etc/passwd; echo 'web:x:33:' >> /etc/group
COPY . /plain/
COPY --chown=app:web --chmod=u=rwX,go= one.txt dir/
COPY --chown=app --chmod=750 tree /owned/new
FROM busybox AS other
COPY --from=0 /dir /dir
"""
    ignored = "**/*.log\n!keep.log\nDockerfile\n.docker*\nsecret\n"
    where = context(tmp_path, dockerfile, one_txt="1", a_log="", keep_log="", tree__x_log="", tree__y="", secret__k="k")
    (tmp_path / ".dockerignore").write_text(ignored)
    os.chown(tmp_path / "one.txt", 7, 7)
    name = builder.minirun("build", "-q", "--target", "0", where).stdout.strip()
    assert output_of(builder, name, "cd /plain && find . | sort").split() == [
        ".",
        "./keep.log",
        "./one.txt",
        "./tree",
        "./tree/y",
    ]
    show = "stat -c '%u:%g %a' /plain/one.txt /dir /dir/one.txt /owned /owned/new /owned/new/y"
    assert output_of(builder, name, show).splitlines() == [
        "0:0 644", "1000:33 755", "1000:33 600", "1000:2000 755", "1000:2000 755", "1000:2000 750"
    ]  # fmt: skip
    name = builder.minirun("build", "-q", where).stdout.strip()
    assert output_of(builder, name, "stat -c '%u:%g %a' /dir/one.txt") == "1000:33 600\n", "--from keeps owners"


def test_mounts_of_run(builder: Host, tmp_path: Path) -> None:
    dockerfile = """
FROM busybox AS tools
RUN mkdir /tools && echo tool > /tools/t
FROM busybox
RUN --mount=type=bind,target=/ctx cat /ctx/one.txt > /got && ! touch /ctx/x 2>/dev/null
RUN --mount=type=bind,target=/ctx,rw touch /ctx/written
RUN --mount=from=tools,source=/tools,target=/tools cat /tools/t >> /got
RUN --mount=from=tools,source=/tools/t,target=/one/t,rw echo more >> /one/t && cat /one/t >> /got
RUN --mount=type=cache,target=/cache,id=c echo x >> /cache/n; wc -l < /cache/n >> /got
RUN --mount=type=cache,target=/cache,id=c,sharing=locked echo x >> /cache/n; wc -l < /cache/n >> /got
RUN --mount=type=cache,target=/cache,from=tools,source=/tools,uid=5 cat /cache/t >> /got; stat -c %u /cache >> /got
RUN --mount=type=tmpfs,target=/t,size=1m df -k /t | awk 'END {print $2}' >> /got
RUN --mount=type=secret,id=s --mount=type=secret,id=e,env=E test $(echo $(cat /run/secrets/s)$E | wc -c) = 11
RUN --mount=type=secret,id=none,target=/none test ! -e /none
RUN --mount=type=ssh [ -S "$SSH_AUTH_SOCK" ]
"""
    where = context(tmp_path, dockerfile, one_txt="1\n", s_key="0p3n")
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(str(tmp_path / "agent"))
    words = [
        "--secret",
        f"id=s,src={tmp_path}/s.key",
        "--secret",
        "id=e,env=HUSH",
        "--ssh",
        f"default={tmp_path}/agent",
    ]
    done = builder.run(["env", "HUSH=Sesam3", MINIRUN, "build", "-t", "mounted", *words, where])
    agent.close()
    assert "ERROR" not in done.stderr
    got = output_of(builder, "mounted", "cat /got").split()
    assert got == ["1", "tool", "tool", "more", "1", "2", "tool", "5", "1024"]
    assert output_of(builder, "mounted", "ls -d /ctx /tools /one /cache /t /run /none 2>/dev/null || true") == ""
    assert not (tmp_path / "written").exists()
    # Neither layers, history, records nor /run hold a secret.
    assert builder.sh("grep -rlE '0p3n|Sesam3' /var/lib/minirun /run --exclude-dir=netns || true") == ""
    assert "0p3n" not in builder.minirun("history", "--no-trunc", "mounted").stdout


def test_flags_of_run(builder: Host) -> None:
    dockerfile = """
FROM busybox
RUN cat /etc/hosts | grep extra; df -k /dev/shm | awk 'END {print $2}'; ulimit -n; echo proxy=$http_proxy
RUN --network=none ls /sys/class/net
RUN --network=host ls -d /sys/class/net/minirun0
RUN cat /proc/net/dev | grep -c eth0
"""
    words = [
        "--add-host",
        "extra:10.1.2.3",
        "--shm-size",
        "2m",
        "--ulimit",
        "nofile=77",
        "--build-arg",
        "http_proxy=p:1",
    ]
    refusal = refused(builder, "build", *words, "-", input=dockerfile)
    assert "Dockerfile:5" in refusal
    assert "minirun: network.host is not allowed\nminirun build --allow network.host" in refusal
    shown = build(builder, dockerfile, *words, "--allow", "network.host", "-t", "flags").stderr
    lines = re.findall(r"#\d+ \d+\.\d+ (.*)", shown)
    assert lines == ["/sys/class/net/minirun0", "1"], "the RUN above are from the cache"
    assert all(text in refusal for text in ("extra", "2048", " 77", "proxy=p:1"))
    assert "p:1" not in builder.minirun("history", "--no-trunc", "flags").stdout
    alone = build(builder, "FROM busybox\nRUN ls /sys/class/net", "--network", "none", "--progress=plain").stderr
    assert re.findall(r"#\d+ \d+\.\d+ (.*)", alone) == ["lo"]


def test_results_are_told(builder: Host, tmp_path: Path) -> None:
    words = ["--iidfile", f"{tmp_path}/id", "--metadata-file", f"{tmp_path}/meta", "-t", "told:1", "-t", "told:2"]
    fixed = ["--provenance=false", "--sbom=false", "--load", "--rm", "--force-rm"]
    done = build(builder, "FROM busybox\nCMD a", *words, "--label", "a=b", "--quiet", *fixed)
    image = inspect(builder, "told:2")
    assert done.stdout == image["Id"] + "\n"
    assert (tmp_path / "id").read_text() == image["Id"]
    assert json.loads((tmp_path / "meta").read_text()) == {
        "containerimage.config.digest": image["Id"],
        "containerimage.digest": image["Id"],
        "image.name": "docker.io/library/told:1,docker.io/library/told:2",
    }
    assert image["RepoTags"] == ["told:1", "told:2"]
    assert image["Config"]["Labels"] == {"a": "b"}
    events = builder.minirun("events", "--since", "1h", "--until", "0s", "--filter", "event=tag").stdout
    assert "name=told:1" in events


def test_what_is_shown(builder: Host) -> None:
    dockerfile = "FROM busybox\nRUN echo out; echo $((6*7)) >&2; printf end; false"
    plain = refused(builder, "build", "--progress=plain", "-", input=dockerfile)
    # The two streams are two pipes: only the order of each is certain.
    lines = r"((#2 )?[\d.]+ (out|42|end)\n){3}"
    assert re.search(rf"#2 \[2/2\] RUN echo out.*\n{lines}#2 ERROR: process", plain)
    quiet = refused(builder, "build", "--progress=quiet", "-", input=dockerfile)
    assert re.match(rf"------\n > \[2/2\] RUN .*\n{lines}------\nDockerfile:2\n", quiet)
    raw = refused(builder, "build", "--progress=rawjson", "-", input=dockerfile).splitlines()
    assert [json.loads(line)["event"] for line in raw[:5]] == ["begin", "output", "end", "begin", "output"]
    shown = refused(builder, "build", "--progress=tty", "-", input=dockerfile)
    assert all(text in shown for text in (" => [2/2] RUN", "ERROR", "42"))
    for text in (plain, quiet, shown):
        assert text.endswith(
            "   1 |     FROM busybox\n   2 | >>> RUN echo out; echo $((6*7)) >&2; printf end; false\n"
            '--------------------\nminirun: process "/bin/sh -c echo out; echo $((6*7)) >&2; printf end; false"'
            " did not complete successfully: exit code: 1\n"
        )


def test_the_cache_is_left_out_where_that_is_asked_for(builder: Host) -> None:
    dockerfile = "FROM busybox AS one\nRUN echo one > /1\nFROM one\nRUN echo two > /2"
    build(builder, dockerfile)
    assert len(_CACHED.findall(build(builder, dockerfile).stderr)) == 2
    assert len(_CACHED.findall(build(builder, dockerfile, "--no-cache-filter", "stage-1").stderr)) == 1
    assert len(_CACHED.findall(build(builder, dockerfile, "--no-cache").stderr)) == 0


def test_source_date_epoch_gives_the_same_image_twice(builder: Host, tmp_path: Path) -> None:
    where = context(
        tmp_path, "FROM busybox\nRUN date > /dev/null; echo a > /a\nCOPY one.txt /\nCOPY <<E /e\nx\nE\n", one_txt="1"
    )
    ids = set()
    for _ in range(2):
        (tmp_path / "one.txt").touch()
        done = builder.run(
            ["env", "SOURCE_DATE_EPOCH=1000000000", MINIRUN, "build", "--no-cache", "-qt", "dated", where]
        )
        ids.add(done.stdout)
    assert len(ids) == 1
    image = inspect(builder, "dated")
    assert image["Created"].startswith("2001-09-09T01:46:40")
    assert output_of(builder, "dated", "stat -c %Y /a /one.txt /e").split() == ["1000000000"] * 3
    refusal = refused(builder, "build", "--build-arg", "SOURCE_DATE_EPOCH=x", where)
    assert "invalid SOURCE_DATE_EPOCH: x" in refusal


def test_the_name_of_a_symlink_is_part_of_what_is_copied(builder: Host, tmp_path: Path) -> None:
    """Its content comes from elsewhere, and stays."""
    where = context(tmp_path, "FROM busybox\nCOPY lin* /copied/", one_txt="1")
    (tmp_path / "link").symlink_to("one.txt")
    builder.minirun("build", "-q", where)
    (tmp_path / "link").rename(tmp_path / "linux")
    name = builder.minirun("build", "-q", where).stdout.strip()
    assert output_of(builder, name, "ls /copied") == "linux\n"


def test_onbuild_runs_in_what_is_built_from_it(builder: Host) -> None:
    build(builder, "FROM busybox\nONBUILD RUN echo triggered > /t\nONBUILD ENV A=b", "-t", "parent")
    assert "/t" not in output_of(builder, "parent", "ls /")
    build(builder, "FROM parent\nRUN echo $A >> /t", "-t", "child")
    assert output_of(builder, "child", "cat /t") == "triggered\nb\n"
    assert not inspect(builder, "child")["Config"].get("OnBuild")


def test_where_the_dockerfile_is(builder: Host, tmp_path: Path) -> None:
    where = context(tmp_path, "FROM busybox\nCOPY file /f", sub__other="FROM busybox\nCOPY file /o", file="x")
    named = builder.minirun("build", "-q", "-f", f"{where}/sub/other", where).stdout.strip()
    assert output_of(builder, named, "cat /o") == "x"
    piped = builder.minirun("build", "-q", "-f", "-", where, input="FROM busybox\nCOPY file /p").stdout.strip()
    assert output_of(builder, piped, "cat /p") == "x"
    tar = archive(("Dockerfile", "FROM busybox\nCOPY inner /i"), ("inner", "y"))
    done = builder.minirun("build", "-q", "-", input=tar, text=False)
    assert output_of(builder, done.stdout.decode().strip(), "cat /i") == "y"


def test_the_dockerfile_is_checked(builder: Host) -> None:
    done = builder.minirun("build", "--check", "-", input="FROM busybox as b\nMAINTAINER me", check=False)
    assert done.returncode == 1
    assert "Check complete, 2 warnings found!" in done.stdout
    assert "MaintainerDeprecated" in done.stdout
    assert (
        builder.minirun("build", "--check", "-", input="FROM busybox").stdout == "Check complete, no warnings found.\n"
    )
    warned = build(builder, "FROM busybox\nENV A=$NONE", "--build-arg", "UNKNOWN=1").stderr
    assert "WARN: One or more build-args [UNKNOWN] were not consumed" in warned
    assert "WARN: UndefinedVar: Usage of undefined variable '$NONE'" in warned
    assert "lint violation found for rules: MaintainerDeprecated" in refused(
        builder, "build", "-", input="# check=error=true\nFROM busybox\nMAINTAINER me"
    )


def test_other_platforms(builder: Host) -> None:
    done = build(
        builder, "FROM scratch\nARG TARGETARCH\nCOPY <<E /$TARGETARCH\nx\nE", "--platform", "linux/arm/v7", "-tarm"
    )
    assert done.returncode == 0
    image = inspect(builder, "arm")
    assert (image["Architecture"], image.get("Variant")) == ("arm", "v7")


WRONG = [
    ("FROM busybox\nRUN exit 3", "exit code: 3", 2),
    ("FROM busybox\nCOPY nothing /", '"/nothing": not found', 2),
    ("FROM busybox\nCOPY --from=busybox /no /", '"/no": not found', 2),
    ("FROM busybox\nCOPY --chown=nobody2 <<E /e\nE", "nobody2", 2),
    ("FROM scratch\nRUN true", "the file system of scratch is empty", 2),
    ('FROM busybox\nRUN ["/none"]', "/none", 2),
    ("FROM busybox\nUSER nobody2\nRUN true", "nobody2", 3),
    ("FROM busybox\nRUN --mount=type=secret,id=x,required=true true", "secret x: not found", 2),
    ("FROM busybox\nRUN --mount=type=ssh,required=true true", "no SSH key", 2),
    ("FROM busybox\nRUN --mount=type=ssh,uid=5 true", "uid, gid and mode of an ssh mount are not supported", 2),
    ("FROM busybox\nRUN --mount=type=tmpfs,target=/t,ro touch /t/x", "exit code: 1", 2),
    ("FROM busybox\nRUN --mount=from=busybox,source=/no,target=/x true", "/no", 2),
    ("FROM busybox\nCOPY <<A <<B /x\nA\nB", "more than one source file", 2),
    ("FROM busybox\nADD http://127.0.0.1:1/x /", "127.0.0.1:1", 2),
    ("FROM busybox\nFRM x", "unknown instruction: FRM (did you mean FROM?)", 2),
    ("FROM busybox\nRUN true\nFROM nowhere.invalid/none", "nowhere.invalid", 3),
    ("FROM busybox\nCOPY --from=nowhere.invalid/none /x /", "nowhere.invalid", 2),
    ("FROM Busybox", "lowercase", 1),
    ("FROM busybox AS a\nCOPY --from=b x y\nFROM a AS b", "", 2),
]


@pytest.mark.parametrize(("dockerfile", "message", "line"), WRONG, ids=[case[0][-30:] for case in WRONG])
def test_what_is_wrong_is_shown_in_its_line(builder: Host, dockerfile: str, message: str, line: int) -> None:
    before = state(builder)
    done = builder.minirun("build", "-t", "never", "-", input=dockerfile, check=False)
    assert done.returncode == 1, done.stderr
    assert f"Dockerfile:{line}\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert message in done.stderr.splitlines()[-1] + done.stderr.splitlines()[-2]
    assert "never" not in builder.minirun("images").stdout
    assert state(builder) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["/none"], 'unable to prepare context: path "/none" not found'),
        (["-f", "none", "/run"], "failed to read dockerfile: open none"),
        (["--allow", "all", "/run"], "invalid entitlement: all"),
        (["--progress", "loud", "/run"], "invalid value for --progress: loud"),
        (["--target", "none", "-"], 'target stage "none" could not be found'),
        (["--secret", "id=x,src=/none", "-"], "/none: no such file"),
        (["--secret", "id=x,env=NOT_SET", "-"], "there is no variable NOT_SET"),
        (["--build-arg", "SOURCE_DATE_EPOCH=x", "-"], "invalid SOURCE_DATE_EPOCH: x"),
        (["--ssh", "default=/etc/passwd", "-"], "no socket of an ssh agent"),
        (["--provenance", "true", "-"], "minirun makes no attestations"),
        (["--rm=false", "-"], "always removed"),
        (["--load=false", "-"], "always recorded"),
        (["--push", "-"], "tag is needed when pushing to registry"),
        (["-t", "UPPER", "-"], "UPPER"),
        (["--squash", "-"], "--squash"),
        (["-o", "x", "-"], "minirun save"),
        (["github.com/a/b"], "a remote build context is not supported"),
    ],
)
def test_wrong_options_are_refused(builder: Host, words: list[str], message: str) -> None:
    assert message in refused(builder, "build", *words, input="FROM busybox")


def state(host: Host) -> list[str]:
    """What a build may leave: containers, unfinished layers and blobs, mounts, files of secrets."""
    return host.sh(
        "find /var/lib/minirun/containers /var/lib/minirun/blobs -mindepth 1 2>/dev/null; ls /run | grep -v netns;"
        " ls /run/netns; grep minirun /proc/mounts | cut -d' ' -f2; true"
    ).split("\n")


def layers(host: Host) -> set[str]:
    return set(host.sh(f"ls {LAYERS}").split())


SLOW = "FROM busybox AS a\nRUN echo begun; sleep 60\nFROM busybox\nRUN sleep 60\nCOPY --from=a /x /y"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_interrupted_leaves_nothing(builder: Host, number: int) -> None:
    before, kept = state(builder), layers(builder)
    building = begin(builder)
    os.killpg(building.pid, number)
    building.communicate(timeout=20)
    assert building.returncode not in (0, None)
    eventually(lambda: state(builder) == before)
    assert builder.minirun("ps", "-aq").stdout == ""
    builder.minirun("build", "-q", "-", input="FROM busybox")  # sweeps what cannot be on record
    assert layers(builder) == kept


def begin(
    host: Host, dockerfile: str = SLOW, waits: bool = True, sign: bytes = rb"#\d+ .*RUN "
) -> "subprocess.Popen[bytes]":
    """Start a build; with `waits`, return when its first RUN has begun, else when the line of `sign` is shown."""
    building = host.popen(
        [MINIRUN, "build", "--progress=plain", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert building.stdin is not None
    assert building.stderr is not None
    building.stdin.write(dockerfile.encode())
    building.stdin.close()
    building.stdin = None
    sign = rb"#\d+ \d+\.\d+ begun" if waits else sign
    while not re.match(sign, line := building.stderr.readline()):
        assert line, "it ended"
    return building


def test_a_build_that_waits_for_a_cache_can_be_interrupted(builder: Host) -> None:
    slow = "FROM busybox\nRUN --mount=type=cache,target=/c,sharing=locked echo begun; sleep {}"
    holder, waiter = (begin(builder, slow.format(seconds), waits=seconds == 60) for seconds in (60, 61))
    assert "sleep 61" not in builder.minirun("ps", "--no-trunc").stdout
    os.killpg(waiter.pid, signal.SIGINT)
    waiter.communicate(timeout=10)
    assert "sleep 60" in builder.minirun("ps", "--no-trunc").stdout
    # While a build runs, its cache stays, and everything else is pruned.
    assert "try again when it is done" in refused(builder, "builder", "prune", "-f")
    pruned = builder.minirun("system", "prune", "-f")
    assert "a running build may need" in pruned.stderr
    assert "Total reclaimed space" in pruned.stdout
    os.killpg(holder.pid, signal.SIGINT)
    holder.communicate(timeout=20)
    short = begin(builder, slow.format(1))
    builder.minirun("builder", "prune", "-f")  # waits for one that ends
    short.communicate(timeout=20)
    eventually(lambda: builder.minirun("ps", "-aq").stdout == "", 10)


def test_a_second_signal_does_not_wait_for_a_download(builder: Host) -> None:
    before, kept = state(builder), layers(builder)
    silent = builder.popen(["busybox", "nc", "-l", "-p", "8099"], stdin=subprocess.PIPE)
    eventually(lambda: re.search(r":1FA3 0+:0000 0A", builder.sh("cat /proc/net/tcp /proc/net/tcp6")))
    building = begin(builder, "FROM busybox\nADD http://127.0.0.1:8099/x /", waits=False, sign=rb"#\d+ .*ADD ")
    eventually(lambda: ":1FA3 01 " in builder.sh("cat /proc/net/tcp"))
    os.killpg(building.pid, signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        building.communicate(timeout=1)
    os.killpg(building.pid, signal.SIGINT)
    building.communicate(timeout=5)
    silent.kill()
    silent.wait()
    builder.minirun("build", "-q", "-", input="FROM busybox")
    assert state(builder) == before
    assert layers(builder) == kept


def test_a_build_that_is_killed_leaves_nothing(builder: Host) -> None:
    before, kept = state(builder), layers(builder)
    building = begin(builder)
    assert "sleep 60" in builder.minirun("ps", "--no-trunc").stdout
    builder.sh("pkill -KILL -f 'minirun build --progress=plain'", check=False)
    building.communicate(timeout=20)
    eventually(lambda: state(builder) == before, 10)
    assert builder.minirun("ps", "-aq").stdout == ""
    builder.minirun("build", "-q", "-", input="FROM busybox")  # sweeps the layers that were being filled
    assert layers(builder) == kept


def test_the_build_cache_is_shown_and_pruned(host: Host) -> None:
    """On a host of its own: other tests use the cache at the same time."""
    run = "RUN --mount=type=cache,target=/c dd if=/dev/zero of=/c/f bs=1k count=4 && cp /c/f /big"
    dockerfile = f"FROM busybox\n{run}\nRUN rm /big"
    build(host, dockerfile, "-t", "cached")
    rows = host.minirun("builder", "du", "--format", "{{.CacheType}} {{.Size}}").stdout.splitlines()
    assert sorted(rows) == ["exec.cachemount 4.1kB", "regular 0B", "regular 0B"], "the image has the layers, too"
    assert "exec.cachemount" in host.minirun("buildx", "du", "--verbose").stdout
    assert json.loads(host.minirun("system", "df", "-v", "--format", "json").stdout)["BuildCache"]
    host.minirun("rmi", "cached")
    assert "regular 4.1kB" in host.minirun("builder", "du", "--format", "{{.CacheType}} {{.Size}}").stdout
    assert "Build Cache     3         0         8.192kB   8.192kB" in host.minirun("system", "df").stdout
    assert host.minirun("builder", "prune", "-f", "--filter", "until=1h").stdout == "Total reclaimed space: 0B\n"
    assert "WARNING! This will remove all dangling build cache." in host.minirun("builder", "prune", input="n").stdout
    pruned = host.minirun("builder", "prune", "--force").stdout
    assert pruned.startswith("Deleted build cache objects:\n")
    assert pruned.endswith("Total reclaimed space: 8.192kB\n")
    assert host.minirun("builder", "du").stdout.endswith("Total:\t0B\n")
    build(host, dockerfile, "-t", "cached")
    assert "cannot" not in host.minirun("builder", "prune", "-f").stdout
    assert _CACHED.search(build(host, dockerfile).stderr), "what an image has is no dangling cache"
    assert "Deleted build cache objects" in host.minirun("system", "prune", "-af").stdout
    assert host.minirun("images", "-q").stdout == ""
    assert host.sh(f"ls {LAYERS}") == host.sh("ls /var/lib/minirun/build/mounts") == ""


def test_base_images_come_from_a_registry_and_results_go_there(builder: Host, tmp_path: Path) -> None:
    with debian_registry(tmp_path, builder.popen) as registry:
        name = f"{registry}/team/base"
        pushed = build(builder, "FROM busybox\nRUN echo 1 > /version", "-t", name, "--push").stdout
        assert "latest: digest: sha256:" in pushed
        builder.minirun("rmi", name)
        child = f"FROM {name}\nRUN cp /version /copy"
        shown = build(builder, child, "-t", "child").stderr
        assert f"[internal] pull {name}:latest" in shown
        assert "pull" not in build(builder, child).stderr, "it is here"
        assert f"[internal] pull {name}:latest" in build(builder, child, "--pull").stderr
        assert output_of(builder, "child", "cat /copy") == "1\n"


def test_add_downloads(builder: Host, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    (served / "file.txt").write_text("content")
    (served / "index.html").write_text("index")
    (served / "a.tar").write_bytes(archive(("member", "packed")))
    os.utime(served / "file.txt", (1_000_000_000, 1_000_000_000))
    digest = hashlib.sha256(b"content").hexdigest()
    builder.sh(f"busybox httpd -p 127.0.0.1:8088 -h {served}")
    try:
        url = "http://127.0.0.1:8088"
        dockerfile = f"""
FROM busybox
ADD {url}/file.txt /in/
ADD --checksum=sha256:{digest} {url}/file.txt /named
ADD {url}/file.txt {url}/a.tar /both/
ADD --unpack=true {url}/a.tar /unpacked/
"""
        build(builder, dockerfile, "-t", "added")
        assert output_of(
            builder, "added", "cd /; cat in/file.txt named both/file.txt unpacked/member; test -f both/a.tar"
        ) == ("content" * 3 + "packed")
        assert output_of(builder, "added", "stat -c '%a %Y' /in/file.txt") == "600 1000000000\n"
        assert len(_CACHED.findall(build(builder, dockerfile).stderr)) == 4
        (served / "file.txt").write_text("changed")
        assert "digest mismatch" in refused(builder, "build", "-", input=dockerfile)
        assert "status 404" in refused(builder, "build", "-", input=f"FROM busybox\nADD {url}/none /")
        assert "cannot determine filename" in refused(builder, "build", "-", input=f"FROM busybox\nADD {url}/ /x/")
    finally:
        builder.sh("pkill -f '[b]usybox httpd -p 127.0.0.1:8088'")


def test_explain_shows_what_a_layer_is(builder: Host) -> None:
    dockerfile = "FROM busybox\nRUN echo explained > /new; rm /bin/vi; chmod 700 /home"
    shown = builder.minirun("--explain", "build", "-t", "explained", "-", input=dockerfile)
    layer = inspect(builder, "explained")["RootFS"]["Layers"][-1]
    assert re.search(
        rf"#2 C /bin\n#2 D /bin/vi\n#2 C /home\n#2 A /new\n#2 layer {layer}: \d+ bytes as a tar archive\n", shown.stderr
    )
    assert "Make a layer of what was written" in shown.stderr
    assert re.search(r"mv \S+/upper/\S* \S*layers/\w+\n", shown.stderr)
