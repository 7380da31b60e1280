"""`minirun`: fork the monitor before anything heavy is imported, then hand over to the command line."""

import sys

_STARTS = ("run",)


def main() -> None:
    launch = None
    if _verb(sys.argv[1:]) in _STARTS:
        from minirun.kernel.root import is_root

        if is_root():
            from minirun.monitor import fork_monitor

            launch = fork_monitor()
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
