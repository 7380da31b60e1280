"""What the numbers depend on: the machine, what runs on it, the versions."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.contenders import Contender, version


def head(load_before: float, engines: Sequence[Contender], minirun: str) -> list[str]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.machine())
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "unknown distribution")
    names = ", ".join(f"{one.name} {one.version}".strip() for one in engines)
    return [
        f"{model}, {os.cpu_count()} cores, {_memory()}, Linux {platform.release()}, {release};"
        f" load {load_before:.1f} at the start, {os.getloadavg()[0]:.1f} at the end.",
        f"{names}; {_beside(engines, minirun)}.",
    ]


def _beside(engines: Sequence[Contender], minirun: str) -> str:
    """What the engines stand on."""
    python = Path(minirun).with_name("python")
    found = [f"Python {version([str(python if python.exists() else sys.executable), '--version'])}"]
    if any(one.name == "docker" for one in engines):
        found += [f"{name} {version([name, '--version'])}" for name in ("containerd", "runc") if shutil.which(name)]
        found += [_iptables()] if shutil.which("iptables") else []
    return ", ".join(found)


def _iptables() -> str:
    """With the kernel's interface that it uses: nf_tables or legacy."""
    said = subprocess.run(["iptables", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return re.sub(r"\bv(?=\d)", "", said)


def _memory() -> str:
    words = Path("/proc/meminfo").read_text().split()
    return f"{int(words[words.index('MemTotal:') + 1]) / (1 << 20):.0f} GiB"
