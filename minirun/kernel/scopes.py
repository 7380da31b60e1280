"""A systemd scope for each container, where systemd manages the v2 hierarchy: a transient one with `Delegate=yes`
(https://systemd.io/CGROUP_DELEGATION/).

systemd then does not change what is below; a group outside a delegated one loses its controllers when systemd next sets
up its own. `systemctl status` and `systemd-cgls` show the container, and a logout does not end it. systemd removes the
scope when its last process has ended.

    system.slice/minirun-ID.scope/monitor      the shim, since a group with members cannot pass controllers on
                                 /container    the container
"""

import time
from pathlib import Path

from minirun.errors import FAILED, MinirunError
from minirun.kernel import cgroups
from minirun.kernel.dbus import Bus
from minirun.kernel.seam import shell

_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_EXISTS = "org.freedesktop.systemd1.UnitExists"
_NO_LIMIT = (1 << 64) - 1
_PATIENCE = 10.0  # seconds; systemd may be slow under load


@shell("# systemd makes minirun-{container_id}.scope with Delegate=yes around process {pid}")
def scope_add(container_id: str, name: str, pid: int, patience: float | None) -> None:
    """Make a scope with `pid` in it; waits until the scope of the container's last run is gone.

    `patience`: seconds that a shutdown of the host waits after SIGTERM; None: for ever. Raises MinirunError.
    """
    properties = [
        ("Description", ("s", f"minirun container {name}")),
        ("Delegate", ("b", True)),
        ("PIDs", ("au", [pid])),
        ("TimeoutStopUSec", ("t", _NO_LIMIT if patience is None else int(patience * 1_000_000))),
        ("TasksMax", ("t", _NO_LIMIT)),  # the container's own limit is set below
        ("CollectMode", ("s", "inactive-or-failed")),
    ]
    scope = cgroups.scope_of(container_id)
    deadline = time.monotonic() + _PATIENCE
    try:
        bus = Bus()
        try:
            while failure := bus.call(
                *_MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", scope.name, "fail", properties, []
            ):
                if failure.name != _EXISTS or time.monotonic() > deadline:
                    raise _refused(scope, failure.text)
                time.sleep(0.002)
        finally:
            bus.close()
    except OSError as error:
        raise _refused(scope, error.strerror or "no answer") from error
    while pid not in cgroups.cgroup_pids(scope):  # systemd has only queued the job
        if time.monotonic() > deadline:
            raise _refused(scope, "it was not made in time")
        time.sleep(0.001)


def _refused(scope: Path, why: str) -> MinirunError:
    return MinirunError(f"systemd was asked for {scope.name}: {why}", f"systemctl status {scope.name}", FAILED)
