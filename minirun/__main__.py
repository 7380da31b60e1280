"""`minirun`: fork the shim before anything heavy is imported, then hand over to the command line."""

import gc
import os
import sys

from minirun.cli.verbs import canonical, split

_STARTS = ("run", "start", "restart", "system start")


def main() -> None:
    gc.disable()  # a command is short: what it imports is not worth collecting
    _open_standard_streams()
    launch = None
    before, called, _ = split(sys.argv[1:])
    if any(word.startswith("--explain") for word in before):
        from minirun.diagnostics.explain.recorder import RECORDER

        RECORDER.start()
    if canonical(called) in _STARTS and os.geteuid() == 0:
        from minirun.shim.prefork import spawn

        launch = spawn()
    from minirun.cli.app import call

    code = call(sys.argv[1:], launch)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = code or 141
    # Not sys.exit: taking the interpreter apart costs 5 ms and frees what the kernel frees at once.
    os._exit(code)


def _open_standard_streams() -> None:
    """A caller may have closed one (`<&-`): the next file opened would then be taken for it."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open("/dev/null", os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


if __name__ == "__main__":
    main()
