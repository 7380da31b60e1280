"""minirun info: the installation and the host, as minirun sees them."""

import os
from pathlib import Path
from typing import Any

from minirun import __version__
from minirun.cli.format import shower
from minirun.cli.opening import open_instance
from minirun.cli.verb import Verb, value
from minirun.image.records import all_images
from minirun.instance import Instance
from minirun.kernel import cgroups, controllers
from minirun.model import Status
from minirun.security.confinement import has_apparmor


class Info(Verb):
    most = 0
    form = value("format", "f", "Format output using a custom template: json or TEMPLATE")

    def run(self) -> None:
        found = describe(open_instance())
        if self.form:
            print(shower(self.form)(found))
            return
        shown = found | {"SecurityOptions": " ".join(found["SecurityOptions"])}
        for name, text in _LINES:
            print(f"{name}: {text.format(**shown)}")


_LINES = (
    ("Containers", "{Containers}"),
    (" Running", "{ContainersRunning}"),
    (" Paused", "{ContainersPaused}"),
    (" Stopped", "{ContainersStopped}"),
    ("Images", "{Images}"),
    ("Server Version", "{ServerVersion}"),
    ("Storage Driver", "{Driver}"),
    ("Logging Driver", "{LoggingDriver}"),
    ("Cgroup Driver", "{CgroupDriver}"),
    ("Cgroup Version", "{CgroupVersion}"),
    ("Controllers", "{Controllers}"),
    ("Security Options", "{SecurityOptions}"),
    ("Kernel Version", "{KernelVersion}"),
    ("Operating System", "{OperatingSystem}"),
    ("OSType", "{OSType}"),
    ("Architecture", "{Architecture}"),
    ("CPUs", "{NCPU}"),
    ("Total Memory", "{MemTotal}"),
    ("Name", "{Name}"),
    ("Minirun Root Dir", "{MinirunRootDir}"),
    ("Firewall Table", "{FirewallTable}"),
)


def describe(instance: Instance) -> dict[str, Any]:
    containers = instance.store.containers()
    running = [one for one in containers if one.status in (Status.RUNNING, Status.RESTARTING)]
    homes = controllers.homes()
    uname = os.uname()
    return {
        "Containers": len(containers),
        "ContainersRunning": sum(not one.paused for one in running),
        "ContainersPaused": sum(one.paused for one in running),
        "ContainersStopped": len(containers) - len(running),
        "Images": len(all_images(instance.store)),
        "Driver": "overlay2",
        "LoggingDriver": "json-file",
        "CgroupDriver": "systemd" if cgroups.is_systemds() else "cgroupfs",
        "CgroupVersion": "2" if homes and all(home.v2 for home in homes.values()) else "1",
        "Unified": str(cgroups.unified() or ""),
        "Controllers": " ".join(sorted(homes)) or "none",
        "SecurityOptions": [*(["name=apparmor"] if has_apparmor() else []), "name=seccomp,profile=builtin"],
        "KernelVersion": uname.release,
        "OperatingSystem": _system(),
        "OSType": "linux",
        "Architecture": uname.machine,
        "NCPU": os.cpu_count(),
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "Name": uname.nodename,
        "MinirunRootDir": str(instance.root),
        "FirewallTable": f"inet {instance.table}",
        "ServerVersion": __version__,
    }


def _system() -> str:
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            lines = Path(path).read_text(errors="replace").splitlines()
        except OSError:
            continue
        return next((line.split("=", 1)[1].strip('"') for line in lines if line.startswith("PRETTY_NAME=")), "Linux")
    return "Linux"
