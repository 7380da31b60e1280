"""From a container's record to the plan of one start: what is asked for, with what only the host knows."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from minirun.engine.environment import environment
from minirun.errors import FAILED, MinirunError
from minirun.init.plan import Plan, PlannedMount
from minirun.instance import Instance
from minirun.kernel import cgroups
from minirun.kernel.credentials import granted
from minirun.kernel.devices import ALWAYS, Rule
from minirun.model import Attachment, Container, Mode, NetworkRequest, Spec, Status
from minirun.network import operations
from minirun.security.confinement import confinement_for
from minirun.store.lookup import find_container

_HOST = (0, 0)


def resolve(instance: Instance, spec: Spec) -> Spec:
    """At creation: other containers are kept by id, so that a rename of theirs changes nothing; what they have mounted
    is copied, and every volume gets a name."""
    changed: dict[str, str] = {}
    for name in ("pid_mode", "ipc_mode"):
        kind, colon, reference = getattr(spec, name).partition(":")
        if colon:
            changed[name] = f"{kind}:{find_container(instance.store, reference, FAILED).id}"
    if spec.network.mode is Mode.CONTAINER:
        other = find_container(instance.store, spec.network.container, FAILED)
        spec = replace(spec, network=replace(spec.network, container=other.id))
    if spec.userns:
        from minirun.engine.id_ranges import settled

        spec = replace(spec, **changed)  # type: ignore[arg-type]
        spec = replace(spec, userns=settled(instance, spec))
        changed = {}
    if any(one.links for one in spec.network.attachments):
        spec = replace(spec, network=_with_linked_ids(instance, spec.network))
    if spec.mounts or spec.volumes_from:
        from minirun.volume.mount_plan import settle_mounts

        spec = settle_mounts(instance, spec)
    return replace(spec, **changed) if changed else spec  # type: ignore[arg-type]


def _with_linked_ids(instance: Instance, request: NetworkRequest) -> NetworkRequest:
    return replace(request, attachments=tuple(with_linked_ids(instance, one) for one in request.attachments))


def with_linked_ids(instance: Instance, attachment: Attachment) -> Attachment:
    links = tuple((find_container(instance.store, name, FAILED).id, alias) for name, alias in attachment.links)
    return replace(attachment, links=links)


def plan_of(
    instance: Instance, container: Container, lower: str, netns: str, size: tuple[int, int], fresh: bool
) -> Plan:
    spec, security = container.spec, container.spec.security
    cgroup = cgroups.container_cgroup(instance.cgroup, container.id)
    if spec.pid_mode and cgroup is None:
        raise MinirunError(f"--pid={spec.pid_mode}: this host has no cgroup v2 hierarchy to find its processes by")
    confined = confinement_for(instance, security)
    return Plan(
        root=str(instance.root),
        container=container.id,
        lower=lower,
        netns=netns,
        cgroup=str(cgroup or ""),
        scope=str(cgroup.parent) if cgroup and cgroups.is_in_scope(cgroup) else "",
        argv=spec.argv,
        env=environment(instance, container),
        workdir=spec.workdir,
        user=spec.user,
        hostname="" if spec.uts_mode else operations.hostname_of(instance, container),
        tty=spec.tty,
        interactive=spec.interactive,
        init=spec.init,
        stdin_once=spec.interactive and not spec.detach,
        fresh=fresh,
        mounts=mounts_of(instance, spec, container.ids),
        asks_policy=not spec.auto_remove,  # also of one without a policy: `update` may give it one
        capabilities=granted(security.cap_add, security.cap_drop, security.privileged),
        domainname=spec.domainname,
        groups=spec.groups,
        read_only=spec.read_only,
        privileged=security.privileged,
        no_new_privileges=security.no_new_privileges,
        unmasked=security.unmasked,
        seccomp=confined.system_calls,
        apparmor=confined.profile,
        **_device_rules(spec, cgroup),
        devices=tuple((one.source, one.target) for one in spec.devices),
        pid_of=_whose(instance, "PID", spec.pid_mode),
        ipc=spec.ipc_mode,
        ipc_of=_whose(instance, "IPC", spec.ipc_mode),
        uts_host=spec.uts_mode == "host",
        cgroup_host=spec.cgroupns == "host",
        shm_size=spec.shm_size,
        ulimits=spec.ulimits,
        sysctls=spec.sysctls,
        oom_score_adj=spec.oom_score_adj,
        limits=spec.limits,
        limit_groups=_limit_groups(instance, container),
        health=spec.health is not None,
        log=(spec.logging.driver, spec.logging.size, spec.logging.files),
        ids=container.ids,
        rows=size[0],
        columns=size[1],
    )


def _device_rules(spec: Spec, cgroup: Path | None) -> dict[str, Any]:
    """What is said of devices, in as far as it takes a v2 group to keep it."""
    if spec.security.privileged or cgroup is None:
        rules: tuple[Rule, ...] = ()
    elif spec.devices or spec.device_rules:
        from minirun.engine.device_rules import rules_for

        rules = rules_for(spec.devices, spec.device_rules)
    else:
        rules = ALWAYS
    narrowed = any(not {"r", "w"} <= set(one.access) for one in spec.devices)
    needed = bool(narrowed or spec.device_rules) and not spec.security.privileged
    if needed and cgroup is None:
        raise MinirunError("this host has no cgroup v2 hierarchy to keep rules for devices with", "", FAILED)
    return {"device_rules": rules, "needs_device_rules": needed, "open_devices": bool(spec.device_rules)}


def mounts_of(instance: Instance, spec: Spec, ids: tuple[int, ...] = ()) -> tuple[PlannedMount, ...]:
    if not spec.mounts:
        return ()
    from minirun.volume.mount_plan import planned_mounts

    return planned_mounts(instance, spec, ids)


def _limit_groups(instance: Instance, container: Container) -> tuple[str, ...]:
    if not container.spec.limits:
        return ()
    from minirun.kernel.limits import groups, of

    return tuple(str(path) for path in groups(instance.cgroup, container.id, of(container.spec.limits)))


def _whose(instance: Instance, what: str, mode: str) -> tuple[int, ...]:
    """The process whose namespace it is to share."""
    if mode == "host":
        return _HOST
    if not mode.startswith("container:"):
        return ()
    other = find_container(instance.store, mode.partition(":")[2], FAILED)
    if other.status is not Status.RUNNING or other.init is None:
        raise MinirunError(f"cannot join {what} of a non running container: {other.name}", "start it first", FAILED)
    if what == "IPC" and other.spec.ipc_mode not in ("shareable", "host"):
        raise MinirunError(
            f"cannot join IPC of container {other.name}: non-shareable IPC",
            "start that one with --ipc=shareable",
            FAILED,
        )
    return other.init.pid, other.init.started
