"""Every command printed in the README and the pages is run, in order, on a throwaway host."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.harness import Host
from tests.harness.host import MINIRUN, REPO, root_is_a_mount


@pytest.mark.parametrize(
    ("page", "least"),
    [
        ("README.md", 15),
        ("docs/networking.md", 6),
        ("docs/security.md", 5),
        ("docs/images.md", 15),
        ("docs/build.md", 12),
        ("docs/faults.md", 8),
        ("docs/api.md", 5),
    ],
)
def test_the_commands_run_as_printed(host: Host, page: str, least: int) -> None:
    blocks = re.findall(r"<!-- run -->\n```\n(.*?)```", (REPO / page).read_text(), re.S)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) > least
    path = f"PATH={Path(MINIRUN).parent}:$PATH"
    for command in commands:
        if command.startswith("ip netns exec") and not root_is_a_mount():
            continue  # ip(8) itself cannot do it in a chroot
        host.sh(f"{path}; {command}")


def test_every_promise_names_a_test_that_exists() -> None:
    tests = "".join(file.read_text() for file in (REPO / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", (REPO / "docs/security.md").read_text()):
        assert f"def {name}(" in tests, name


def test_links_in_the_docs_lead_somewhere() -> None:
    for file in [*REPO.glob("*.md"), *REPO.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"


def test_the_page_of_figures_is_what_was_measured(tmp_path: Path) -> None:
    """All of it: what the bench prints of its own numbers stands there as it came out, and so does the picture."""
    plot = tmp_path / "plot.svg"
    words = [REPO / "bench/run", "--read", REPO / "docs/benchmarks.json", "--plot", plot]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert told.strip() in (REPO / "docs/benchmarks.md").read_text()
    assert plot.read_text() == (REPO / "docs/benchmarks.svg").read_text()
