"""When a policy starts a container again; and starting one whose shim was killed, which nobody else does.

https://docs.docker.com/engine/containers/start-containers-automatically/
"""

import sys

from minirun.engine.lifecycle import KILLED, SHIM_LOST
from minirun.instance import Instance
from minirun.kernel.processes import spawn_away
from minirun.model import Container, Restart, Status


def wants_restart(policy: Restart, code: int, restarts: int) -> bool:
    """Whether the policy restarts a run that ended with exit code `code`, after `restarts` restarts."""
    if policy.name in ("always", "unless-stopped"):
        return True
    return policy.name == "on-failure" and code != 0 and (not policy.most or restarts < policy.most)


def wants_revival(container: Container) -> bool:
    """Whether a container that was killed with its shim is to run again, as if the program had been killed alone."""
    return not container.stop_requested and wants_restart(container.spec.restart, KILLED, container.restarts)


def is_lost(container: Container) -> bool:
    """Whether it was killed with its shim, which is on record, and is to run again."""
    return container.status is Status.EXITED and container.error == SHIM_LOST and wants_revival(container)


def revive(instance: Instance, container: Container) -> None:
    """Start this and all other lost containers in the background: this command may still have to do with them.

    Called before the end is on record: if this process is killed in between, the new one records it. What goes wrong is
    told in the log of this container's shim.
    """
    argv = [sys.executable, "-I", "-m", "minirun", "--root", str(instance.root), "system", "start", "--lost"]
    spawn_away(argv, [], str(instance.container_dir(container.id) / "shim.log"))
