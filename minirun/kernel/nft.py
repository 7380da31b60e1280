"""nftables through libnftables: one call is one transaction, and a failing one leaves nothing behind (nft(8))."""

import errno
import json
import re
from typing import Any

from minirun.kernel.netlink_sockets import PROTOCOLS
from minirun.kernel.seam import Raw, shell
from minirun.kernel.syscalls import ffi, lib

_STATELESS, _HANDLES, _JSON = 1 << 2, 1 << 3, 1 << 4  # NFT_CTX_OUTPUT_*, nftables/libnftables.h
# libnftables knows protocols by name only where the host has an /etc/protocols.
_NAMES = {str(int(number)): name for name, number in PROTOCOLS.items()}
_NUMBERED = re.compile(r"(?:(?<=protocol )|(?<=nexthdr )|(?<=l4proto ))(?:6|17)\b|(?<![\w.])(?:6|17)(?= \. )")

_TABLE = re.compile(r"^table (\w+) (\S+) \{$.*?^\}$", re.M | re.S)


class NftError(OSError):
    """The kernel or the parser refused; `str()` is nft's own text, first line first."""


def nft_apply(commands: str) -> None:
    """Run `commands` as one transaction in the caller's network namespace. NftError says what was refused."""
    if "\n" in commands.strip():
        _apply_text(Raw(commands if commands.endswith("\n") else commands + "\n"))
    else:
        _apply_line(commands.strip())


@shell("nft {line}")
def _apply_line(line: str) -> None:
    transact(line)


@shell("nft -f - <<'EOF'\n{text}EOF")
def _apply_text(text: Raw) -> None:
    transact(text)


class HeldRules:
    """Rules that the kernel deletes when this process ends: their table belongs to the socket that made it (nft(8),
    `flags owner`, which `commands` must contain)."""

    def __init__(self, commands: str) -> None:
        _load()
        self._context = lib.nft_open()
        try:
            _held_add(self._context, Raw(commands))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Delete the rules."""
        lib.nft_close(self._context)


@shell("nft -i <<'EOF'\n{text}EOF")
def _held_add(context: object, text: Raw) -> None:
    _run_in(context, text)


def nft_rules(family: str, table: str, counters: bool = False) -> dict[int, str]:
    """The rules of a table as text, by their handles, with or without the values of their counters."""
    lines = _listed(f"list table {family} {table}", _HANDLES | (0 if counters else _STATELESS)).splitlines()
    parts = (line.rpartition(" # handle ") for line in lines)
    return {int(handle): with_names(text.strip()) for text, mark, handle in parts if mark and handle.isdecimal()}


def with_names(text: str) -> str:
    """Replace protocol numbers by names in what nft lists of rules and elements."""
    return _NUMBERED.sub(lambda match: _NAMES[match[0]], text)


def nft_table(family: str, table: str) -> str:
    """A table as nft lists it, without the values of its counters; "" when it does not exist."""
    try:
        return with_names(_listed(f"list table {family} {table}", _STATELESS))
    except NftError as error:
        if error.errno != errno.ENOENT:
            raise
        return ""


def nft_ruleset() -> dict[tuple[str, str], str]:
    """All tables of the network namespace as nft lists them, by family and name."""
    text = with_names(_listed("list ruleset", _STATELESS))
    return {(head[1], head[2]): head[0] for head in _TABLE.finditer(text)}


def nft_objects(family: str, table: str) -> list[dict[str, Any]]:
    """All objects of a table, as in libnftables-json(5)."""
    objects: list[dict[str, Any]] = json.loads(_listed(f"list table {family} {table}", _JSON))["nftables"]
    return objects


def _listed(command: str, flags: int) -> str:
    _load()
    context = lib.nft_open()
    try:
        lib.nft_show(context, flags)
        return _run_in(context, command)
    finally:
        lib.nft_close(context)


def _load() -> None:
    problem = lib.nft_load()
    if problem != ffi.NULL:
        text = ffi.string(problem).decode()
        raise OSError(errno.ENOSYS, f"{text}; it is in the package libnftables1")


def transact(commands: str) -> None:
    """Run `commands` as one transaction, for a primitive that declares its command itself. Raises NftError."""
    _load()
    # A context reads the ruleset generation of the namespace it was made in, so each transaction has its own.
    context = lib.nft_open()
    if context == ffi.NULL:
        raise MemoryError("nft_ctx_new")
    try:
        _run_in(context, commands)
    finally:
        lib.nft_close(context)


def _run_in(context: object, commands: str) -> str:
    if lib.nft_run(context, commands.encode()) != 0:
        message = ffi.string(lib.nft_error(context)).decode(errors="replace").strip()
        raise NftError(_errno(message), message or "nft: refused without a message")
    return str(ffi.string(lib.nft_output(context)).decode(errors="replace"))


def _errno(message: str) -> int:
    """libnftables returns no errno, only strerror's text in the first line."""
    first = message.splitlines()[0] if message else ""
    for text, number in (
        ("No such file or directory", errno.ENOENT),
        ("File exists", errno.EEXIST),
        ("Operation not supported", errno.EOPNOTSUPP),
        ("Operation not permitted", errno.EPERM),
    ):
        if text in first:
            return number
    return errno.EINVAL
