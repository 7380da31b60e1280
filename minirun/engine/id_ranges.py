"""The range of host ids of a container's user namespace: allocated at creation, held until it is removed.

A container's files are stored with the ids that it sees itself, whatever its range (kernel/userns.py); so images,
layers and volumes serve containers with any range, or none.
"""

from collections.abc import Iterator
from pathlib import Path

from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.kernel.own_ids import OWN_IDS, SINGLE
from minirun.model import Mode, Spec
from minirun.store.lookup import find_container

Range = tuple[int, int]  # first, count
SIZE = 65536  # images expect 65534, nobody
OWNER = "minirun"  # its lines in /etc/subuid and /etc/subgid are the ids to allocate from
# For containers, by systemd's conventions (https://systemd.io/UIDS-GIDS/).
_DEFAULT_POOL: Range = (524288, 1879048192 - 524288)


def resolve_userns(instance: Instance, spec: Spec) -> str:
    """Validate --userns at creation. Returns it, with `container:NAME` as `container:ID`.

    MinirunError when another option asks for a namespace of another user namespace.
    """
    kind, colon, reference = spec.userns.partition(":")
    if kind != "container":
        _refuse_others_namespaces(spec, "")
        return spec.userns
    other = find_container(instance.store, reference, FAILED)
    if not other.ids:
        raise MinirunError(
            f"--userns={spec.userns}: container {other.name} has no user namespace of its own",
            "start it with --userns=auto",
            FAILED,
        )
    _refuse_others_namespaces(spec, other.id)
    return f"container{colon}{other.id}"


def refuse_hosts_namespaces(spec: Spec) -> None:
    """Raise MinirunError for --net=host and the like together with --userns."""
    if not spec.userns:
        return
    network = spec.network.mode is Mode.HOST
    for flag, is_host in (("net", network), *((flag, mode == "host") for flag, mode in _modes(spec))):
        if is_host:
            raise MinirunError(
                f"--{flag}=host is not supported with --userns={spec.userns}: that namespace belongs to the host's"
                " root, and root in a user namespace has no rights in it",
                f"remove --{flag}=host, or use --userns=host",
                FAILED,
            )


def _modes(spec: Spec) -> tuple[tuple[str, str], ...]:
    return ("pid", spec.pid_mode), ("ipc", spec.ipc_mode), ("uts", spec.uts_mode)


def _refuse_others_namespaces(spec: Spec, allowed: str) -> None:
    """A container can share only namespaces of its own user namespace, which it may share with container `allowed`."""
    if not spec.userns:
        return
    network = f"container:{spec.network.container}" if spec.network.mode is Mode.CONTAINER else ""
    for flag, mode in (("net", network), *_modes(spec)):
        kind, colon, other = mode.partition(":")
        if colon and other != allowed:
            raise MinirunError(
                f"--{flag}={kind}:{other[:12]} is not supported with --userns={spec.userns.partition(':')[0]}: that"
                " namespace belongs to another user namespace",
                f"--userns=container:{other[:12]}, or --userns=host",
                FAILED,
            )


def choose_range(instance: Instance, spec: Spec) -> tuple[int, ...]:
    """Choose a new container's range, () without --userns. Call it in the transaction that adds the container.

    MinirunError when --userns=auto finds no free range.
    """
    if not spec.userns:
        return ()
    kind, _, rest = spec.userns.partition(":")
    if kind == "container":
        return find_container(instance.store, rest, FAILED).ids
    if OWN_IDS.is_single:
        raise MinirunError(f"--userns={spec.userns} is not supported here: {SINGLE}", "", FAILED)
    if kind != "auto":
        return int(kind), int(rest)
    return _free(instance)


def _free(instance: Instance) -> Range:
    pools, others = _delegated() if OWN_IDS.is_first else _of_lab(), []
    if not pools:
        pools, others = [_DEFAULT_POOL], list(_of_others())
    taken = sorted([*instance.store.id_ranges(), *others])
    for first, count in pools:
        at = first
        for held, size in taken:
            if held >= at + SIZE or at + SIZE > first + count:
                break
            at = max(at, held + size)
        if at + SIZE <= first + count:
            return at, SIZE
    raise MinirunError(
        f"--userns=auto: no {SIZE} consecutive ids are free",
        f"remove containers, or give {OWNER} more ids in /etc/subuid and /etc/subgid",
        FAILED,
    )


def _delegated() -> list[Range]:
    """The ranges that the administrator has delegated to minirun, for users and groups alike."""
    users, groups = (
        {(first, count) for name, first, count in _lines(file) if name == OWNER} for file in ("subuid", "subgid")
    )
    return sorted(users & groups)


def _of_lab() -> list[Range]:
    """The ids of a lab, without its root."""
    return [(max(first, 1), first + count - max(first, 1)) for first, count in OWN_IDS.uids if first + count > 1]


def _of_others() -> Iterator[Range]:
    """Ids that users and groups have, or that are delegated to others."""
    for file in ("subuid", "subgid"):
        yield from ((first, count) for _, first, count in _lines(file))
    for file in ("passwd", "group"):
        for line in _text(file).splitlines():
            fields = line.split(":")
            if len(fields) > 2 and fields[2].isdecimal():
                yield int(fields[2]), 1


def _lines(file: str) -> Iterator[tuple[str, int, int]]:
    """The lines of a file as (name, first, count), see subuid(5)."""
    for line in _text(file).splitlines():
        name, *numbers = line.split(":")
        if len(numbers) == 2 and all(number.isdecimal() for number in numbers):
            yield name, int(numbers[0]), int(numbers[1])


def _text(file: str) -> str:
    try:
        return Path("/etc", file).read_text(errors="replace")
    except FileNotFoundError:
        return ""
