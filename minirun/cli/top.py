"""minirun top."""

from minirun.cli.opening import open_instance
from minirun.cli.table import print_table
from minirun.cli.verb import Verb
from minirun.engine.liveness import member_pids, require_running
from minirun.engine.top import choose_columns
from minirun.kernel.procfs import host_clock, process_status
from minirun.store.lookup import find_container

_LEAST = 20  # columns of `docker top` are that wide


class Top(Verb):
    usage = "CONTAINER [ps OPTIONS]"
    least = 1
    interspersed = False
    completes = "running -"

    def run(self) -> None:
        columns = choose_columns(self.words[1:])
        instance = open_instance()
        container = find_container(instance.store, self.words[0])
        require_running(container)
        clock = host_clock()
        found = [process_status(pid) for pid in member_pids(instance, container)]
        rows = [[column.form(one, clock) for column in columns] for one in found if one is not None]
        print_table([column.header for column in columns], rows, _LEAST)
