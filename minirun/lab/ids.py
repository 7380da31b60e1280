"""The ids of a lab: the user's own as root, and subordinate ones where the administrator has given some (subuid(5)).

newuidmap(1) and newgidmap(1) write such a map: only root may map the ids of others.
"""

import os
import pwd
from pathlib import Path

from minirun.errors import FAILED, MinirunError
from minirun.kernel.lab import single_id_map
from minirun.kernel.own_ids import OWN_IDS
from minirun.kernel.programs import program_path, program_run

Range = tuple[int, int]  # first, count
_SECONDS = 10.0


def user_name() -> str:
    """The caller's name, or the number where it has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def map_ids(pid: int) -> tuple[int, str]:
    """Write the id maps of the user namespace of a process. Returns how many ids there are, and why only one.

    Raises OSError or MinirunError when no map can be written.
    """
    users, groups = (_subordinate(Path("/etc", file)) for file in ("subuid", "subgid"))
    user_program, group_program = (program_path(name) for name in ("newuidmap", "newgidmap"))
    if not OWN_IDS.is_first:
        why = "it is in a user namespace already"
    elif not (users and groups):
        name = user_name()
        ids = "100000-165535"
        why = f"{name} has no lines in /etc/subuid and /etc/subgid"
        why += f" (sudo usermod --add-subuids {ids} --add-subgids {ids} {name})"
    elif not (user_program and group_program):
        why = "newuidmap and newgidmap are not installed (sudo apt install uidmap)"
    else:
        why = _map(group_program, pid, os.getgid(), groups)
        if not why:
            if failure := _map(user_program, pid, os.getuid(), users):
                raise MinirunError(f"the lab gets no user ids: {failure}", "correct /etc/subuid", FAILED)
            return 1 + min(users[1], groups[1]), ""
    single_id_map(pid, os.getuid(), os.getgid())
    return 1, why


def _map(program: str, pid: int, own: int, subordinate: Range) -> str:
    """Returns why it failed, or ""."""
    first, count = subordinate
    done = program_run(program, [str(number) for number in (pid, 0, own, 1, 1, first, count)], seconds=_SECONDS)
    return "" if done.code == 0 else done.err.strip() or f"{program} ended with {done.code}"


def _subordinate(file: Path) -> Range | None:
    """The caller's largest range in /etc/subuid or /etc/subgid, whose lines name a user by name or number."""
    try:
        lines = [line.split(":") for line in file.read_text(errors="replace").splitlines()]
    except OSError:
        return None
    own = (user_name(), str(os.getuid()))
    ranges = [
        (int(words[1]), int(words[2]))
        for words in lines
        if len(words) == 3 and words[0] in own and words[1].isdecimal() and words[2].isdecimal()
    ]
    return max(ranges, key=lambda found: found[1], default=None)
