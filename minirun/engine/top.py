"""top: the columns of ps(1), computed from /proc, and the options of ps that choose them.

Docker's `top` runs the host's ps; minirun runs no helper programs. Names, headers and formats are those of procps.
"""

import grp
import pwd
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from minirun.errors import MinirunError
from minirun.kernel.procfs import HostClock, ProcessStatus, terminal_name

Form = Callable[[ProcessStatus, HostClock], str]
_DAY = 86400
# e, A, a, x and d select processes and have no effect; f and u are formats; w is for long lines, which are never cut.
_KNOWN = frozenset("eAaxdfuw")


@dataclass(frozen=True)
class Column:
    """A column of the output: its header, and how a process is shown in it."""

    header: str
    form: Form


def elapsed(status: ProcessStatus, clock: HostClock) -> float:
    """Seconds since the process started."""
    return max(0.0, clock.uptime - status.started)


def _share_of_cpu(status: ProcessStatus, clock: HostClock) -> float:
    """Percent of one CPU, over the process's life."""
    return 100 * status.cpu / (elapsed(status, clock) or 1)


def _share_of_memory(status: ProcessStatus, clock: HostClock) -> str:
    return f"{min(99.9, 100 * status.resident / clock.memory):.1f}"


def _state(status: ProcessStatus, _: HostClock) -> str:
    """The state and its marks, see PROCESS STATE CODES in ps(1)."""
    marks = (
        ("<", status.nice < 0),
        ("N", status.nice > 0),
        ("L", status.locked),
        ("s", status.session == status.pid),
        ("l", status.threads > 1),
        ("+", status.foreground == status.group),
    )
    return status.state + "".join(mark for mark, is_so in marks if is_so)


def _command(status: ProcessStatus, _: HostClock) -> str:
    return f"[{status.name}] <defunct>" if status.state == "Z" else status.arguments or f"[{status.name}]"


def _name(status: ProcessStatus, _: HostClock) -> str:
    return f"{status.name} <defunct>" if status.state == "Z" else status.name


def _days(seconds: float) -> tuple[str, int, int, int]:
    days, rest = divmod(int(seconds), _DAY)
    return f"{days}-" if days else "", rest // 3600, rest // 60 % 60, rest % 60


def cpu_time(seconds: float) -> str:
    """Format a CPU time, [D-]HH:MM:SS."""
    days, hours, minutes, rest = _days(seconds)
    return f"{days}{hours:02}:{minutes:02}:{rest:02}"


def elapsed_time(seconds: float) -> str:
    """Format a time since the start, [[D-]HH:]MM:SS."""
    days, hours, minutes, rest = _days(seconds)
    return f"{days}{hours:02}:{minutes:02}:{rest:02}" if days or hours else f"{minutes:02}:{rest:02}"


def start_time(then: float, now: float) -> str:
    """Format STIME, of epoch times: the time of day today, the day this year, else the year."""
    started, today = time.localtime(then), time.localtime(now)
    if started.tm_year != today.tm_year:
        return time.strftime("%Y", started)
    return time.strftime("%H:%M" if started.tm_yday == today.tm_yday else "%b%d", started)


def _began(status: ProcessStatus, clock: HostClock) -> float:
    return clock.booted + status.started


def _start(form: str) -> Form:
    """Format START: the time of day within 24 hours, then the day."""

    def text(status: ProcessStatus, clock: HostClock) -> str:
        return time.strftime(form if elapsed(status, clock) < _DAY else "%b %d", time.localtime(_began(status, clock)))

    return text


