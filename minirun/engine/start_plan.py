"""From what was asked for to the plan of one start: references resolved at creation, the plan made at each start."""

import os
import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from minirun.engine.environment import environment
from minirun.engine.id_ranges import resolve_userns
from minirun.errors import FAILED, MinirunError, NotFoundError
from minirun.init.devices import nodes
from minirun.init.plan import Plan, PlannedMount
from minirun.instance import Instance
from minirun.kernel import cgroups, limits, namespaces, processes
from minirun.kernel.credentials import granted
from minirun.kernel.devices import ALWAYS, Rule
from minirun.model import DEFAULT_NETWORK, Attachment, Container, Device, Mode, Spec, Status
from minirun.network import operations
from minirun.security.confinement import confinement_for
from minirun.store.lookup import find_container
from minirun.volume.mount_plan import planned_mounts, settle_mounts

_HOST = (0, 0)


def resolve_references(instance: Instance, spec: Spec) -> Spec:
    """Resolve a new container's references to others, as `create` and `run` do.

    Other containers are kept by id, so that renaming them changes nothing; --volumes-from becomes mounts, and every
    volume gets a name. MinirunError when a container does not exist, or its namespaces cannot be shared.
    """
    changed: dict[str, str] = {}
    for name in ("pid_mode", "ipc_mode"):
        kind, colon, reference = getattr(spec, name).partition(":")
        if colon:
            changed[name] = f"{kind}:{find_container(instance.store, reference, FAILED).id}"
    spec = replace(spec, **changed)  # type: ignore[arg-type]
    if spec.network.mode is Mode.CONTAINER:
        other = find_container(instance.store, spec.network.container, FAILED)
        spec = replace(spec, network=replace(spec.network, container=other.id))
    if spec.userns:
        spec = replace(spec, userns=resolve_userns(instance, spec))
    attachments = tuple(resolve_links(instance, attachment) for attachment in spec.network.attachments)
    spec = replace(spec, network=replace(spec.network, attachments=attachments))
    return settle_mounts(instance, spec) if spec.mounts or spec.volumes_from else spec


def resolve_links(instance: Instance, attachment: Attachment) -> Attachment:
    """Resolve the names of --link to ids. MinirunError when a container does not exist.

    On a network with names it may come later, as in Docker: its name is kept then, and the DNS server looks for it.
    """
    links = tuple((_linked(instance, attachment, name), alias) for name, alias in attachment.links)
    return replace(attachment, links=links)


def _linked(instance: Instance, attachment: Attachment, name: str) -> str:
    try:
        return find_container(instance.store, name, FAILED).id
    except NotFoundError as error:
        if attachment.network in ("", DEFAULT_NETWORK):
            raise NotFoundError(f"could not get container for {name}: {error.message}", error.hint, FAILED) from None
        return name


def make_plan(
    instance: Instance, container: Container, lower: str, netns: str, size: tuple[int, int], fresh: bool
) -> Plan:
    """Make the plan of one start.

    `lower` are the image's layers, `netns` is the pinned network namespace's name, `size` the terminal's as rows and
    columns; `fresh` means that a failed start deletes the container. MinirunError for what this host does not support,
    and when a container whose namespace it shares is not running.
    """
    spec = container.spec
    cgroup = cgroups.container_cgroup(instance.cgroup, container.id)
    if spec.pid_mode and cgroup is None:
        raise MinirunError(f"--pid={spec.pid_mode} needs cgroup v2, which this host does not have", cgroups.remedy(""))
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
        groups=spec.groups,
        tty=spec.tty,
        interactive=spec.interactive,
        init=spec.init,
        stdin_once=spec.interactive and not spec.detach,
        fresh=fresh,
        mounts=mounts_of(instance, spec, container.ids),
        asks_policy=not spec.auto_remove,  # even without a policy: `update` may set one
        read_only=spec.read_only,
        **_namespaces(instance, container),
        **_rights(instance, spec),
        **_device_rules(spec, cgroup),
        devices=tuple((device.source, device.target) for device in spec.devices),
        shm_size=spec.shm_size,
        ulimits=spec.ulimits,
        sysctls=operations.sysctls_of_others(spec),
        oom_score_adj=spec.oom_score_adj,
        limits=spec.limits,
        limit_groups=_limit_groups(instance, container),
        health=spec.health is not None,
        log=(spec.logging.driver, spec.logging.size, spec.logging.files),
        rows=size[0],
        columns=size[1],
    )


