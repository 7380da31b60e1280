"""The program for a container: made once for a profile and a set of capabilities, then kept in the state root."""

import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path

from minirun.instance import Instance
from minirun.kernel.credentials import NAMES, granted
from minirun.model import UNCONFINED, Security

_DEFAULT = Path(__file__).with_name("default.json")
_SEAL = struct.Struct("=I")
_FORMAT = 2  # of what is kept: one more whenever compiling.py makes something else


def filter_for(instance: Instance, security: Security) -> bytes:
    """b"": nothing is filtered."""
    if security.privileged or security.seccomp == UNCONFINED:
        return b""
    capabilities = granted(security.cap_add, security.cap_drop, security.privileged)
    place = instance.root / "cache" / "seccomp" / _key(security.seccomp, capabilities)
    return _kept(place) or _keep(place, _compiled(security.seccomp or _DEFAULT.read_text(), capabilities))


def _key(profile: str, capabilities: tuple[str, ...]) -> str:
    """Of all that the program follows from."""
    if profile:
        from hashlib import sha256  # 1 ms, which most starts can do without

        name = sha256(profile.encode()).hexdigest()
    else:
        name = f"default-{_DEFAULT.stat().st_mtime_ns:x}"
    held = sum(1 << NAMES.index(one) for one in capabilities)
    machine = os.uname()
    return f"{name}-{held:x}-{machine.machine}-{machine.release}-{_FORMAT}"


def check(text: str) -> None:
    """MinirunError when no program can be made of this profile."""
    _compiled(text, ())


def _compiled(text: str, capabilities: tuple[str, ...]) -> bytes:
    from minirun.security.seccomp_compiler import compiled
    from minirun.security.seccomp_profile import parse

    return compiled(parse(text), frozenset(capabilities))


def _kept(place: Path) -> bytes:
    """b"" when there is none, or not all of it: a filter that is cut short is another filter."""
    try:
        data = place.read_bytes()
    except FileNotFoundError:
        return b""
    program, seal = data[: -_SEAL.size], data[-_SEAL.size :]
    return program if seal == _sealed(program) else b""


def _sealed(program: bytes) -> bytes:
    return _SEAL.pack(zlib.crc32(program))


def _keep(place: Path, program: bytes) -> bytes:
    """Whole or not at all: several may be at it, and any may be killed."""
    data = program + _sealed(program)
    with suppress(OSError):  # a full disk: then it is made again the next time
        for directory in (place.parent.parent, place.parent):
            directory.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(place.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            if os.write(fd, data) == len(data):
                place.unlink(missing_ok=True)  # it was not whole
                os.link(f"/proc/self/fd/{fd}", place, src_dir_fd=fd, follow_symlinks=True)  # or it is the link itself
        finally:
            os.close(fd)
    return program
