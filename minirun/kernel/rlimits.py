"""--ulimit: what one process may use (getrlimit(2))."""

import resource

from minirun.kernel.seam import shell

RESOURCES = {
    name.removeprefix("RLIMIT_").lower(): number
    for name, number in vars(resource).items()
    if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"
}
RESOURCES.setdefault("locks", 10)  # RLIMIT_LOCKS: Python leaves it out, and the kernel has not kept it since 2.4.25


@shell("ulimit -S -H  # {name}: {soft}, {hard}")
def rlimit_set(name: str, soft: int, hard: int) -> None:
    """-1 is no limit. To raise the hard one takes CAP_SYS_RESOURCE, so it comes before capabilities are dropped."""
    resource.setrlimit(RESOURCES[name], (soft, hard))
