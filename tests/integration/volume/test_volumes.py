"""Volumes: created, listed, in use, removed, pruned, and seen by cp."""

import json

import pytest

from tests.harness import Host
from tests.harness.fault_sweep import sweep_faults
from tests.integration.volume.volume_tools import STATE, inspect, layer, names, refused, run

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
    assert 'missing required option: "device"' in refused(crowded, "-o", "type=nfs", "x1", verb="volume create", code=1)
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
    options = ("-o", "type=none", "-o", "o=bind", "-o", "device=/run/filled")
    crowded.minirun("volume", "create", *options, "filled")
    run(crowded, "-v", "filled:/var/spool", "busybox", "true")
    assert crowded.sh("ls -A /run/filled") == crowded.sh(f"ls -A {layer(crowded, 'busybox')}/var/spool")
    crowded.sh("rm -r /run/filled")
    assert "failed to mount local volume filled" in refused(crowded, "-v", "filled:/x")
    crowded.minirun("volume", "rm", "filled")


@pytest.mark.parametrize("how", ["fail", "kill"])
def test_a_removal_that_is_cut_short(primed: Host, how: str) -> None:
    def fill() -> None:
        primed.minirun("volume", "create", "gone")
        primed.sh(f"mkdir -p {STATE}/volumes/gone/_data/a/b; echo > {STATE}/volumes/gone/_data/a/f")

    def create() -> None:
        primed.minirun("create", "--name", "user", "-v", "/x", "busybox", "true")

    def check(again: list[str]) -> None:
        primed.minirun(*again)
        assert primed.sh(f"ls -A {STATE}/volumes; ls -d {STATE}/removed 2>/dev/null; true") == ""

    again = ["volume", "rm", "-f", "gone"], ["rm", "-fv", "user"]
    sweep_faults(primed, how, ["volume", "rm", "gone"], lambda _: check(again[0]), prepare=fill)
    sweep_faults(primed, how, ["rm", "-v", "user"], lambda _: check(again[1]), prepare=create)


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
