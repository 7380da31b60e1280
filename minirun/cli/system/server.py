"""minirun system stop-server, and what `minirun info` says of the fork server."""

import time
from typing import Any

from minirun.cli.output.table import binary_size, span
from minirun.cli.session import commands, require_root
from minirun.forkserver import control
from minirun.forkserver.location import launcher, server_program, socket_path
from minirun.options.values import timestamp

app = commands()


@app.command("stop-server")
def stop_server() -> None:
    """Stop the fork server.

    The fork server has minirun's code in memory, so commands start faster. Running commands and containers go on. The
    next command starts a new server, unless the environment has MINIRUN_FORKSERVER=off.
    """
    require_root()
    control.stop()


def describe_server() -> dict[str, Any]:
    """The fields of `info` about the fork server."""
    path = launcher()
    if path is None:
        return {"State": "not installed"}
    places = {"Socket": str(socket_path(path)), "Program": str(server_program(path))}
    try:
        status = control.status()
    except control.NoAnswerError as error:
        return {"State": "no answer", "Error": error.message, **places}
    if status is None:
        return {"State": "none", **places}
    return {
        "State": "running",
        "Pid": status.pid,
        "Commands": status.commands,
        "CommandsRunning": status.running,
        "StartedAt": timestamp(int(status.started * 1e9)),
        "UpSeconds": round(time.time() - status.started),
        "IdleSeconds": round(status.idle),
        "Memory": status.memory,
        **places,
    }


def server_lines(server: dict[str, Any]) -> list[tuple[str, str]]:
    """The same as names and texts."""
    lines = [("Fork Server", server["State"])]
    if "Commands" in server:
        lines += [
            (" Process", str(server["Pid"] or "outside of this pid namespace")),
            (" Commands", f"{server['Commands']} ({server['CommandsRunning']} running)"),
            (" Started", f"{span(server['UpSeconds'])} ago"),
            (" Idle", span(server["IdleSeconds"])),
            (" Memory", binary_size(server["Memory"])),
        ]
    return lines + [(f" {name}", server[name]) for name in ("Error", "Socket", "Program") if name in server]
