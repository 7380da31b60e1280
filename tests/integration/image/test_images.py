"""Images: listed and removed, and an image in use stays."""

import json
import os
import subprocess
import sys

from tests.harness import Host
from tests.harness.host import MINIRUN
from tests.integration.image.image_tools import LAYERS, archive, import_, inspect, refused, run


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


def test_what_several_images_share_is_told_once(host: Host) -> None:
    """Also two layers of the same content, each in a directory of its own."""
    host.minirun("run", "--name", "made", "--net=none", "busybox", "touch", "/x")
    for name in ("one", "two", "three"):
        host.minirun("commit", "-m", name, "made", name)
    host.minirun("rm", "made")
    deleted = [line for line in host.minirun("rmi", "one", "two", "three").stdout.splitlines() if "Deleted" in line]
    assert len(deleted) == len(set(deleted)) == 4  # three images, and the layer


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
from minirun.engine import start
from minirun.image.defaults import inherit
from minirun.image.remove import remove_image
from minirun.image.resolve import image_to_run
from minirun.instance import Instance
from minirun.model import Spec
instance = Instance()
spec = inherit(Spec("busybox", ("true",)), image_to_run(instance, "busybox"), ())
validate = start._validate
def validate_slowly(*words):
    try:
        return validate(*words)
    finally:
        remove_image(instance, "busybox", force=False, prune=True)
start._validate = validate_slowly
start.create(instance, "late", spec)
"""


def test_an_image_that_is_removed_between_the_look_and_the_record(host: Host) -> None:
    done = host.run([sys.executable, "-c", _TOO_LATE], check=False)
    assert "NotFoundError: No such image: busybox" in done.stderr
    assert host.minirun("ps", "-aq").stdout == ""
