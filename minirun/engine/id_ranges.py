"""Which ids of the host a container's user namespace has: given at its creation, and its own until it is removed.

The files of a container are kept under the ids that it sees itself, whatever its range is (kernel/userns.py); so an
image, a layer or a volume serves containers of every range, and of none.
"""

from collections.abc import Iterator
from pathlib import Path

from minirun.errors import FAILED, MinirunError
from minirun.instance import Instance
from minirun.model import Mode, Spec
from minirun.store.lookup import find_container

Range = tuple[int, int]  # first, count
SIZE = 65536  # what an image may expect: nobody is 65534
OWNER = "minirun"  # whose lines in /etc/subuid and /etc/subgid name what may be given out
# Set aside for containers by the conventions of systemd (https://systemd.io/UIDS-GIDS/).
_USUAL: Range = (524288, 1879048192 - 524288)


def settled(instance: Instance, spec: Spec) -> str:
    """At creation: --userns with the other container's id. MinirunError for what cannot be had along with it."""
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
    """What needs no look at other containers."""
    if not spec.userns:
        return
    network = spec.network.mode is Mode.HOST
    for flag, is_host in (("net", network), *((flag, mode == "host") for flag, mode in _modes(spec))):
        if is_host:
            raise MinirunError(
                f"--{flag}=host cannot be had with --userns={spec.userns}: that namespace belongs to the host's root,"
                " and root in a user namespace has no rights in it",
                f"leave out --{flag}=host, or use --userns=host",
                FAILED,
            )


def _modes(spec: Spec) -> tuple[tuple[str, str], ...]:
    return ("pid", spec.pid_mode), ("ipc", spec.ipc_mode), ("uts", spec.uts_mode)


def _refuse_others_namespaces(spec: Spec, whose: str) -> None:
    """Of another container it can share only what belongs to the user namespace that it is in itself."""
    if not spec.userns:
        return
    network = f"container:{spec.network.container}" if spec.network.mode is Mode.CONTAINER else ""
    for flag, mode in (("net", network), *_modes(spec)):
        kind, colon, other = mode.partition(":")
        if colon and other != whose:
            raise MinirunError(
                f"--{flag}={kind}:{other[:12]} cannot be had with --userns={spec.userns.partition(':')[0]}: that"
                " namespace belongs to another user namespace",
                f"--userns=container:{other[:12]}, or --userns=host",
                FAILED,
            )


def choose(instance: Instance, spec: Spec) -> tuple[int, ...]:
    """The range of a new container, () for the host's own ids. Within the transaction that adds it."""
    if not spec.userns:
        return ()
    kind, _, rest = spec.userns.partition(":")
    if kind == "container":
        return find_container(instance.store, rest, FAILED).ids
    if kind != "auto":
        return int(kind), int(rest)
    return _free(instance)


def _free(instance: Instance) -> Range:
    pools, others = _delegated(), []
    if not pools:
        pools, others = [_USUAL], list(_of_others())
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
        f"--userns=auto: no {SIZE} ids in a row are free for one more container",
        f"remove containers, or give {OWNER} more in /etc/subuid and /etc/subgid",
        FAILED,
    )


def _delegated() -> list[Range]:
    """What an administrator has set aside for minirun, for users and groups alike."""
    users, groups = (
        {(first, count) for name, first, count in _lines(file) if name == OWNER} for file in ("subuid", "subgid")
    )
    return sorted(users & groups)


def _of_others() -> Iterator[Range]:
    """Ids that somebody has, or has been promised."""
    for file in ("subuid", "subgid"):
        yield from ((first, count) for _, first, count in _lines(file))
    for file in ("passwd", "group"):
        for line in _text(file).splitlines():
            fields = line.split(":")
            if len(fields) > 2 and fields[2].isdecimal():
                yield int(fields[2]), 1


def _lines(file: str) -> Iterator[tuple[str, int, int]]:
    """subuid(5): name, first, count."""
    for line in _text(file).splitlines():
        name, *numbers = line.split(":")
        if len(numbers) == 2 and all(number.isdecimal() for number in numbers):
            yield name, int(numbers[0]), int(numbers[1])


def _text(file: str) -> str:
    try:
        return Path("/etc", file).read_text(errors="replace")
    except FileNotFoundError:
        return ""
