"""Replacing this process's program: the payload by way of the stub (csrc/stub.c), and the sleeper (csrc/sleeper.c)."""

import fcntl
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from minirun.kernel import processes
from minirun.kernel.seam import shell
from minirun.kernel.syscalls import check, ffi, lib

STUB = Path(__file__).with_name("payload-stub")
SLEEPER = Path(__file__).with_name("sleeper")
_SLEEPER = "MINIRUN_SLEEPER_"
_F_ADD_SEALS, _ALL_SEALS = 1033, 0x1 | 0x2 | 0x4 | 0x8


def sealed_stub() -> int:
    """The payload stub in a memfd that can no longer be written (memfd_create(2), F_SEAL_WRITE)."""
    memfd = os.memfd_create("minirun-stub", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(STUB, "rb") as source:
        size = os.fstat(source.fileno()).st_size
        while size > 0:
            size -= os.sendfile(memfd, source.fileno(), None, size)
    fcntl.fcntl(memfd, _F_ADD_SEALS, _ALL_SEALS)
    return memfd


def import_no_more() -> None:
    """Disable imports, before entering a container's root: paths would lead into the image, whose code must not run."""
    for finders in (sys.meta_path, sys.path_hooks, sys.path):
        finders.clear()


def memory_file(name: str, data: bytes) -> int:
    """A file in memory (memfd_create(2)), positioned at its start."""
    memory = os.memfd_create(name)
    os.write(memory, data)
    os.lseek(memory, 0, os.SEEK_SET)
    return memory


def exec_sleeper(
    title: list[str], watched: Sequence[int], kept: Sequence[int], script: str, launcher: Path | None, memory: int
) -> NoReturn:
    """Become csrc/sleeper.c, which waits until a watched file is readable, and then runs `script` in a new Python.

    `kept` are the descriptors that stay open, `title` is what ps(1) shows. With a `launcher`, the end of the process
    that the first watched file is of is handed to that, with `memory`. Raises OSError when the program is missing.
    """
    for fd in kept:
        os.set_inheritable(fd, True)
    told = {"FILES": ",".join(map(str, watched)), "PYTHON": sys.executable, "SCRIPT": script}
    if launcher is not None:
        told |= {"LAUNCHER": str(launcher), "MEMORY": str(memory)}
    os.execve(SLEEPER, title, {**os.environ, **{_SLEEPER + name: text for name, text in told.items()}})


def spawn_guard(pidfd: int, title: str, argv: list[str]) -> int:
    """Start a process of a few pages that executes `argv` when the process of `pidfd` has ended. Returns its pid.

    Nobody reads what `argv` prints.
    """
    script = f"import os; os.execv({argv[0]!r}, {argv!r})"
    told = {"FILES": "3", "PYTHON": sys.executable, "SCRIPT": script}
    environment = {_SLEEPER + name: text for name, text in told.items()}
    environment |= {name: text for name, text in os.environ.items() if name.startswith("MINIRUN_")}
    return processes.spawn_away([title], [pidfd], os.devnull, str(SLEEPER), environment)


def came_from_sleeper() -> bool:
    """Whether this process, or its launcher, was the sleeper, and has reaped a container's first process."""
    return _SLEEPER + "CODE" in os.environ


def left_sleeper() -> int | None:
    """Restore the environment, in what the sleeper became. Returns the exit code of the process that it has reaped."""
    code = os.environ.get(_SLEEPER + "CODE")
    for name in [name for name in os.environ if name.startswith(_SLEEPER)]:
        del os.environ[name]
    return None if code is None else int(code)


@shell("exec {argv}")
def exec_payload(
    stub: int, program: str, argv: list[str], env: dict[str, str], error_fd: int, init: bool, profile: str
) -> NoReturn:
    """Become the payload by way of the stub, confined by an AppArmor profile ("": none).

    The stub writes the errno of a failed execve(2) to `error_fd`.
    """
    os.set_inheritable(error_fd, True)
    words = ["minirun-init", str(error_fd), "1" if init else "0", profile, program, *argv]
    # The buffers must outlive the call; execveat keeps nothing of ours afterwards.
    argv_buffers = [ffi.new("char[]", os.fsencode(word)) for word in words]
    env_buffers = [ffi.new("char[]", os.fsencode(f"{key}={value}")) for key, value in env.items()]
    argv_array = ffi.new("char *[]", [*argv_buffers, ffi.NULL])
    env_array = ffi.new("char *[]", [*env_buffers, ffi.NULL])
    check(lib.sys_execveat(stub, b"", argv_array, env_array, lib.AT_EMPTY_PATH))
    raise AssertionError("execveat returned")
