"""The memory that a process shares with the one it was forked from, until either writes to it (fork(2)).

The first write to a page makes a copy, which takes 5 to 16 us on a busy virtual machine. Python writes to each object
that it looks at (it counts references), so a command writes to 1000 to 3000 pages: that takes longer than its own work.
A process that waits for its work can have the copies made before it comes.
"""

import array
import mmap
import os
import resource
import socket
import stat
from collections.abc import Callable, Collection, Iterator

from minirun.kernel.seam import kept_open
from minirun.kernel.syscalls import lib

_MADV_POPULATE_WRITE, _MADV_COLLAPSE = 23, 25  # linux/mman.h, since Linux 5.14 and 6.1
_HUGE = 2 << 20  # bytes
_MAPS, _PAGEMAP = "/proc/self/maps", "/proc/self/pagemap"
_PRESENT, _EXCLUSIVE = 1 << 63, 1 << 56  # bits of an entry of pagemap (proc_pid_pagemap(5))
_NUMBER = 8  # bytes
_MOST_SPANS, _MOST_PAGES = 4095, 8192
_FEW_FAULTS = 256
_PAGES_AT_ONCE = 64


class UsedPages:
    """The pages that processes forked from this one have written to: each one's own copies, kept for the next.

    They are in shared memory, as pairs of numbers: the first page, and how many; before them, the number of pairs.
    """

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _NUMBER + 2 * _NUMBER * _MOST_SPANS)
        self._faults = 0

    def copy(self, stops: Callable[[], bool]) -> None:
        """Make this process's copies of the pages, until `stops` returns True."""
        copied = 0
        for first, count in self._spans():
            # It fails where no memory is any more, which nobody will write to.
            lib.sys_madvise(first * mmap.PAGESIZE, count * mmap.PAGESIZE, _MADV_POPULATE_WRITE)
            copied += count
            if copied >= _PAGES_AT_ONCE:
                copied = 0
                if stops():
                    break
        self._faults = _faults()

    def keep(self) -> None:
        """Record this process's copies, if it has made many after `copy`, and not too many to keep ready."""
        if _faults() - self._faults < _FEW_FAULTS:
            return
        spans = array.array("Q", (number for span in _own_spans() for number in span))
        if len(spans) <= 2 * _MOST_SPANS and sum(spans[1::2]) <= _MOST_PAGES:
            # Two processes at once may mix their pairs: what is copied in vain then costs time alone.
            self._shared.seek(0)
            self._shared.write(array.array("Q", [len(spans) // 2]).tobytes() + spans.tobytes())

    def _spans(self) -> Iterator[tuple[int, int]]:
        numbers = array.array("Q", self._shared[:])
        pairs = numbers[1 : 1 + 2 * numbers[0]]
        return zip(pairs[::2], pairs[1::2], strict=True)


def release_files(keep: Collection[int], sockets: Collection[int]) -> None:
    """Close this process's descriptors but `keep`, and unmap their files if these are not in the file system of /.

    Each would keep a file system from being unmounted, a pipe from its end, or a lock from its next holder. Of its
    own netlink and unix sockets it closes those in `sockets` alone: the end of a netfilter socket can wait 8 to 15 ms
    for all processors (RCU), and that of a unix socket wakes who is at its other end.
    """
    kept, root, elsewhere = {*keep, *kept_open()}, os.stat("/").st_dev, set()
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            status = os.fstat(number)
        except OSError:  # that of the listing itself
            continue
        if number in kept or (stat.S_ISSOCK(status.st_mode) and number not in sockets and not _is_internet(number)):
            continue
        if stat.S_ISREG(status.st_mode) and status.st_dev != root:
            elsewhere.add((status.st_dev, status.st_ino))
        os.close(number)
    for first, end, file in _file_mappings() if elsewhere else ():
        if file in elsewhere:
            lib.sys_munmap(first, end - first)


def _is_internet(fd: int) -> bool:
    """Whether a socket may hold a port."""
    with socket.socket(fileno=os.dup(fd)) as opened:
        return opened.family in (socket.AF_INET, socket.AF_INET6)


def _file_mappings() -> Iterator[tuple[int, int, tuple[int, int]]]:
    """(first address, the address behind the last, (device, inode)) of the mappings of files (proc_pid_maps(5))."""
    with open(_MAPS) as lines:
        for line in lines:
            place, _, _, device, inode, *_ = line.split()
            if inode != "0":
                first, _, end = place.partition("-")
                major, _, minor = device.partition(":")
                yield int(first, 16), int(end, 16), (os.makedev(int(major, 16), int(minor, 16)), int(inode))


def use_huge_pages() -> None:
    """Have the kernel make huge pages of this process's private memory, where it can (madvise(2), MADV_COLLAPSE).

    Each fork copies the page tables, and each exit releases what they lead to: with huge pages half of both or less. A
    small page that is written to later is copied alone, as before.
    """
    for first, end in _writable_memory():
        start, stop = -(-first * mmap.PAGESIZE // _HUGE) * _HUGE, end * mmap.PAGESIZE // _HUGE * _HUGE
        if start < stop:
            lib.sys_madvise(start, stop - start, _MADV_COLLAPSE)  # EINVAL, ENOMEM: it stays as it is


def _writable_memory() -> list[tuple[int, int]]:
    """(first page, the page behind the last) of private mappings that can be written."""
    with open(_MAPS) as lines:
        mappings = [line.split(None, 2)[:2] for line in lines]
    places = [place.split("-") for place, access in mappings if access == "rw-p"]
    return [(int(start, 16) // mmap.PAGESIZE, int(end, 16) // mmap.PAGESIZE) for start, end in places]


def _faults() -> int:
    """How many pages were copied or made for this process so far (getrusage(2))."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _own_spans() -> Iterator[tuple[int, int]]:
    """(first page, number of pages) of private memory that can be written and is shared with no other process."""
    pagemap = os.open(_PAGEMAP, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for first, end in _writable_memory():
            entries = array.array("Q", os.pread(pagemap, 8 * (end - first), 8 * first))
            yield from _runs(first, entries)
    finally:
        os.close(pagemap)


def _runs(first: int, entries: "array.array[int]") -> Iterator[tuple[int, int]]:
    own = _PRESENT | _EXCLUSIVE
    start = None
    for page, entry in enumerate(entries, first):
        if entry & own == own:
            start = page if start is None else start
        elif start is not None:
            yield start, page - start
            start = None
    if start is not None:
        yield start, first + len(entries) - start
