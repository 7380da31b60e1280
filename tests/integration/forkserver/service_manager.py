"""What systemd does for a socket unit and its service, as pid 1 of a pid namespace.

    service_manager.py SOCKET PROGRAM [FILES]

It listens at SOCKET. When somebody connects and no server runs, it starts `PROGRAM SOCKET`. It passes the socket as
descriptor 3, and says that FILES sockets are passed (1). It prints the pid of each server that it starts.
"""

import os
import select
import socket
import sys


def main() -> None:
    path, program = sys.argv[1:3]
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(4096)
    while True:
        select.select([listener], [], [])
        server = os.fork()
        if server == 0:
            os.dup2(listener.fileno(), 3)
            os.set_inheritable(3, True)
            told = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": sys.argv[3] if len(sys.argv) > 3 else "1"}
            os.execve(program, [program, path], {"PATH": os.defpath, "LC_ALL": "C.UTF-8", **told})
        print(server, flush=True)
        while os.wait()[0] != server:  # pid 1 reaps orphans, too
            pass


main()
