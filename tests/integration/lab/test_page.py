"""docs/lab.md: the commands that it prints. And a part of the suite for the command line, run in a lab."""

import re
import subprocess
import sys
from pathlib import Path

from tests.harness.host import MINIRUN, REPO
from tests.harness.in_lab import as_user
from tests.integration.lab.conftest import Machine


def test_the_commands_of_the_page_run_as_printed(machine: Machine) -> None:
    blocks = re.findall(r"<!-- run as user -->\n```\n(.*?)```", (REPO / "docs/lab.md").read_text(), re.S)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) > 5
    path = f"PATH={Path(MINIRUN).parent}:$PATH"
    for command in commands:
        machine.host.run(as_user(["sh", "-c", f"{path}; {command}"], machine.home), timeout=60)


def test_another_terminal_joins_a_lab_as_the_page_says(machine: Machine) -> None:
    lab = machine.start("lab", "sh", "-c", f"{MINIRUN} run -d --name web busybox sleep 60; echo ready; sleep 60")
    assert lab.stdout is not None
    while b"ready" not in lab.stdout.readline():
        pass
    told = re.search(r"`(nsenter .*?) --target PID`", (REPO / "docs/lab.md").read_text())
    assert told is not None
    pids = machine.host.run(as_user(["pgrep", "-f", "minirun lab"], machine.home)).stdout.split()
    join = [*told[1].split(), "--target", pids[1], MINIRUN, "ps", "--format", "{{.Names}}"]
    assert machine.host.run(as_user(join, machine.home)).stdout == "web\n"
    machine.host.sh(f"kill {pids[0]}")
    lab.wait(10)


def test_a_part_of_the_suite_passes_in_a_lab() -> None:
    """All of tests/integration/cli takes minutes: python -m tests.harness.in_lab tests/integration/cli."""
    words = [sys.executable, "-m", "tests.harness.in_lab", "-q", "tests/integration/cli/test_listing.py"]
    done = subprocess.run(words, cwd=REPO, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 70
