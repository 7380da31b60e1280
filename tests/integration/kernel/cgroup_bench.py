"""Cgroups of one imaginary container, and processes in them, for tests of limits, freezing and usage.

The throwaway hosts see no v1 controllers. So these tests create groups of their own, under a name that nobody else has,
in the hierarchies of the machine itself, and check that none of them is left.
"""

import os
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.kernel import cgroups, controllers, freezer, limits
from minirun.kernel.limits import Limits

MIB = 1 << 20


@dataclass
class Bench:
    """Groups of one imaginary container, and processes in them."""

    instance: str = field(default_factory=lambda: f"minirun-limits-{uuid.uuid4().hex[:12]}")
    container: str = "c1"
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def limited(self, asked: Limits) -> list[Path]:
        try:
            paths = limits.groups(self.instance, self.container, asked)
        except MinirunError as error:
            pytest.skip(f"this machine has no such cgroup controller: {error.message}")
        limits.apply(paths, asked)
        return paths

    def whole(self) -> Path:
        """The container's v2 group."""
        group = cgroups.container_cgroup(self.instance, self.container)
        if group is None:
            pytest.skip("this machine has no cgroup v2 hierarchy")
        cgroups.cgroup_add(group)
        return group

    def python(self, paths: list[Path], script: str) -> "subprocess.Popen[str]":
        """As the monitor does it: the child waits, is moved, and only then goes on."""
        child = subprocess.Popen(
            [sys.executable, "-Sc", f"import os, sys, time, threading; input(); {script}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started.append(child)
        for path in paths:
            controllers.member_add(path, child.pid)
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
        return child

    def close(self) -> None:
        for path in controllers.existing(self.instance, self.container):
            if (path / "cgroup.freeze").exists() or (path / "freezer.state").exists():
                freezer.thaw(path)
            for pid in controllers.members(path):
                os.kill(pid, 9)
        for child in self.started:
            child.kill()
            child.communicate()
        controllers.remove(controllers.existing(self.instance, self.container))


def groups_named(name: str) -> list[Path]:
    tops = {home.top for home in controllers.homes().values()} | {cgroups.unified()}
    return [top / name for top in tops if top and (top / name).exists()]


HOG = "kept = bytearray({}); print(len(kept), flush=True)"


def bench_groups(bench: Bench, asked: Limits) -> list[Path]:
    try:
        return limits.groups(bench.instance, bench.container, asked)
    except MinirunError as error:
        pytest.skip(f"this machine has no such cgroup controller: {error.message}")
