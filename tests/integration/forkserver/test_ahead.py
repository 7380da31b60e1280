"""The process that is forked while a worker waits: the shim of a start, as if the command had forked it."""

import os
import re
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.harness import eventually
from tests.integration.forkserver.served import SERVER, ServedHost

AWAKE = {**os.environ, "MINIRUN_AWAKE": ""}  # a shim that sleeps is another program
SLEEP = ("--net=none", "busybox", "sleep", "1000")


def ahead_of(served: ServedHost) -> int:
    """The pid of the process that was forked ahead for the next command."""

    def look() -> int:
        waiting = served.waiting()
        time.sleep(0.2)  # an unused one is about to end
        return waiting[1] if len(waiting) == 2 and served.waiting() == waiting else 0

    return eventually(look, 10)


@pytest.fixture(autouse=True)
def nothing_is_left(served: ServedHost) -> Iterator[None]:
    yield
    served.run("rm", "-f", "web")


def shim_of(served: ServedHost, container: str) -> int:
    return int(served.run("inspect", "-f", "{{.State.MonitorPid}}", container).output)


def started(served: ServedHost, name: str, **kwargs: Any) -> int:
    """Start a container; returns the pid of its shim."""
    assert served.run("run", "-d", "--name", name, *SLEEP, env=AWAKE, **kwargs).code == 0
    return shim_of(served, name)


@pytest.mark.parametrize("verb", ["run", "start", "restart"])
def test_it_becomes_the_shim(served: ServedHost, verb: str) -> None:
    if verb == "run":
        ahead = ahead_of(served)
        assert started(served, "web") == ahead
    else:
        served.run("create", "--name", "web", *SLEEP)
        ahead = ahead_of(served)
        done = served.run(verb, "web", env=AWAKE)
        assert (done.way, done.code, shim_of(served, "web")) == (SERVER, 0, ahead)
    served.run("rm", "-f", "web")
    eventually(lambda: not served.state(ahead))


def test_unused_it_ends_with_its_worker(served: ServedHost) -> None:
    ahead = ahead_of(served)
    assert served.run("ps").way == SERVER
    eventually(lambda: not served.state(ahead))
    eventually(lambda: len(served.waiting()) == 2)


def test_killed_it_is_replaced(served: ServedHost) -> None:
    ahead = ahead_of(served)
    served.send("KILL", ahead)
    eventually(lambda: served.state(ahead) in ("", "Z"))
    assert started(served, "web")
    served.run("rm", "-f", "web")


def test_it_ends_with_the_server(served: ServedHost) -> None:
    ahead = ahead_of(served)
    served.kill_server()
    eventually(lambda: not served.state(ahead))
    eventually(lambda: served.way() == SERVER, 30)


def test_where_the_command_moves_it_ends(served: ServedHost) -> None:
    """In another pid namespace, the worker is made anew, and forks the shim itself."""
    ahead = ahead_of(served)
    done = served.run("run", "--rm", *SLEEP[:2], "true", before="exec unshare --pid --fork --mount-proc")
    assert (done.way, done.code) == (SERVER, 0)
    eventually(lambda: not served.state(ahead))


def has_reaped_its_helper(served: ServedHost, shim: int) -> bool:
    links = (served.proc / str(shim) / "fd").iterdir()
    return sum(os.readlink(link) == "anon_inode:[pidfd]" for link in links) == 1


@pytest.mark.parametrize(
    "before",
    [
        "exec",
        "umask 027; exec",
        "exec nice -n 5",
        "exec choom -n 300 --",
        "ulimit -n 500; exec",
        "cd /tmp; exec",
        "exec taskset 1",
        "exec env -u HOME TZ=Asia/Tokyo A=B",
        "exec unshare --uts",
        "exec unshare --net",
        "trap '' USR1 HUP; exec",
        "exec </dev/null >/dev/null; exec",
        "exec chrt --batch 0",
        "exec ionice -c 3",
        "exec setpriv --groups 4,5",
    ],
)
def test_it_is_like_a_shim_that_a_command_has_forked(served: ServedHost, before: str) -> None:
    found = []
    for way in ("", "off"):
        ahead = ahead_of(served)
        done = served.run("run", "-d", "--name", "web", *SLEEP, before=before, way=way, env=AWAKE)
        assert done.code == 0, done.errors
        shim = shim_of(served, "web")
        assert (shim == ahead) == (way == "")
        eventually(partial(has_reaped_its_helper, served, shim))
        found.append(described(served, shim))
        served.run("rm", "-f", "web")
    keys = found[0].keys() | found[1].keys()
    assert {key: (found[0].get(key), found[1].get(key)) for key in keys if found[0].get(key) != found[1].get(key)} == {}


def test_those_that_wait_have_their_copies_of_memory_already(served: ServedHost) -> None:
    """Of what the last start has used; kernel/memory.py."""
    for _ in range(3):
        ahead_of(served)
        assert served.run("run", "--rm", *SLEEP[:2], "true").code == 0
    ahead = ahead_of(served)
    eventually(lambda: min(own_memory(served, pid) for pid in served.waiting()) > 6000)
    assert ahead in served.waiting()


def own_memory(served: ServedHost, pid: int) -> int:
    """KiB that a process has written to and shares with no other."""
    rollup = (served.proc / str(pid) / "smaps_rollup").read_text()
    return int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Private_Dirty:")))


def test_explain_hears_the_shim(served: ServedHost) -> None:
    """One that was forked before anybody listened would tell nothing."""
    mounts = []
    for way in ("", "off"):
        ahead_of(served)
        done = served.run("--explain=full", "run", "--rm", *SLEEP[:2], "true", way=way)
        assert done.code == 0
        mounts.append(re.findall(r"(?m)^ *mount ", (done.output + done.errors).decode()))
    assert len(mounts[0]) == len(mounts[1]) > 3


def described(served: ServedHost, shim: int) -> dict[str, Any]:
    """Its attributes, and its files without their numbers."""
    shown = served.describe(shim)
    shown["words"] = shown["words"].replace("/bin/minirun", "/libexec/minirun")
    files = [
        re.sub("containers/[0-9a-fN]+", "containers/ID", shown.pop(key)) for key in list(shown) if key.startswith("fd/")
    ]
    return {**shown, "files": sorted(files)}
