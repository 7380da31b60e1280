"""A container's files in /etc."""

from minirun.network.etc_files import reachable_servers


def test_loopback_resolvers_are_left_out() -> None:
    assert (
        reachable_servers("search a\nnameserver 127.0.0.53\nnameserver 192.0.2.53\n")
        == "search a\nnameserver 192.0.2.53\n"
    )
    assert "nameserver 8.8.8.8" in reachable_servers("nameserver 127.0.0.1\n")
