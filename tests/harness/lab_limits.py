"""Which tests of the command line cannot pass in a lab with one user (tests/harness/in_lab.py), and why.

They have to fail there: one that passes is an error, so that this list stays true. docs/lab.md has the same reasons.
"""

import pytest

from minirun.kernel.own_ids import OWN_IDS

_OTHERS = "root is the only user of a lab without subordinate ids"
EXPECTED = {
    "test_cli.py::test_not_root": f"{_OTHERS}: the test becomes another",
    "test_cli.py::test_exec": f"{_OTHERS}: exec -u nobody",
    "test_run_flags.py::test_a_flag[user]": f"{_OTHERS}: -u nobody",
    "test_run_flags.py::test_a_flag[group-add]": f"{_OTHERS}: -u 1000",
    "test_inherited.py::test_the_oom_score_is_not_inherited[300-flags1]": f"{_OTHERS}: --userns=auto",
    "test_inherited.py::test_the_oom_score_is_not_inherited[-300-flags1]": f"{_OTHERS}: --userns=auto",
}


def mark_expected(items: list[pytest.Item]) -> None:
    """Mark these tests as failing, where there is one user."""
    if not OWN_IDS.is_single:
        return
    for item in items:
        reason = EXPECTED.get(item.nodeid.removeprefix("tests/integration/cli/"))
        if reason:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
