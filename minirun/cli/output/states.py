"""What a container's state is called, in docker's words."""

import json
import time

from minirun.cli.output.table import ago, span
from minirun.model import Container, Status

STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
HEALTHS = ("starting", "healthy", "unhealthy", "none")


def state_of(container: Container) -> str:
    """The word of `ps --filter status=`."""
    if container.paused:
        return "paused"
    return "created" if container.status is Status.STARTING else str(container.status)


def health_status(container: Container) -> str:
    """The word of `ps --filter health=`."""
    return str(json.loads(container.health)["Status"]) if container.health else "none"


def health_of(container: Container) -> str:
    """The health in brackets behind the status; "" without a health check."""
    status = health_status(container)
    if status == "none":
        return ""
    return f" (health: {status})" if status == "starting" else f" ({status})"


def status_of(container: Container) -> str:
    """The STATUS column of ps."""
    if container.status is Status.RUNNING:
        up = f"Up {span(time.time() - container.started_at)}"
        return up + (" (Paused)" if container.paused else health_of(container))
    if container.status is Status.RESTARTING:
        return f"Restarting ({container.exit_code}) {ago(container.finished_at)}"
    if container.status is Status.EXITED:
        return f"Exited ({container.exit_code}) {ago(container.finished_at)}"
    return "Removal In Progress" if container.status is Status.REMOVING else "Created"
