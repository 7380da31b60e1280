"""--ulimit: what one process may use (getrlimit(2))."""

import resource

from minirun.kernel.seam import shell

RESOURCES = {
    name.removeprefix("RLIMIT_").lower(): number
    for name, number in vars(resource).items()
    if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"
}
RESOURCES.setdefault("locks", 10)  # RLIMIT_LOCKS: Python leaves it out, and the kernel has not kept it since 2.4.25


@shell("prlimit --pid $$ --{name}={soft}:{hard}")
def rlimit_set(name: str, soft: int, hard: int) -> None:
    """-1 is no limit. To raise the hard one takes CAP_SYS_RESOURCE, so it comes before capabilities are dropped."""
    resource.setrlimit(RESOURCES[name], (soft, hard))


def files_ensure(pid: int, most: int) -> tuple[int, int]:
    """Have a process be able to open `most` files, as far as its hard limit goes; (soft, hard) as they were before."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    if before[0] < most:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(before[0], min(most, before[1])), before[1]))
    return before
