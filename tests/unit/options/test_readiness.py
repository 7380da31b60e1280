"""The conditions of --wait."""

import pytest

from minirun.errors import MinirunError
from minirun.options.readiness import HttpRequest, parse_conditions


def test_conditions_are_read() -> None:
    found = parse_conditions(["started", "healthy", "listening:53/udp", "log:^a:b$", "http:/a=b", "http:80/x=503"])
    assert (found.by_default, found.healthy, found.ports) == (True, True, ((53, "udp"),))
    assert [pattern.pattern for pattern in found.log] == ["^a:b$"]
    assert found.http == (HttpRequest(0, "/a=b"), HttpRequest(80, "/x", 503))


@pytest.mark.parametrize(
    "text", ["", "ready", "listening", "listening:x", "listening:80:80", "log:", "log:(", "http:x"]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(MinirunError):
        parse_conditions([text])