def _user(number: int) -> str:
    """The host's name for a uid, as ps on the host shows it; the container's /etc/passwd is not read."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _number(attribute: str) -> Form:
    return lambda status, _: str(getattr(status, attribute))


_USER: Form = lambda status, _: _user(status.effective_user)  # noqa: E731
_TERMINAL: Form = lambda status, _: terminal_name(status.terminal)  # noqa: E731
_COLUMNS: dict[tuple[str, ...], Column] = {
    ("pid", "tgid"): Column("PID", _number("pid")),
    ("ppid",): Column("PPID", _number("parent")),
    ("pgid", "pgrp"): Column("PGID", _number("group")),
    ("sid", "sess", "session"): Column("SID", _number("session")),
    ("uid", "euid"): Column("UID", _number("effective_user")),
    ("ruid",): Column("RUID", _number("user")),
    ("gid", "egid"): Column("GID", _number("effective_group")),
    ("rgid",): Column("RGID", _number("real_group")),
    ("user", "euser", "uname"): Column("USER", _USER),
    ("ruser",): Column("RUSER", lambda status, _: _user(status.user)),
    ("group", "egroup"): Column("GROUP", lambda status, _: _group(status.effective_group)),
    ("rgroup",): Column("RGROUP", lambda status, _: _group(status.real_group)),
    ("comm", "ucomm", "ucmd"): Column("COMMAND", _name),
    ("args", "command"): Column("COMMAND", _command),
    ("cmd",): Column("CMD", _command),
    ("stat",): Column("STAT", _state),
    ("s", "state"): Column("S", _number("state")),
    ("c",): Column("C", lambda status, clock: str(int(min(99, _share_of_cpu(status, clock))))),
    ("time", "cputime"): Column("TIME", lambda status, _: cpu_time(status.cpu)),
    ("bsdtime",): Column("TIME", lambda status, _: f"{int(status.cpu) // 60}:{int(status.cpu) % 60:02}"),
    ("etime",): Column("ELAPSED", lambda status, clock: elapsed_time(elapsed(status, clock))),
    ("etimes",): Column("ELAPSED", lambda status, clock: str(int(elapsed(status, clock)))),
    ("stime",): Column("STIME", lambda status, clock: start_time(_began(status, clock), time.time())),
    ("bsdstart",): Column("START", _start("%H:%M")),
    ("start", "start_time"): Column("STARTED", _start("%H:%M:%S")),
    ("lstart",): Column("STARTED", lambda status, clock: time.ctime(_began(status, clock))),
    ("pcpu", "%cpu"): Column("%CPU", lambda status, clock: f"{_share_of_cpu(status, clock):.1f}"),
    ("pmem", "%mem"): Column("%MEM", _share_of_memory),
    ("rss", "rssize", "rsz"): Column("RSS", lambda status, _: str(status.resident // 1024)),
    ("vsz", "vsize"): Column("VSZ", lambda status, _: str(status.virtual // 1024)),
    ("tname",): Column("TTY", _TERMINAL),
    ("tty", "tt"): Column("TT", _TERMINAL),
    ("nice", "ni"): Column("NI", _number("nice")),
    ("pri",): Column("PRI", lambda status, _: str(39 - status.priority)),
    ("nlwp", "thcount"): Column("NLWP", _number("threads")),
    ("psr",): Column("PSR", _number("processor")),
}
_BY_NAME = {name: column for names, column in _COLUMNS.items() for name in names}
_PLAIN = tuple(_BY_NAME[name] for name in ("pid", "tname", "time", "cmd"))
_WITH_STATE = tuple(_BY_NAME[name] for name in ("pid", "tname", "stat", "bsdtime", "command"))
_FULL = (Column("UID", _USER), *(_BY_NAME[name] for name in ("pid", "ppid", "c", "stime", "tname", "time", "cmd")))
_OF_USERS = tuple(
    _BY_NAME[name]
    for name in ("user", "pid", "pcpu", "pmem", "vsz", "rss", "tname", "stat", "bsdstart", "bsdtime", "command")
)


def choose_columns(words: Sequence[str]) -> tuple[Column, ...]:
    """Choose the columns by the options of ps: -ef (the default), -o FIELDS, -eo FIELDS, aux and the like.

    MinirunError for an option or field that is not supported, or without the pid.
    """
    chosen: list[Column] = []
    letters, rest = "", list(words)
    while rest:
        word = rest.pop(0)
        before, o, fields = word.removeprefix("-").partition("o")
        if set(before) - _KNOWN or not before + o:
            raise MinirunError(f"option {word} of ps is not supported", _hint())
        letters += f"-{before}" if word.startswith("-") else before
        if o:
            if not (fields or rest):
                raise MinirunError(f"{word}: the fields are missing", _hint())
            chosen += [_field(name) for name in (fields or rest.pop(0)).replace(",", " ").split()]
    columns = tuple(chosen) or _format_of(letters, bool(words))
    if _BY_NAME["pid"] not in columns:
        raise MinirunError("Couldn't find PID field in ps output", "add pid to the fields: -o pid,...")
    return columns


def _format_of(letters: str, any_given: bool) -> tuple[Column, ...]:
    if "u" in letters:
        return _OF_USERS
    if "f" in letters or not any_given:
        return _FULL
    # Without a dash: the BSD format, which has the state.
    return _PLAIN if letters.startswith("-") else _WITH_STATE


def _field(name: str) -> Column:
    if name.lower() not in _BY_NAME:
        raise MinirunError(f'error: unknown user-defined format specifier "{name}"', _hint())
    return _BY_NAME[name.lower()]


def _hint() -> str:
    return "-ef, aux, -o FIELDS or -eo FIELDS; fields: " + ", ".join(names[0] for names in _COLUMNS)
