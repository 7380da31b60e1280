"""`minirun`: fork the monitor before anything heavy is imported, then hand over to the command line."""

import gc
import os
import sys

_STARTS = ("run",)


def main() -> None:
    launch = None
    if _verb(sys.argv[1:]) in _STARTS and os.geteuid() == 0:
        from minirun.kernel.early import fork_monitor

        launch = fork_monitor()
    gc.disable()  # a command is short: what it imports is not worth collecting
    from minirun.cli.app import call

    sys.exit(call(sys.argv[1:], launch))


def _verb(words: list[str]) -> str:
    """The first word that is no option of minirun's own (only --root takes a value)."""
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word == "--root":
            skip = True
        elif not word.startswith("-"):
            return word
    return ""


if __name__ == "__main__":
    main()