def _namespaces(instance: Instance, container: Container) -> dict[str, Any]:
    """The fields of the plan about namespaces, except for the network."""
    spec = container.spec
    return {
        "pid_of": _whose(instance, "PID", spec.pid_mode),
        "ipc": spec.ipc_mode,
        "ipc_of": _whose(instance, "IPC", spec.ipc_mode),
        "uts_host": spec.uts_mode == "host",
        "hostname": "" if spec.uts_mode else operations.hostname_of(instance, container),
        "domainname": spec.domainname,
        "cgroup_host": spec.cgroupns == "host",
        "ids": container.ids,
    }


def _rights(instance: Instance, spec: Spec) -> dict[str, Any]:
    """The fields of the plan about privileges."""
    security = spec.security
    confined = confinement_for(instance, security)
    return {
        "capabilities": granted(security.cap_add, security.cap_drop, security.privileged),
        "privileged": security.privileged,
        "no_new_privileges": security.no_new_privileges,
        "unmasked": security.unmasked,
        "seccomp": confined.system_calls,
        "apparmor": confined.profile,
    }


def _device_rules(spec: Spec, cgroup: Path | None) -> dict[str, Any]:
    """The fields of the plan about devices. Rules are kept by a v2 group."""
    if spec.security.privileged or cgroup is None:
        rules: tuple[Rule, ...] = ()
    else:
        rules = device_rules(spec.devices, spec.device_rules)
    narrowed = any(not {"r", "w"} <= set(device.access) for device in spec.devices)
    needed = bool(narrowed or spec.device_rules) and not spec.security.privileged
    if needed and cgroup is None:
        raise MinirunError("device rules need cgroup v2, which this host does not have", "", FAILED)
    return {"device_rules": rules, "needs_device_rules": needed, "open_devices": bool(spec.device_rules)}


def device_rules(devices: Iterable[Device], texts: Iterable[str]) -> tuple[Rule, ...]:
    """The rules of a container's group (kernel/devices.py).

    They are those of every container, of each node of --device, and the `texts` of --device-cgroup-rule ("c 1:3 rwm").
    """
    rules = [*ALWAYS]
    for device in devices:
        for path in nodes(device.source):
            node = os.stat(path)
            kind = "b" if stat.S_ISBLK(node.st_mode) else "c"
            rules.append((kind, os.major(node.st_rdev), os.minor(node.st_rdev), device.access))
    for text in texts:
        kinds, numbers, access = text.split(" ")
        major, minor = (-1 if number == "*" else int(number) for number in numbers.split(":"))
        rules += [(kind, major, minor, access) for kind in ("bc" if kinds == "a" else kinds)]
    return tuple(rules)


def mounts_of(instance: Instance, spec: Spec, ids: tuple[int, ...] = ()) -> tuple[PlannedMount, ...]:
    """The mounts of a container in mount order; `ids` is its user namespace's range, () for none."""
    return planned_mounts(instance, spec, ids) if spec.mounts else ()


def _limit_groups(instance: Instance, container: Container) -> tuple[str, ...]:
    if not container.spec.limits:
        return ()
    return tuple(map(str, limits.groups(instance.cgroup, container.id, limits.of(container.spec.limits))))


def _whose(instance: Instance, what: str, mode: str) -> tuple[int, ...]:
    """Pid and start time of the process whose namespace to share; (0, 0) for the host's, () for none."""
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
    if what == "PID" and not namespaces.differing(other.init.pid) & processes.NEW_PID:
        return _HOST  # by --pid=host, or by joining one that has it
    return other.init.pid, other.init.started
