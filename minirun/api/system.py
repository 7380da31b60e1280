"""/_ping, /version, /info, /auth, /events, /system/df."""

import os
import platform

from minirun import __version__
from minirun.api.http import Response, answer
from minirun.api.request import Request
from minirun.api.versions import NEWEST, OLDEST
from minirun.cli.system.info import describe
from minirun.image.platforms import host_platform

_PING_HEADERS = {"Builder-Version": "1", "Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache"}


def ping(request: Request) -> Response:
    """GET, HEAD /_ping. Builder-Version 1: `docker build` sends its context, and has no BuildKit to talk to."""
    return Response(
        body=b"OK", content_type="text/plain; charset=utf-8", headers={**_PING_HEADERS, "Swarm": "inactive"}
    )


def version(request: Request) -> Response:
    """GET /version."""
    kernel, arch = os.uname().release, host_platform().architecture
    fields = {"ApiVersion": NEWEST, "MinAPIVersion": OLDEST, "Os": "linux", "Arch": arch, "KernelVersion": kernel}
    details = {**fields, "Experimental": "false", "GitCommit": "", "GoVersion": ""}
    python = {"Name": "Python", "Version": platform.python_version(), "Details": {}}
    engine = {"Name": "Engine", "Version": __version__, "Details": details}
    return answer(
        {
            "Platform": {"Name": "minirun"},
            "Components": [engine, python],
            "Version": __version__,
            **fields,
            "GitCommit": "",
            "GoVersion": "",
        }
    )


def info(request: Request) -> Response:
    """GET /info."""
    described = describe(request.instance)
    del described["ClientInfo"]
    return answer(described)
