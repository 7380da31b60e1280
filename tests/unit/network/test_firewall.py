"""The tables are a pure function of the records: golden text."""

import os
from pathlib import Path

import pytest

from minirun.network.firewall.tables import render
from tests.unit.network.firewall_cases import CASES, DEFAULT, LOCAL, WEB

GOLDEN = Path(__file__).with_name("golden")


@pytest.mark.parametrize("case", list(CASES))
def test_golden_text(case: str) -> None:
    """After a wanted change: UPDATE_GOLDEN=1 pytest tests/unit/network/test_firewall.py, and read the difference."""
    text = render("minirun", *CASES[case])
    path = GOLDEN / f"{case}.nft"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_order_of_records_does_not_matter() -> None:
    assert render("t", [DEFAULT], [WEB, LOCAL]) == render("t", [DEFAULT], [LOCAL, WEB])
