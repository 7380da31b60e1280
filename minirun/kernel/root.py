"""Whether the caller may do what minirun does."""

import os


def is_root() -> bool:
    return os.geteuid() == 0
