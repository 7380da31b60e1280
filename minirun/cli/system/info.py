"""minirun info, minirun version."""

import os
import platform
import time
from pathlib import Path
from typing import Any

from minirun import __version__
from minirun.cli.output.docker_structs import DOCKER_STRUCTS
from minirun.cli.output.format import shower
from minirun.cli.parameters import ObjectFormat
from minirun.cli.session import commands, open_instance
from minirun.cli.system.server import describe_server, server_lines
from minirun.image.platforms import host_platform
from minirun.image.records import all_images
from minirun.instance import Instance
from minirun.kernel import cgroups, controllers
from minirun.kernel.own_ids import OWN_IDS
from minirun.kernel.sysctl import sysctl_read
from minirun.model import Status
from minirun.options.values import timestamp
from minirun.security.confinement import has_apparmor

app = commands()


@app.command("info")
def info(form: ObjectFormat = "") -> None:
    """Display system-wide information."""
    described = describe(open_instance())
    if form:
        print(shower(form)(DOCKER_STRUCTS.build("info", described)))
        return
    shown = described | {"SecurityOptions": " ".join(described["SecurityOptions"])}
    for name, text in _LINES:
        print(f"{name}: {text.format(**shown)}")
    for name, text in server_lines(described["ForkServer"]):
        print(f"{name}: {text}")


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
    """The fields of `docker info` that make sense here."""
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
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "cni", "host", "macvlan", "null"],
            "Authorization": None,
            "Log": ["json-file", "local", "none"],
        },
        "MemoryLimit": "memory" in homes,
        "CpuCfsPeriod": "cpu" in homes,
        "CpuCfsQuota": "cpu" in homes,
        "CPUShares": "cpu" in homes,
        "CPUSet": "cpuset" in homes,
        "PidsLimit": "pids" in homes,
        "IPv4Forwarding": sysctl_read("net.ipv4.ip_forward") == "1",
        "Debug": False,
        "SystemTime": timestamp(time.time_ns()),
        "LoggingDriver": "json-file",
        "CgroupDriver": "systemd" if cgroups.is_systemds() else "cgroupfs",
        "CgroupVersion": "2" if homes and all(home.v2 for home in homes.values()) else "1",
        "Unified": str(cgroups.unified() or ""),
        "Controllers": " ".join(sorted(homes)) or "none",
        "KernelVersion": uname.release,
        "OperatingSystem": _system(),
        "OSType": "linux",
        "Architecture": uname.machine,
        "NCPU": os.cpu_count(),
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "DockerRootDir": str(instance.root),
        "Name": uname.nodename,
        "Labels": [],
        "ServerVersion": __version__,
        "Swarm": {"LocalNodeState": "inactive"},
        "SecurityOptions": [
            *(["name=apparmor"] if has_apparmor() else []),
            "name=seccomp,profile=builtin",
            *([] if OWN_IDS.is_first else ["name=rootless"]),  # Docker's word for a lab
        ],
        "MinirunRootDir": str(instance.root),
        "FirewallTable": f"inet {instance.table}",
        "ForkServer": describe_server(),
        "ClientInfo": {
            "Version": __version__,
            "Os": "linux",
            "Arch": host_platform().architecture,
            "Context": "default",
        },
    }


def _system() -> str:
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            lines = Path(path).read_text(errors="replace").splitlines()
        except OSError:
            continue
        return next((line.split("=", 1)[1].strip('"') for line in lines if line.startswith("PRETTY_NAME=")), "Linux")
    return "Linux"


@app.command("version")
def version(form: ObjectFormat = "") -> None:
    """Show the version information."""
    uname = os.uname()
    system, arch = uname.sysname.lower(), host_platform().architecture
    if form:
        # Docker's has two halves. Here they are one program, and scripts that ask for either are answered.
        fields = {"Version": __version__, "Os": system, "Arch": arch}
        python = {"Name": "Python", "Version": platform.python_version(), "Details": {}}
        server = {"Components": [python], **fields, "KernelVersion": uname.release}
        described = {"Client": fields | {"Context": "default"}, "Server": server}
        print(shower(form)(DOCKER_STRUCTS.build("version", described)))
        return
    print(f"minirun version {__version__}")
    print(f" Python:  {platform.python_version()}")
    print(f" Kernel:  {uname.release}")
    print(f" OS/Arch: {system}/{arch}")
