"""minirun update: new limits and a new restart policy, for containers that exist."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from typer import Option

from minirun.cli.completion.values import words
from minirun.cli.container.options import LimitOptions
from minirun.cli.container.spec import Limits, asked_limits
from minirun.cli.each import for_each_container
from minirun.cli.parameters import AnyContainers, with_option_groups
from minirun.cli.session import commands, open_instance, session
from minirun.engine.hot_update import shim_awake
from minirun.engine.lifecycle import record_event
from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel import cgroups, controllers, limits
from minirun.model import ACTIVE, Container, Status
from minirun.options import supervision
from minirun.options.limits import check_limits, limit_fields, merge_limits

app = commands()


@app.command("update")
@with_option_groups
def update(
    containers: AnyContainers,
    options: LimitOptions,
    restart: Annotated[
        str | None,
        Option(
            "--restart",
            help="Restart policy to apply when a container exits",
            autocompletion=words("no", "on-failure", "on-failure:", "always", "unless-stopped"),
        ),
    ] = None,
) -> int:
    """Update configuration of one or more containers."""
    if restart is None and options == LimitOptions():
        raise MinirunError("you must provide one or more flags when using this command")
    session().fail_with(FAILED)
    asked = asked_limits(options)
    if restart is not None:
        supervision.parse_restart(restart)
    session().fail_with(1)
    instance = open_instance()
    return for_each_container(
        instance, containers, lambda container: update_container(instance, container, asked, restart)
    )


def update_container(instance: Instance, container: Container, asked: Limits, restart: str | None) -> None:
    """Change limits and the restart policy. The kernel first: what it refuses is not on record either.

    restart: as --restart has it; None: it stays
    """
    spec = container.spec
    if restart is not None:
        spec = replace(spec, restart=supervision.parse_restart(restart, spec.auto_remove))
    if asked:
        new = check_limits(merge_limits(limits.of(spec.limits), limits.of(asked)))
        # On record before its groups are made: an end that comes in between then knows of them.
        instance.store.set_spec(container.id, replace(spec, limits=limit_fields(new)))
        try:
            _apply(instance, container, new)
        except BaseException:
            instance.store.set_spec(container.id, container.spec)
            raise
        spec = replace(spec, limits=limit_fields(new))
    with shim_awake(instance, container) if restart is not None else nullcontext(), instance.store.write():
        instance.store.set_spec(container.id, spec)
        record_event(instance.store, container.id, "update")


def _apply(instance: Instance, container: Container, new: limits.Limits) -> None:
    wanted = limits.groups(instance.cgroup, container.id, new)  # refuses what this host cannot keep
    if container.status not in ACTIVE:
        return
    if container.status is not Status.RUNNING:
        raise MinirunError(f"container {container.name} is {container.status}", "wait until it runs, or stop it")
    present = controllers.existing(instance.cgroup, container.id)
    limits.update([*present, *wanted], limits.of(container.spec.limits), new, lambda: _members(instance, container))


def _members(instance: Instance, container: Container) -> list[int]:
    group = cgroups.container_cgroup(instance.cgroup, container.id)
    return controllers.members(group) if group else _from(controllers.existing(instance.cgroup, container.id))


def _from(groups: list[Path]) -> list[int]:
    return [pid for group in groups for pid in controllers.members(group)]
