"""`minirun`: the standard streams, then the command line. And the fork server, which runs the same for others.

Imports are within functions: a lab starts in less time than those of the command line take.
"""

import gc
import os
import sys
from functools import partial
from pathlib import Path

_ROOM = 4095  # bytes; as csrc/launcher.c leaves them
_MANY_OBJECTS = 300_000  # more than the imports make: a collection among them takes 30 ms, and finds nothing


def main() -> None:
    """Run the command line of sys.argv and exit with its code."""
    from minirun.cli.main import run
    from minirun.kernel.execution import came_from_sleeper
    from minirun.shim.prefork import end

    _open_standard_streams()
    if sys.argv[1:2] == ["shim-end"] and came_from_sleeper():  # no command for people
        end(int(sys.argv[2]), int(sys.argv[3]))
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
        code = code or 141
    sys.exit(code)


def start() -> None:
    """Be the program of one command, without the fork server.

    Like a worker's it ends without Python's cleanup, which would close what has to stay as it is (store, _left_open).
    """
    gc.set_threshold(_MANY_OBJECTS)
    if sys.argv[1:2] == ["lab"] and not (len(sys.argv) > 2 and sys.argv[2].startswith("-")):
        os._exit(_run_plain_lab(sys.argv[2:]))
    from minirun.forkserver.worker import run_to_end

    os._exit(run_to_end(main))


def _run_plain_lab(words: list[str]) -> int:
    """The command `lab` (cli/lab.py) without options."""
    from minirun.errors import MinirunError
    from minirun.lab.enter import run_lab

    try:
        return run_lab(words)
    except MinirunError as error:
        print("\n".join(filter(None, (f"minirun: {error.message}", error.hint))), file=sys.stderr)
        return error.code


def serve() -> None:
    """Be the fork server, which runs `main` in a worker for each command (forkserver/)."""
    from minirun.cli.main import prepare
    from minirun.cli.rehearsal import Rehearsal
    from minirun.config import load_or_default
    from minirun.forkserver.ahead import Helper
    from minirun.forkserver.server import serve_commands
    from minirun.init import prepared
    from minirun.init.exec_process import serve_exec
    from minirun.shim.prefork import serve as serve_shim

    if len(sys.argv) == 2:  # by systemd: once more, with the room that the command lines of workers are written to
        os.execv(sys.argv[0], [*sys.argv, " " * _ROOM])
    path = Path(sys.argv[1])
    sys.argv = [str(Path(sys.argv[0]).with_name("minirun"))]
    roles = {prepared.SHIM: serve_shim, prepared.EXEC: serve_exec}
    helper = Helper(partial(prepared.live, roles), prepared.offer)
    serve_commands(path, main, prepare, helper, Rehearsal().go_on, load_or_default().forkserver_idle_time)


def _open_standard_streams() -> None:
    """A caller may have closed one (`<&-`): the next file that is opened would be taken for it.

    What is written to a closed standard output fails, as it would without this.
    """
    from minirun.cli.output.lost import tell_lost_output

    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open("/dev/null", os.O_RDONLY if fd == 1 else os.O_RDWR)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    tell_lost_output()
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


if __name__ == "__main__":
    start()
