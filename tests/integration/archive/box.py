"""A throwaway host with one container on it, for tests that copy from and to it."""

import json
import sys
from typing import Any

from tests.harness import Host, Snapshot

STATES = ("running", "stopped")


class Box:
    """A throwaway host with one container on it, named box."""

    def __init__(self, host: Host) -> None:
        self.host = host
        host.minirun("run", "-d", "--name", "box", "--net=none", "busybox", "sleep", "1000")
        self.id = json.loads(host.minirun("inspect", "box").stdout)[0]["Id"]
        self.upper = f"/var/lib/minirun/containers/{self.id}/upper"
        host.sh("mkdir /run/w")
        self.before = Snapshot.of(host)

    def stop(self) -> None:
        self.host.minirun("stop", "-t", "0", "box")
        self.before = Snapshot.of(self.host)

    def inside(self, script: str) -> str:
        return str(self.host.minirun("exec", "box", "sh", "-c", script).stdout)

    def cp(self, *words: str, **kwargs: Any) -> Any:
        return self.host.minirun("cp", *words, check=False, **kwargs)

    def tree(self, path: str) -> dict[str, str]:
        """All below a path of the host: content of files, targets of links, a slash for directories."""
        return dict(json.loads(self.host.run([sys.executable, "-c", _TREE, path]).stdout))


_TREE = """
import json, os, stat, sys
def show(path):
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode): return "-> " + os.readlink(path)
    if stat.S_ISDIR(mode): return "/"
    return open(path, errors="replace").read(99) if stat.S_ISREG(mode) else stat.filemode(mode)[0]
os.chdir(sys.argv[1])
found = [os.path.join(d, n)[2:] for d, ds, fs in os.walk(".") for n in ds + fs]
print(json.dumps({path: show(path) for path in found}))
"""
