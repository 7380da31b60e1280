"""A process that was forked copies the pages that another one has written to, before it writes to them."""

import os
import resource

from minirun.kernel.memory import UsedPages
from minirun.kernel.processes import fork

_BLOCKS = 600  # of one page or more


def test_pages_that_one_process_wrote_to_are_copied_in_advance_by_the_next() -> None:
    pages, blocks = UsedPages(), [bytearray(4096) for _ in range(_BLOCKS)]

    def use() -> int:
        pages.copy(stops=lambda: False)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for block in blocks:
            block[0] += 1
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        pages.keep()
        return min(faults * 100 // _BLOCKS, 100)

    def percentage_of_faults() -> int:
        return os.waitstatus_to_exitcode(os.waitpid(fork(use, lambda error: None), 0)[1])

    assert percentage_of_faults() > 80
    assert percentage_of_faults() < 20


def test_copying_stops_when_it_is_told_to() -> None:
    pages, blocks = UsedPages(), [bytearray(4096) for _ in range(_BLOCKS)]

    def use() -> int:
        pages.copy(stops=lambda: True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for block in blocks:
            block[0] += 1
        pages.keep()
        return int(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before > _BLOCKS // 2)

    for _ in range(2):
        assert os.waitstatus_to_exitcode(os.waitpid(fork(use, lambda error: None), 0)[1]) == 1
