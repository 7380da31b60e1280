"""What a helper is given (helper.py, exec_process.py): its plan, and the files of the process that it goes on as.

The new process receives its files itself. In the helper they would stay open until the kernel has taken it apart, and
who waits for the end of file that says "execve worked" would wait for that, too.
"""

import socket

from minirun.kernel.sockets import receive_with_fds, send_with_fds

_SIZE = 4  # bytes that say how many follow
_MOST_FDS = 8


def hand_over(channel: socket.socket, data: bytes, fds: list[int], files: list[int]) -> None:
    """Send a plan with the descriptors that the helper needs, and the files. ConnectionError: it is gone."""
    send_with_fds(channel, len(data).to_bytes(_SIZE, "little") + data, fds)
    send_with_fds(channel, b"f", files)


def receive_plan(channel: socket.socket) -> tuple[bytes, list[int]] | None:
    """In the helper: the plan, and its descriptors; None when none is needed."""
    head, fds = receive_with_fds(channel, _SIZE, _MOST_FDS)
    missing, data = int.from_bytes(head, "little"), b""
    while missing:  # and no byte more: with the next come the files
        if not (part := channel.recv(missing)):
            return None
        data, missing = data + part, missing - len(part)
    return (data, fds) if data else None


def receive_files(channel: socket.socket) -> list[int]:
    """In the new process: its files. ConnectionError: whoever had sent the plan is gone."""
    data, files = receive_with_fds(channel, 1, _MOST_FDS)
    if not data:
        raise ConnectionResetError("nobody waits for this process")
    return files
