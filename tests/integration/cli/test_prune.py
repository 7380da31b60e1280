"""prune: removes what it says, and only when told."""

import re

from tests.harness import Host, Snapshot, assert_same


def names(host: Host, *words: str) -> list[str]:
    return list(host.minirun("ps", "--format", "{{.Names}}", *words).stdout.split())


def test_prunes_remove_what_they_say_and_only_when_told(primed: Host) -> None:
    primed.minirun("run", "-d", "--name", "up", "busybox", "sleep", "1000")
    kept = Snapshot.of(primed)
    primed.minirun("network", "create", "unused")
    primed.minirun("network", "create", "used")
    for name, label in (("one", "a=1"), ("two", "a=2")):
        primed.minirun("create", "--name", name, "--label", label, "--net=used", "busybox", "true")
    for answer in ("", "maybe\n"):
        done = primed.minirun("container", "prune", input=answer)
        assert done.stdout.endswith(
            "This will remove all stopped containers.\nAre you sure you want to continue? [y/N] "
        )
    for filters in (["until=1h"], ["label=a=3"], ["label!=a"]):
        words = [word for text in filters for word in ("--filter", text)]
        assert primed.minirun("container", "prune", "-f", *words).stdout == "Total reclaimed space: 0B\n"
    primed.minirun("network", "prune", "-f", "--filter", "until=1h")
    assert names(primed, "-a") == ["two", "one", "up"]
    done = primed.minirun("container", "prune", "--filter", "label=a=1", input="y\n")
    assert re.search(r"Deleted Containers:\n[0-9a-f]{64}\n\nTotal reclaimed space: 0B\n$", done.stdout)
    assert names(primed, "-a") == ["two", "up"]
    assert primed.minirun("network", "prune", input="y\n").stdout.endswith("[y/N] Deleted Networks:\nunused\n\n")
    said = primed.minirun("system", "prune", input="y\n").stdout
    assert "- all stopped containers\n  - all networks not used by at least one container\n" in said
    assert re.search(r"Deleted Containers:\n[0-9a-f]{64}\n\nDeleted Networks:\nused\n\nTotal reclaimed", said)
    assert names(primed, "-a") == ["up"]
    assert_same(primed, kept)


def test_system_prune_takes_volumes_and_images_when_told(primed: Host) -> None:
    primed.minirun("volume", "create", "named")
    primed.minirun("run", "--name", "brief", "--net=none", "-v", "/data", "busybox", "sh", "-c", "echo 1234 > /data/x")
    anonymous = primed.minirun("inspect", "-f", "{{(index .Mounts 0).Name}}", "brief").stdout.strip()
    primed.minirun("tag", "busybox", "again")
    said = primed.minirun("system", "prune", "-f").stdout
    assert re.search(r"Deleted Containers:\n[0-9a-f]{64}\n\nTotal reclaimed space: 0B\n$", said)
    both = ("system", "prune", "-f", "-a", "--volumes")
    refused = primed.minirun(*both, "--filter", "until=1h", check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    said = primed.minirun(*both).stdout
    assert f"Deleted Volumes:\n{anonymous}\n" in said
    assert "Deleted Images:\n" in said
    assert primed.minirun("volume", "ls", "-q").stdout == "named\n"
    assert primed.minirun("images", "-q").stdout == ""
