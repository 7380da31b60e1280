"""What the tests of volumes and mounts have in common: short forms of commands."""

import json
from typing import Any

from tests.harness import Host

STATE = "/var/lib/minirun"


def run(host: Host, *arguments: str, **kwargs: Any) -> str:
    """The flags, an image, and a script as the last word."""
    *flags, image, script = arguments
    return str(host.minirun("run", "--rm", "--net=none", *flags, image, "sh", "-c", script, **kwargs).stdout)


def refused(host: Host, *arguments: str, verb: str = "run", code: int = 125) -> str:
    rest = ("--rm", "--net=none", *arguments, "busybox", "true") if verb == "run" else arguments
    done = host.minirun(*verb.split(), *rest, check=False)
    assert done.returncode == code, done.stderr
    return str(done.stderr)


def names(host: Host, *flags: str) -> list[str]:
    return str(host.minirun("volume", "ls", "-q", *flags).stdout).split()


def inspect(host: Host, name: str, form: str) -> Any:
    return json.loads(host.minirun("inspect", "--format", "{{json " + form + "}}", name).stdout)


def layer(host: Host, name: str) -> str:
    """Where the files of an image of one layer are."""
    form = "{{.GraphDriver.Data.UpperDir}}"
    return str(host.minirun("image", "inspect", "--format", form, name).stdout).strip()
