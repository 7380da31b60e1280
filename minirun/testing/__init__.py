"""For integration tests: real containers and networks, which end with the process that made them.

    from minirun.testing import Host, listening

    with Host() as host:
        web = host.run("busybox", ["httpd", "-f", "-p", "80"], ports=[80], ready=listening(80))
        web.connect(80).sendall(b"GET / HTTP/1.0\r\n\r\n")

It is a client of the program `minirun`, as a shell is: it imports nothing else of minirun and nothing outside the
standard library, so it works in any virtual environment. All of it may be used from several threads and processes. The
fixtures for pytest are in `minirun.testing.plugin`. docs/testing.md explains it from the first line on.
"""

from minirun.testing.conditions import Condition, all_of, healthy, http, listening, log
from minirun.testing.container import Container, Output, Snapshot, State
from minirun.testing.failures import (
    CommandError,
    HostError,
    ImageNotFoundError,
    NoPermissionError,
    NotReadyError,
    ProgramNotFoundError,
    ReachedError,
    StartError,
    UnreachableError,
)
from minirun.testing.faults import Dns, Fault
from minirun.testing.host import Host, Images, Network
from minirun.testing.reachability import Journey, assert_blocked, assert_reaches

__all__ = [
    "CommandError",
    "Condition",
    "Container",
    "Dns",
    "Fault",
    "Host",
    "HostError",
    "ImageNotFoundError",
    "Images",
    "Journey",
    "Network",
    "NoPermissionError",
    "NotReadyError",
    "Output",
    "ProgramNotFoundError",
    "ReachedError",
    "Snapshot",
    "StartError",
    "State",
    "UnreachableError",
    "all_of",
    "assert_blocked",
    "assert_reaches",
    "healthy",
    "http",
    "listening",
    "log",
]
