"""Which letters the caller's terminal has."""

import os

_VARIABLES = ("LC_ALL", "LC_CTYPE", "LANG")


def has_unicode() -> bool:
    """Return whether the caller's locale has UTF-8 (locale(7)); the default locale, C, has ASCII alone.

    By the environment: Python itself would write UTF-8 in the C locale, too (PEP 540), and this process may be a worker
    of the fork server, whose locale is another one.
    """
    name = next(filter(None, map(os.environ.get, _VARIABLES)), "C")
    return name.partition("@")[0].rpartition(".")[2].upper().replace("-", "") == "UTF8"
