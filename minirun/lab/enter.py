"""The story of a lab, from the user's command to its exit code."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from minirun.errors import FAILED, ConflictError
from minirun.forkserver.location import launcher
from minirun.kernel import cgroups, lab_cgroup, lab_mounts
from minirun.kernel.lab import FirstProcess
from minirun.kernel.loopback import loopback_up
from minirun.lab import egress, facts, obstacles
from minirun.lab.ids import map_ids, user_name

STATE_ROOT = "/var/lib/minirun"  # instance.DEFAULT_ROOT, which is not imported: that takes longer than all of this
_RESOLV_CONF = "/etc/resolv.conf"
_ROOT_VARIABLE = "MINIRUN_ROOT"  # instance.ROOT_VARIABLE
_KEPT = "state"  # in the directory of --state, which is locked: minirun locks its state root itself


def run_lab(argv: list[str], state: str = "") -> int:
    """Run a command in a lab of its own, or with [] a shell, and return its exit code.

    `state` is a directory that keeps the lab's state; with "" it is in memory. MinirunError when this host allows no
    lab, or another lab uses that directory.
    """
    obstacles.refuse_real_root()
    os.environ.pop(_ROOT_VARIABLE, None)  # two labs would use one state root at once
    _put_on_path()
    delegated = lab_cgroup.delegated()
    with _locked(state) as directory, lab_cgroup.lab_group(delegated) if delegated else nullcontext() as group:
        try:
            first = FirstProcess(_settle, argv or [os.environ.get("SHELL") or "/bin/sh"])
        except OSError as error:
            raise obstacles.no_namespaces(error) from error
        try:
            if group:
                lab_cgroup.lab_group_give(group, first.pid)
            ids, why_single = map_ids(first.pid)
            way_out, why_closed = egress.start_egress(first.pid)
            lab = facts.Lab(user_name(), directory, ids, why_single, way_out, why_closed, group is not None)
            if failure := first.go({"lab": facts.pack(lab), "uid": os.getuid()}):
                raise obstacles.not_settled(failure)
            if not argv:
                print(facts.welcome(lab), end="", file=sys.stderr, flush=True)
            first.start()
            return first.wait()
        finally:
            first.kill()


def _put_on_path() -> None:
    """Have `minirun` found in the lab, also where it is not on the PATH, as in a virtual environment."""
    program, places = launcher(), os.get_exec_path()
    if program and not any(os.access(os.path.join(place, "minirun"), os.X_OK) for place in places):
        os.environ["PATH"] = os.pathsep.join([*places, str(program.parent)])


def _settle(sent: dict[str, Any]) -> None:
    """Prepare the lab, in its first process."""
    lab = facts.unpack(sent["lab"])
    resolv_conf = egress.resolv_conf(bool(lab.egress))
    cgroups.unshare_cgroup()
    lab_mounts.kernel_filesystems(f"/run/user/{sent['uid']}")
    if lab.has_cgroup and (top := cgroups.unified()):
        lab_cgroup.lab_group_settle(top)
    lab_mounts.new_boot_id()
    lab_mounts.state_root_place(STATE_ROOT, f"{lab.state}/{_KEPT}" if lab.state else "")
    lab_mounts.file_cover(_RESOLV_CONF, resolv_conf)
    loopback_up()
    facts.write(lab)


@contextmanager
def _locked(state: str) -> Iterator[str]:
    """Make the directory, and hold it for one lab: two would take each other's containers for ended ones."""
    if not state:
        yield ""
        return
    directory = Path(os.path.realpath(state))
    (directory / _KEPT).mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConflictError(
            f"another lab uses {directory}", "leave that one first, or choose another directory", FAILED
        ) from None
    else:
        yield str(directory)
    finally:
        os.close(fd)
