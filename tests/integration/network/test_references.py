"""What a name or id means, for networks and containers; and the two networks that are modes."""

import json

import pytest

from tests.harness import Host


def network_id(host: Host, name: str) -> str:
    return str(host.minirun("network", "inspect", "-f", "{{.Id}}", name).stdout.strip())


def test_an_id_comes_before_a_name_and_a_name_before_the_start_of_an_id(primed: Host) -> None:
    primed.minirun("network", "create", "victim")
    identity = network_id(primed, "victim")
    primed.minirun("network", "create", identity)  # named as the other's id
    primed.minirun("network", "create", identity[:12])
    assert network_id(primed, identity) == identity
    assert network_id(primed, identity[:12]) not in (identity, "")
    primed.minirun("network", "rm", identity)
    assert "victim" not in primed.minirun("network", "ls", "--format", "{{.Name}}").stdout.split()
    primed.minirun("network", "rm", identity, identity[:12])
    assert primed.minirun("network", "ls", "-q", "--filter", "type=custom").stdout == ""


def test_so_for_containers(primed: Host) -> None:
    identity = primed.minirun("create", "--name", "victim", "busybox", "true").stdout.strip()
    primed.minirun("create", "--name", identity, "busybox", "true")
    primed.minirun("create", "--name", identity[:8], "busybox", "true")
    assert primed.minirun("inspect", "-f", "{{.Name}}", identity).stdout == "/victim\n"
    assert primed.minirun("inspect", "-f", "{{.Name}}", identity[:8]).stdout == f"/{identity[:8]}\n"
    primed.minirun("rm", identity)
    assert primed.minirun("inspect", "-f", "{{.Name}}", identity).stdout == f"/{identity}\n"
    primed.minirun("rm", identity, identity[:8])
    assert primed.minirun("ps", "-aq").stdout == ""


def test_several_ids_that_begin_alike(primed: Host) -> None:
    seen: dict[str, str] = {}
    for number in range(20):  # two of 17 begin with the same digit
        primed.minirun("network", "create", "--subnet", f"10.9.{number}.0/24", f"n{number}")
        first = network_id(primed, f"n{number}")[0]
        if first in seen:
            break
        seen[first] = f"n{number}"
    done = primed.minirun("network", "inspect", first, check=False)
    assert (done.returncode, f"network {first} is ambiguous" in done.stderr) == (1, True)
    done = primed.minirun("network", "rm", first, check=False)
    assert (done.returncode, "is ambiguous" in done.stderr) == (1, True)


@pytest.mark.parametrize(("name", "driver"), [("host", "host"), ("none", "null")])
def test_the_networks_that_are_modes(crowded: Host, name: str, driver: str) -> None:
    crowded.minirun("run", "-d", "--name", f"in-{name}", f"--net={name}", "busybox", "sleep", "1000")
    found = json.loads(crowded.minirun("network", "inspect", name).stdout)[0]
    assert (found["Name"], found["Driver"], len(found["Id"])) == (name, driver, 64)
    assert [one["Name"] for one in found["Containers"].values()] == [f"in-{name}"]
    assert network_id(crowded, found["Id"]) == network_id(crowded, found["Id"][:10]) == found["Id"]
    listed = dict(
        line.split() for line in crowded.minirun("network", "ls", "--format", "{{.Name}} {{.ID}}").stdout.splitlines()
    )
    assert listed[name] == found["Id"][:12]
    assert found["Id"][:12] in crowded.minirun("network", "ls", "-q").stdout.split()
    for reference in (name, found["Id"][:12]):
        done = crowded.minirun("network", "rm", reference, check=False)
        assert (done.returncode, "is a pre-defined network and cannot be removed" in done.stderr) == (1, True)
    crowded.minirun("rm", "-f", f"in-{name}")


def test_filters_and_a_missing_one(primed: Host) -> None:
    primed.minirun("network", "create", "--label", "a=1", "--label", "b", "one")
    primed.minirun("network", "create", "--label", "a=2", "two")
    primed.minirun("run", "-d", "--name", "web", "--net=two", "busybox", "sleep", "1000")

    def names(*filters: str) -> list[str]:
        flags = [word for text in filters for word in ("--filter", text)]
        return list(primed.minirun("network", "ls", "--format", "{{.Name}}", *flags).stdout.split())

    assert names("label=a") == ["one", "two"]
    assert names("label=a=1") == names("label=a", "label=b") == ["one"]
    assert names("dangling=true") == ["one"]
    assert names("dangling=false") == ["bridge", "host", "none", "two"]
    assert "invalid filter 'dangling=x'" in primed.minirun("network", "ls", "-f", "dangling=x", check=False).stderr
    done = primed.minirun("network", "rm", "-f", "bogus", "one")
    assert (done.stdout, done.stderr) == ("one\n", "")
    assert primed.minirun("network", "rm", "bogus", check=False).returncode == 1
