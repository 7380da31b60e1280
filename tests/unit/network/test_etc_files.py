"""A container's files in /etc."""

import pytest

from minirun.network.etc_files import reachable_servers

FOUR = ["192.0.2.53", "169.254.169.253"]
SIX = ["2001:db8::53", "fd00::53"]
NEVER = ["127.0.0.53", "127.1.2.3", "::1", "fe80::1", "fe80::1%eth0"]


@pytest.mark.parametrize(("has_ipv6", "kept"), [(False, FOUR), (True, [*SIX, *FOUR])])
def test_a_container_is_told_the_servers_that_it_can_reach(has_ipv6: bool, kept: list[str]) -> None:
    head = "search a\noptions edns0\n"
    host = head + "".join(f"nameserver {address}\n" for address in [*NEVER, *SIX, *FOUR])
    assert reachable_servers(host, has_ipv6) == head + "".join(f"nameserver {address}\n" for address in kept)


@pytest.mark.parametrize("server", NEVER)
@pytest.mark.parametrize(("has_ipv6", "count"), [(False, 2), (True, 4)])
def test_without_any_it_is_told_public_ones(server: str, has_ipv6: bool, count: int) -> None:
    lines = reachable_servers(f"nameserver {server}\n", has_ipv6).splitlines()
    assert lines[0] == "nameserver 8.8.8.8"
    assert len(lines) == count
