"""Commit: the layers and the configuration of a container become an image."""

import json
import sys

from tests.harness import Host
from tests.harness.host import MINIRUN
from tests.integration.image.image_tools import inspect, refused, run


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
from minirun.archive.layer_content import LayerDigest
from minirun.image import records
from minirun.image.create import NewImage, add_image
from minirun.image.resolve import find_image
from minirun.instance import Instance
instance = Instance()
image = find_image(instance, "busybox")
for number in range(int(sys.argv[1])):
    def fill(layer):
        (layer / "layers").mkdir()
        (layer / "layers" / str(number)).write_text(str(number))
        (layer / "last").write_text(str(number))
        return LayerDigest(format(number, "064x"), 0)
    image = add_image(instance, fill, NewImage(image.config, parent=image.id), "many:latest", image)
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
