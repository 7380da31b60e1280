"""The flags for limits, of run, create and update."""

from minirun.cli.verb import Verb, number, value
from minirun.kernel import controllers


class LimitFlags(Verb):
    """What create, run and update have in common."""

    memory = value("memory", "m", "Memory limit", kind="bytes")
    memory_swap = value(
        "memory-swap", "", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap", kind="bytes"
    )
    memory_reservation = value("memory-reservation", "", "Memory soft limit", kind="bytes")
    cpus = value("cpus", "", "Number of CPUs", kind="decimal")
    cpu_shares = number("cpu-shares", "c", "CPU shares (relative weight)")
    cpuset_cpus = value("cpuset-cpus", "", "CPUs in which to allow execution (0-3, 0,1)")
    pids_limit = number(
        "pids-limit", "", "Tune container pids limit (-1: unlimited; default 2048 where it can be kept)"
    )
    blkio_weight = number("blkio-weight", "", "Block IO (relative weight), between 10 and 1000, or 0 to disable")

    def read_limits(self, whole: bool = True) -> tuple[tuple[str, int | str], ...]:
        """What was given, as fields of kernel.limits.Limits. Looks at each only when it was typed: most have none.
        `whole`: what is given is all there is, so that it must fit together."""
        typed = self.given & _NAMES
        default = _DEFAULT if whole and "pids-limit" not in typed and controllers.acts("pids") else ()
        if not typed:
            return default
        from minirun.kernel.limits import of
        from minirun.options.limits import check_limits, parse_limits

        given = (*parse_limits({name: getattr(self, name.replace("-", "_")) for name in typed}), *default)
        if whole:
            check_limits(of(given))
        return given


_DEFAULT = (("pids", 2048),)  # as podman has it: room for any program, and an end to a fork bomb
_NAMES = {
    *("memory", "memory-swap", "memory-reservation", "cpus", "cpu-shares", "cpuset-cpus", "pids-limit"),
    "blkio-weight",
}
