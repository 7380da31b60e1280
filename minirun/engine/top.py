"""The columns of ps(1), made of what /proc says, and the options of ps that choose them.

Docker's `top` runs the host's ps; minirun starts no helper programs. Names, headers and forms are those of procps.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from minirun.errors import MinirunError
from minirun.kernel.procfs import HostClock, ProcessStatus, terminal_name

Form = Callable[[ProcessStatus, HostClock], str]
_DAY = 86400
# Which processes (e, A, a, x, d) is not for ps to say here; f and u are formats; w asks for long lines: none is cut.
_KNOWN = frozenset("eAaxdfuw")


@dataclass(frozen=True)
class Column:
    header: str
    form: Form


def elapsed(one: ProcessStatus, clock: HostClock) -> float:
    return max(0.0, clock.uptime - one.started)


def _share_of_cpu(one: ProcessStatus, clock: HostClock) -> float:
    """Percent of one CPU, over its life."""
    return 100 * one.cpu / (elapsed(one, clock) or 1)


def _share_of_memory(one: ProcessStatus, clock: HostClock) -> str:
    return f"{min(99.9, 100 * one.resident / clock.memory):.1f}"


def _state(one: ProcessStatus, _: HostClock) -> str:
    """As ps(1) says under PROCESS STATE CODES."""
    marks = (
        ("<", one.nice < 0),
        ("N", one.nice > 0),
        ("L", one.locked),
        ("s", one.session == one.pid),
        ("l", one.threads > 1),
        ("+", one.foreground == one.group),
    )
    return one.state + "".join(mark for mark, is_so in marks if is_so)


def _command(one: ProcessStatus, _: HostClock) -> str:
    return f"[{one.name}] <defunct>" if one.state == "Z" else one.arguments or f"[{one.name}]"


def _name(one: ProcessStatus, _: HostClock) -> str:
    return f"{one.name} <defunct>" if one.state == "Z" else one.name


def _days(seconds: float) -> tuple[str, int, int, int]:
    days, rest = divmod(int(seconds), _DAY)
    return f"{days}-" if days else "", rest // 3600, rest // 60 % 60, rest % 60


def cpu_time(seconds: float) -> str:
    days, hours, minutes, rest = _days(seconds)
    return f"{days}{hours:02}:{minutes:02}:{rest:02}"


def elapsed_time(seconds: float) -> str:
    days, hours, minutes, rest = _days(seconds)
    return f"{days}{hours:02}:{minutes:02}:{rest:02}" if days or hours else f"{minutes:02}:{rest:02}"


def start_time(then: float, now: float) -> str:
    """STIME: the time of day, or in a day of this year the day, or the year."""
    started, today = time.localtime(then), time.localtime(now)
    if started.tm_year != today.tm_year:
        return time.strftime("%Y", started)
    return time.strftime("%H:%M" if started.tm_yday == today.tm_yday else "%b%d", started)


def _began(one: ProcessStatus, clock: HostClock) -> float:
    return clock.booted + one.started


def _start(form: str) -> Form:
    """START: the time of day within 24 hours, then the day."""

    def text(one: ProcessStatus, clock: HostClock) -> str:
        return time.strftime(form if elapsed(one, clock) < _DAY else "%b %d", time.localtime(_began(one, clock)))

    return text


def _user(number: int) -> str:
    """The host's name for it, as ps on the host would say; the container's own /etc/passwd is not asked."""
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _number(attribute: str) -> Form:
    return lambda one, _: str(getattr(one, attribute))


_USER: Form = lambda one, _: _user(one.effective_user)  # noqa: E731
_TERMINAL: Form = lambda one, _: terminal_name(one.terminal)  # noqa: E731
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
    ("ruser",): Column("RUSER", lambda one, _: _user(one.user)),
    ("group", "egroup"): Column("GROUP", lambda one, _: _group(one.effective_group)),
    ("rgroup",): Column("RGROUP", lambda one, _: _group(one.real_group)),
    ("comm", "ucomm", "ucmd"): Column("COMMAND", _name),
    ("args", "command"): Column("COMMAND", _command),
    ("cmd",): Column("CMD", _command),
    ("stat",): Column("STAT", _state),
    ("s", "state"): Column("S", _number("state")),
    ("c",): Column("C", lambda one, clock: str(int(min(99, _share_of_cpu(one, clock))))),
    ("time", "cputime"): Column("TIME", lambda one, _: cpu_time(one.cpu)),
    ("bsdtime",): Column("TIME", lambda one, _: f"{int(one.cpu) // 60}:{int(one.cpu) % 60:02}"),
    ("etime",): Column("ELAPSED", lambda one, clock: elapsed_time(elapsed(one, clock))),
    ("etimes",): Column("ELAPSED", lambda one, clock: str(int(elapsed(one, clock)))),
    ("stime",): Column("STIME", lambda one, clock: start_time(_began(one, clock), time.time())),
    ("bsdstart",): Column("START", _start("%H:%M")),
    ("start", "start_time"): Column("STARTED", _start("%H:%M:%S")),
    ("lstart",): Column("STARTED", lambda one, clock: time.ctime(_began(one, clock))),
    ("pcpu", "%cpu"): Column("%CPU", lambda one, clock: f"{_share_of_cpu(one, clock):.1f}"),
    ("pmem", "%mem"): Column("%MEM", _share_of_memory),
    ("rss", "rssize", "rsz"): Column("RSS", lambda one, _: str(one.resident // 1024)),
    ("vsz", "vsize"): Column("VSZ", lambda one, _: str(one.virtual // 1024)),
    ("tname",): Column("TTY", _TERMINAL),
    ("tty", "tt"): Column("TT", _TERMINAL),
    ("nice", "ni"): Column("NI", _number("nice")),
    ("pri",): Column("PRI", lambda one, _: str(39 - one.priority)),
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
    """From the options of ps: -ef (the default), -o FIELDS, -eo FIELDS, aux and the like."""
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
    # Without a dash, BSD's form, which has the state.
    return _PLAIN if letters.startswith("-") else _WITH_STATE


def _field(name: str) -> Column:
    if name.lower() not in _BY_NAME:
        raise MinirunError(f'error: unknown user-defined format specifier "{name}"', _hint())
    return _BY_NAME[name.lower()]


def _hint() -> str:
    return "-ef, aux, -o FIELDS or -eo FIELDS; fields: " + ", ".join(names[0] for names in _COLUMNS)
