"""Layers side by side, in threads.

What takes time with a layer (its connection or file, digests, inflating) leaves Python's lock, and another process
unpacks it.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

T = TypeVar("T")
_AT_ONCE = 3  # as Docker's max-concurrent-downloads


def run_all(jobs: Iterable[Callable[[], T]], cancel: Callable[[], None]) -> list[T]:
    """Run all jobs, three at a time. Return their results in the order of the jobs.

    The first error, or Ctrl-C, is raised; `cancel` is called before, and must end those that are running.
    """
    with ThreadPoolExecutor(_AT_ONCE, "layer") as pool:
        try:
            futures = [pool.submit(job) for job in jobs]
            for done in as_completed(futures):
                done.result()
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            cancel()
            raise
