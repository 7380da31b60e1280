"""What the prune verbs ask before they remove anything, and what they say afterwards."""

import sys

from minirun.cli.table import size


def confirmed(warning: str, force: bool) -> bool:
    """Docker's question. End of file is no."""
    if force:
        return True
    print(f"WARNING! {warning}\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def print_removed(title: str, names: list[str]) -> None:
    if names:
        print(f"{title}:", *names, "", sep="\n")


def print_reclaimed(number: int) -> None:
    print(f"Total reclaimed space: {size(number, 4)}")
