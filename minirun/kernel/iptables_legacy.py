"""iptables-legacy: rules that live beside nftables, in the kernel's older tables (iptables(8)).

Only iptables-legacy writes them: it replaces whole tables, under a lock of its own. It is not started where these
tables are not in use, and checking that does not load them.
"""

from pathlib import Path

from minirun.kernel.programs import program_path, program_run
from minirun.kernel.seam import shell

_PROGRAMS = {"ip": "iptables-legacy", "ip6": "ip6tables-legacy"}
_LISTS = {"ip": Path("/proc/net/ip_tables_names"), "ip6": Path("/proc/net/ip6_tables_names")}
_WAIT = ["-w", "5"]  # seconds for its lock


def legacy_filter_in_use(family: str) -> bool:
    """Return whether the kernel has a legacy `filter` table of a family (ip, ip6)."""
    try:
        return "filter" in _LISTS[family].read_text().split()
    except OSError:
        return False


def legacy_rules(family: str, chain: str = "") -> list[str] | None:
    """A chain as `iptables -S` lists it, its policy first; None when it does not exist. Without a name, all of them."""
    text = _run(_PROGRAMS[family], [*_WAIT, "-S", *([chain] if chain else [])])
    return None if text is None else text.splitlines()


def legacy_change(family: str, words: list[str]) -> None:
    """Change the rules of a family by the words of iptables(8). Raises OSError when it fails or is not installed."""
    program = _PROGRAMS[family]
    _change(program, words)


@shell("{program} {words}")
def _change(program: str, words: list[str]) -> None:
    if _run(program, [*_WAIT, *words]) is None:
        raise OSError(0, f"{program} {' '.join(words)} was refused")


def _run(program: str, words: list[str]) -> str | None:
    """The output; None when the program fails."""
    path = program_path(program)
    if path is None:
        raise FileNotFoundError(2, "its tables are in use, but it is not installed", program)
    done = program_run(path, words)
    return done.out if done.code == 0 else None
