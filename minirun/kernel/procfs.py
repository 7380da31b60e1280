"""Reading processes from /proc (proc_pid_stat(5), proc_pid_status(5)), and who holds a lock (proc_locks(5)).

Names and arguments are untrusted: bytes that are not text become \\xNN, control characters stay.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")  # a second
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LONGEST = 128 * 1024  # bytes of a command line; the kernel would give as much as the process cares to show


@dataclass(frozen=True)
class ProcessStatus:
    """The state of one process."""

    pid: int
    name: str  # as the kernel calls it: 15 bytes
    arguments: str  # "" of kernel threads and zombies
    state: str  # R, S, D, Z, T ...
    parent: int
    group: int
    session: int
    terminal: int  # device number, 0: none
    foreground: int  # process group that has the terminal
    cpu: float  # seconds used by itself
    nice: int
    priority: int
    threads: int
    started: float  # seconds after boot
    virtual: int  # bytes
    resident: int  # bytes
    locked: bool  # has pages locked in memory
    processor: int
    user: int  # real
    effective_user: int
    real_group: int
    effective_group: int


@dataclass(frozen=True)
class HostClock:
    """What the figures of processes are relative to."""

    uptime: float  # seconds
    booted: float  # seconds since the epoch
    memory: int  # bytes


def host_clock() -> HostClock:
    """Read the clocks and the size of memory."""
    lines = dict(line.split(" ", 1) for line in Path("/proc/stat").read_text().splitlines())
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return HostClock(uptime, float(lines["btime"]), _PAGE * os.sysconf("SC_PHYS_PAGES"))


def process_status(pid: int) -> ProcessStatus | None:
    """The state of a process; None when it is gone."""
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
        status = dict(_status_lines(Path(f"/proc/{pid}/status").read_bytes()))
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = file.read(_LONGEST)
    except (FileNotFoundError, ProcessLookupError):
        return None
    name = line[line.index(b"(") + 1 : line.rindex(b")")]
    # From the state on: field N of the manual page is fields[N - 3].
    fields = line[line.rindex(b")") + 2 :].split()
    users, groups = status[b"Uid"].split(), status[b"Gid"].split()
    return ProcessStatus(
        pid=pid,
        name=_text(name),
        arguments=_text(arguments.rstrip(b"\0").replace(b"\0", b" ")),
        state=fields[0].decode(),
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        terminal=int(fields[4]),
        foreground=int(fields[5]),
        cpu=(int(fields[11]) + int(fields[12])) / TICKS,
        priority=int(fields[15]),
        nice=int(fields[16]),
        threads=int(fields[17]),
        started=int(fields[19]) / TICKS,
        virtual=int(fields[20]),
        # Not of stat: that figure is summed up lazily, and may be some hundred kilobytes behind.
        resident=int(status.get(b"VmRSS", b"0 kB").split()[0]) * 1024,
        processor=int(fields[36]),
        locked=status.get(b"VmLck", b"0 kB").split()[0] != b"0",
        user=int(users[0]),
        effective_user=int(users[1]),
        real_group=int(groups[0]),
        effective_group=int(groups[1]),
    )


def terminal_name(number: int) -> str:
    """A terminal as ps(1) shows it: pts/3, tty1, or ? for none (linux/Documentation/admin-guide/devices.txt).

    Derived from the number, as ps does when it finds no such node: the container's /dev/pts is not the host's.
    """
    major, minor = os.major(number), os.minor(number)
    if 136 <= major <= 143:
        return f"pts/{minor + (major - 136) * 256}"
    if major == 4:
        return f"tty{minor}" if minor < 64 else f"ttyS{minor - 64}"
    return "?" if number == 0 else f"{major}:{minor}"


def namespace_members(pid: int) -> list[int]:
    """Every process in the pid namespace of `pid`, for hosts without a cgroup for them."""
    try:
        wanted = _namespace(pid)
    except OSError:
        return []
    pids = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and _namespace(int(name)) == wanted:
                pids.append(int(name))
        except OSError:
            continue  # gone meanwhile
    return pids


def processes_with(arguments: list[str]) -> list[int]:
    """The processes whose command line ends in these words."""
    wanted = b"".join(b"\0" + os.fsencode(word) for word in arguments) + b"\0"
    pids = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):  # gone meanwhile
            if Path(f"/proc/{name}/cmdline").read_bytes().endswith(wanted):
                pids.append(int(name))
    return pids


def children(pid: int) -> list[int]:
    """The processes that a process with one thread has made, and that run; none when it is gone."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def parent_of_first(pid: int) -> int:
    """The parent of a process that is the first one of a pid namespace below this; 0 if it is not, or is gone."""
    try:
        lines = dict(_status_lines(Path(f"/proc/{pid}/status").read_bytes()))
    except OSError:
        return 0
    ids = lines.get(b"NSpid", b"").split()
    return int(lines[b"PPid"]) if len(ids) > 1 and ids[-1] == b"1" else 0


def traffic(pid: int) -> tuple[int, int]:
    """Bytes (received, sent) by the links of its network namespace except loopback; (0, 0) when it is gone."""
    counters = link_counters(pid).values()
    return sum(one["rx_bytes"] for one in counters), sum(one["tx_bytes"] for one in counters)


_COUNTERS = {  # columns of /proc/PID/net/dev
    "rx_bytes": 0,
    "rx_packets": 1,
    "rx_errors": 2,
    "rx_dropped": 3,
    "tx_bytes": 8,
    "tx_packets": 9,
    "tx_errors": 10,
    "tx_dropped": 11,
}


def link_counters(pid: int) -> dict[str, dict[str, int]]:
    """What went through each link of its network namespace except loopback, in Docker's words; {} when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    except OSError:
        return {}
    columns = {name.strip(): text.split() for name, _, text in (line.partition(":") for line in lines)}
    return {
        name: {key: int(row[place]) for key, place in _COUNTERS.items()}
        for name, row in columns.items()
        if name != "lo"
    }


def lock_holders(files: Iterable[Path]) -> list[tuple[int, str]]:
    """(pid, command line) of each other visible process that has one of the files locked for writing."""
    wanted = set()
    for file in files:
        try:
            wanted.add(file.stat().st_ino)
        except OSError:
            continue
    pids = {pid for pid, inode in _write_locks() if inode in wanted and pid not in (-1, 0, os.getpid())}
    return [(pid, _command_line(pid)) for pid in sorted(pids)]


def _namespace(pid: int) -> tuple[int, int]:
    namespace = os.stat(f"/proc/{pid}/ns/pid")
    return namespace.st_dev, namespace.st_ino


def _status_lines(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line in text.splitlines():
        key, _, value = line.partition(b":")
        yield key, value


def _text(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")


def _write_locks() -> Iterable[tuple[int, int]]:
    """(pid, inode). The device is not compared: a file system may show another one there than stat(2) does."""
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if len(fields) == 8 and fields[3] == "WRITE":
            yield int(fields[4]), int(fields[5].rpartition(":")[2])


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()[:60]
    except OSError:
        return "?"
