"""Who keeps the DNS server alive (network/dns/process.py)."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from minirun.network.dns.process import Users
from minirun.network.dns.server_control import END_SOON, KEEP_ALIVE


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.bind(str(tmp_path / "socket"))
        made.listen()
        yield made


def _connected(listener: socket.socket, users: Users, message: bytes) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(listener.getsockname())
    connection.sendall(message)
    users.accept_all()
    return connection


def _leave(connection: socket.socket, users: Users) -> None:
    connection.close()
    users._read_ready()


def test_it_stays_for_a_while_after_its_last_user(listener: socket.socket) -> None:
    users = Users(listener)
    _leave(_connected(listener, users, KEEP_ALIVE), users)
    assert not users.is_unneeded()
    assert 0 < (users.due() or 0) <= 1


def test_it_ends_at_once_when_no_start_is_expected(listener: socket.socket) -> None:
    users = Users(listener)
    user = _connected(listener, users, KEEP_ALIVE)
    _connected(listener, users, END_SOON).close()
    assert (users.is_unneeded(), users.due()) == (False, None)
    _leave(user, users)
    assert (users.is_unneeded(), users.due()) == (True, 0)


def test_a_user_that_comes_later_is_a_start_that_others_may_follow(listener: socket.socket) -> None:
    users = Users(listener)
    _connected(listener, users, END_SOON).close()
    assert users.is_unneeded()
    _leave(_connected(listener, users, KEEP_ALIVE), users)
    assert not users.is_unneeded()
