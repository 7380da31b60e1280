"""minirun update: new limits and a new restart policy, for containers that exist."""

from dataclasses import replace
from pathlib import Path

from minirun.cli.app import session
from minirun.cli.each import for_each_container
from minirun.cli.limit_flags import LimitFlags
from minirun.cli.opening import open_instance
from minirun.cli.verb import UsageError, value
from minirun.engine.lifecycle import tell
from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel import cgroups, controllers, limits
from minirun.model import ACTIVE, Container, Status
from minirun.options import supervision
from minirun.options.limits import check_limits, limit_fields, merge_limits


class Update(LimitFlags):
    usage = "CONTAINER [CONTAINER...]"
    least = 1
    completes = "containers"
    restart = value("restart", "", "Restart policy to apply when a container exits")

    def run(self) -> int:
        if not self.given:
            raise UsageError("you must provide one or more flags when using this command.")
        session().fail_with(FAILED)
        asked = self.read_limits(whole=False)
        if "restart" in self.given:
            supervision.parse_restart(self.restart)
        session().fail_with(1)
        instance = open_instance()
        return for_each_container(instance, self.words, lambda one: self._update(instance, one, asked))

    def _update(self, instance: Instance, container: Container, asked: tuple[tuple[str, int | str], ...]) -> None:
        """The kernel first: what it refuses is not on record either."""
        spec = container.spec
        if "restart" in self.given:
            spec = replace(spec, restart=supervision.parse_restart(self.restart, spec.auto_remove))
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
        with instance.store.write():
            instance.store.set_spec(container.id, spec)
            tell(instance.store, container.id, "update")


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
