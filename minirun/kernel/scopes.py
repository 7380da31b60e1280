"""Where systemd keeps the v2 hierarchy, groups of others are below one that it has given away: a transient scope for
each container, with `Delegate=yes` (https://systemd.io/CGROUP_DELEGATION/).

systemd then leaves alone what is below; made at the top without asking, a group loses its controllers when systemd
puts its own house in order. `systemctl status` and `systemd-cgls` show the container, and who logs out does not take
it along. The scope goes by itself when its last process has ended.

    system.slice/minirun-ID.scope/monitor      the monitor, since a group with members cannot pass controllers on
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
_PATIENCE = 10.0  # seconds; under load systemd has other things to do


@shell("# systemd makes minirun-{container_id}.scope with Delegate=yes around process {pid}")
def scope_add(container_id: str, name: str, pid: int, patience: float | None) -> None:
    """On return `pid` is in the scope. It may have to wait until the one of the container's last run is gone.
    `patience`: seconds that a shutdown of the host leaves the container after SIGTERM; None: for ever."""
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
    while pid not in cgroups.cgroup_pids(scope):  # systemd has only promised to
        if time.monotonic() > deadline:
            raise _refused(scope, "it was not made in time")
        time.sleep(0.001)


def _refused(scope: Path, why: str) -> MinirunError:
    return MinirunError(f"systemd was asked for {scope.name}: {why}", f"systemctl status {scope.name}", FAILED)
