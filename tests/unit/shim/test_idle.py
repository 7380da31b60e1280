"""What an idle shim keeps, also that of another version, is read."""

import marshal

from minirun.init.plan import Plan, pack, unpack


def test_what_another_version_kept_is_read() -> None:
    """minirun is replaced while a container runs: what came since has its default, what went is passed over."""
    plan = Plan("/r", "c", "lower", "web", "", "", ("true",), (), "/", "", "web", False, False, False, False, True, ())
    whole = marshal.loads(pack(plan))
    assert unpack(Plan, pack(plan)) == plan
    assert unpack(Plan, marshal.dumps(whole | {"from_the_future": 1})) == plan
    del whole["has_names"]
    assert unpack(Plan, marshal.dumps(whole)) == plan
