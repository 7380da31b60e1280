"""minirun info, minirun version."""

import os
import platform
import re
import time
import uuid
from pathlib import Path
from typing import Any

from minirun import __version__
from minirun.cli.output.docker_structs import DOCKER_STRUCTS
from minirun.cli.output.format import shower
from minirun.cli.parameters import ObjectFormat
from minirun.cli.session import commands, open_instance
from minirun.cli.system.server import describe_server, server_lines
from minirun.config import load
from minirun.engine.inspect_config import RUNTIME
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
    """Docker's SystemInfo, and what minirun has besides."""
    containers = instance.store.containers()
    running = [one for one in containers if one.status in (Status.RUNNING, Status.RESTARTING)]
    homes = controllers.homes()
    uname = os.uname()
    return {
        **_WITHOUT_MEANING,
        "ID": _identity(instance),
        "Containers": len(containers),
        "ContainersRunning": sum(not one.paused for one in running),
        "ContainersPaused": sum(one.paused for one in running),
        "ContainersStopped": len(containers) - len(running),
        "Images": len(all_images(instance.store)),
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", _filesystem(instance.root)], ["Userxattr", _yes(not OWN_IDS.is_first)]],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "cni", "host", "macvlan", "null"],
            "Authorization": None,
            "Log": ["json-file", "local", "none"],
        },
        "MemoryLimit": "memory" in homes,
        "SwapLimit": "memory" in homes and Path("/proc/swaps").exists(),
        "CpuCfsPeriod": "cpu" in homes,
        "CpuCfsQuota": "cpu" in homes,
        "CPUShares": "cpu" in homes,
        "CPUSet": "cpuset" in homes,
        "PidsLimit": "pids" in homes,
        "OomKillDisable": "memory" in homes and not homes["memory"].v2,
        "IPv4Forwarding": sysctl_read("net.ipv4.ip_forward") == "1",
        "Debug": False,
        "SystemTime": timestamp(time.time_ns()),
        "LoggingDriver": "json-file",
        "CgroupDriver": "systemd" if cgroups.is_systemds() else "cgroupfs",
        "CgroupVersion": "2" if homes and all(home.v2 for home in homes.values()) else "1",
        "Unified": str(cgroups.unified() or ""),
        "Controllers": " ".join(sorted(homes)) or "none",
        "KernelVersion": uname.release,
        "OperatingSystem": _release("PRETTY_NAME", "Linux"),
        "OSVersion": _release("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": uname.machine,
        "NCPU": os.cpu_count(),
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": _registries(),
        "HttpProxy": _without_password(os.environ.get("HTTP_PROXY", "")),
        "HttpsProxy": _without_password(os.environ.get("HTTPS_PROXY", "")),
        "NoProxy": os.environ.get("NO_PROXY", ""),
        "DockerRootDir": str(instance.root),
        "Name": uname.nodename,
        "Labels": [],
        "ServerVersion": __version__,
        "Runtimes": {RUNTIME: {"path": "minirun"}},
        "DefaultRuntime": RUNTIME,
        "LiveRestoreEnabled": True,  # containers don't need the service
        "FirewallBackend": {"Driver": "nftables"},
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


# What Docker tells of its swarm, of the programs that it consists of, and of features that minirun doesn't have.
_WITHOUT_MEANING: dict[str, Any] = {
    "BridgeNfIptables": False,
    "BridgeNfIp6tables": False,
    "ContainerdCommit": {"ID": ""},
    "RuncCommit": {"ID": ""},
    "InitCommit": {"ID": ""},
    "CDISpecDirs": [],
    "DiscoveredDevices": [],
    "DefaultAddressPools": [],
    "ExperimentalBuild": False,
    "GenericResources": None,
    "InitBinary": "",
    "Isolation": "",
    "NEventsListener": 0,
    "NFd": 0,
    "NGoroutines": 0,
    "Swarm": {
        "NodeID": "",
        "NodeAddr": "",
        "LocalNodeState": "inactive",
        "ControlAvailable": False,
        "Error": "",
        "RemoteManagers": None,
    },
    "Warnings": None,
}


def _yes(is_so: bool) -> str:
    return str(is_so).lower()


def _identity(instance: Instance) -> str:
    """A UUID of this state root on this machine, the same at each call; machine-id(5) itself is to be kept secret."""
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = os.uname().nodename
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"minirun {machine} {instance.root}"))


def _filesystem(path: Path) -> str:
    """The type of the file system that a directory is on, from the kernel's list of mounts."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return next((words[words.index("-") + 1] for words in lines if words[2] == number), "")


def _registries() -> dict[str, Any]:
    config = load()
    hub = {"Name": "docker.io", "Mirrors": list(config.registry_mirrors), "Secure": True, "Official": True}
    others = {
        name: {"Name": name, "Mirrors": [], "Secure": False, "Official": False} for name in config.insecure_registries
    }
    return {
        "IndexConfigs": {"docker.io": hub, **others},
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8", *map(str, config.insecure_networks)],
        "Mirrors": list(config.registry_mirrors),
    }


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//xxxxx:xxxxx@", url)


def _release(key: str, default: str) -> str:
    """A value of os-release(5)."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            lines = Path(path).read_text(errors="replace").splitlines()
        except OSError:
            continue
        return next((line.split("=", 1)[1].strip('"') for line in lines if line.startswith(f"{key}=")), default)
    return default


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
