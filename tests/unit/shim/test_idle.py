"""What an idle shim keeps, also that of another version, is read."""

import marshal

from minirun.init.plan import Plan, packed, unpacked


def test_what_another_version_kept_is_read() -> None:
    """minirun is replaced while a container runs: what came since has its default, what went is passed over."""
    plan = Plan("/r", "c", "lower", "web", "", "", ("true",), (), "/", "", "web", False, False, False, False, True, ())
    whole = marshal.loads(packed(plan))
    assert unpacked(Plan, packed(plan)) == plan
    assert unpacked(Plan, marshal.dumps(whole | {"from_the_future": 1})) == plan
    del whole["has_names"]
    assert unpacked(Plan, marshal.dumps(whole)) == plan
