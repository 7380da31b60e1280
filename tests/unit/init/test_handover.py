"""What a helper is given: the plan to the last byte, and its files apart, for the process that it goes on as."""

import os
import socket
import threading

import pytest

from minirun.init.handover import hand_over, receive_files, receive_plan


@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize("needed", [0, 2])
def test_the_files_do_not_come_with_the_plan(size: int, needed: int) -> None:
    """Also of a plan without descriptors: a stream joins messages, and the files would be the helper's."""
    ours, theirs = socket.socketpair()
    with ours, theirs, open(os.devnull) as null:
        fds = [null.fileno()]
        sender = threading.Thread(target=hand_over, args=(ours, b"x" * size, fds * needed, fds * 3))
        sender.start()
        received = receive_plan(theirs)
        assert received is not None
        data, for_helper = received
        files = receive_files(theirs)
        sender.join()
        assert (data, len(for_helper), len(files)) == (b"x" * size, needed, 3)
        for fd in (*for_helper, *files):
            os.close(fd)


def test_nobody_there_is_no_plan_and_no_files() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall((99).to_bytes(4, "little") + b"half")
        ours.close()
        assert receive_plan(theirs) is None
        with pytest.raises(ConnectionError):
            receive_files(theirs)
