"""What a lab is and lacks: written by its first process, read by every command in it."""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

_FILE = Path("/run/minirun-lab.json")


class Lab(NamedTuple):
    """The lab that this process runs in.

    user: name or number of the user who started it
    state: directory that keeps its state, "" for memory
    ids: how many user ids there are in it
    why_single: why there is only one
    egress: program that leads its packets outside, "" for none
    why_closed: why there is none
    has_cgroup: its containers get cgroups, so limits and `pause` work
    """

    user: str
    state: str = ""
    ids: int = 1
    why_single: str = ""
    egress: str = ""
    why_closed: str = ""
    has_cgroup: bool = False


def lacks(lab: Lab) -> list[tuple[str, str]]:
    """What a lab cannot do, as (sentence, reason and remedy)."""
    found = []
    if lab.ids == 1:
        found.append(("root is the only user: -u, chown to others and --userns are refused", lab.why_single))
    if not lab.egress:
        found.append(("it has no way out: nothing outside can be reached", lab.why_closed))
    if not lab.has_cgroup:
        found.append(
            (
                "containers have no cgroups: limits on memory, CPU and processes, and pause, are refused",
                "the user's own cgroup is not delegated (systemd-run --user --scope -p Delegate=yes minirun lab)",
            )
        )
    return found


def closed() -> str:
    """Why nothing outside can be reached from here: "" on a host, and in a lab that has a way out."""
    lab = current()
    return "" if lab is None or lab.egress else f"this lab has no way out: {lab.why_closed}"


def welcome(lab: Lab) -> str:
    """What somebody who comes into a lab needs to know."""
    where = f"in {lab.state}; all else ends with this shell" if lab.state else "in memory, and goes with this shell"
    lines = [
        f"This is a lab of {lab.user}: namespaces in which you are root. The host stays as it is.",
        f"minirun works as on a host, with links, rules and containers of its own. What it keeps is {where}.",
        *(f"- {sentence}: {why}" for sentence, why in lacks(lab)),
        "Try: minirun run --rm busybox ip address; minirun tour; minirun doctor. Leave with exit.",
    ]
    return "".join(f"{line}\n" for line in lines)


def pack(lab: Lab) -> str:
    """The facts as text."""
    return json.dumps(lab._asdict())


def unpack(text: str) -> Lab:
    """What `pack` was given."""
    return Lab(**json.loads(text))


def write(lab: Lab) -> None:
    """Record the facts, in the lab's own /run."""
    _FILE.write_text(pack(lab))


@cache
def current() -> Lab | None:
    """The lab that this process runs in, or None on a host."""
    try:
        return unpack(_FILE.read_text())
    except (OSError, ValueError, TypeError):
        return None
