"""Which tests may be skipped where: with CI=true in the environment, any other skip is a failure.

A skip says that this machine cannot run the test. It must never say that minirun cannot do what the test is about.
"""

import os
import re
from collections.abc import Generator

import pytest

EXPECTED = (
    r"this machine has no ",  # a controller, a hierarchy, or a file in one
    r"this kernel has no netem",
    r"one CPU alone",
    r"cgroup v2 kills instead of refusing",
    r"ip\(8\) itself cannot do it in a chroot",
    r"no keys can be made here",
    r"this checkout cannot be read by another user",
    r"apt-get ",  # no network, and the packages were not fetched before
    r".* cannot be laid over this host",
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    reason = _reason(report)
    if reason and os.environ.get("CI") == "true" and not any(re.match(pattern, reason) for pattern in EXPECTED):
        report.outcome = "failed"
        report.longrepr = f"unexpected skip: {reason} (tests/harness/skip_policy.py lists the expected ones)"
    return report


def _reason(report: pytest.TestReport) -> str:
    if not report.skipped or hasattr(report, "wasxfail") or not isinstance(report.longrepr, tuple):
        return ""
    return report.longrepr[2].removeprefix("Skipped: ")
